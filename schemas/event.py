"""The shapes that travel: a payload's headers, an event, a row of the event log, a visit.

Inside the pipeline these are plain dictionaries with static types (TypedDict): a pydantic model costs 5 to 7 us each, a dict 0.2 us,
and the data was checked at the door. Times are epoch milliseconds (`_ms`), money is a decimal string (`value`) with `currency`, so that
a row survives JSON without a float. What is not known is None, never an empty string.
"""

from typing import Any, NotRequired

from typing_extensions import TypedDict  # typing's own cannot be made a JSON Schema of before Python 3.12

# Headers of a record in clicktrail.payloads.v1. Its value is the payload: the body as received, or the raw query string of a GET.
# The record's timestamp is the time of receipt. All header values are UTF-8 text.
SOURCE = "ce_source"  # the source_id of the route
SETTINGS_VERSION = "settings"  # the settings that ingest knew; the payload is judged with exactly these (see streams/workspace.py)
CONTENT_TYPE = "content-type"
METHOD = "method"  # GET or POST; absent means POST
QUERY = "query"  # the raw query string of a POST that had one
SENDER_IP = "ip"
USER_AGENT = "user-agent"
RECEIPT = "receipt"  # ingest's own id of one accepted request, also known while the broker is away
TRACEPARENT = "traceparent"  # a valid one, or absent (streams/runtime/tracing.py)

Identifier = tuple[str, str]
"""(kind, key): kind in click_id, email, phone, external_id, ip; key is the click id itself, else the keyed hash (identifiers.py)."""


class Event(TypedDict):
    """One normalised payload: what `parse` makes of its bytes. Everything a verdict needs, no verdict yet."""

    event_id: str
    receipt_id: str | None  # ingest's id of the request that brought it; lines of one bulk upload share theirs
    account_id: str
    property_id: str
    source_id: str
    type: str
    received_ms: int
    event_ms: int
    settings_version: int
    conversion_name: str | None  # ours, after the conversion mapping; None when the sender's name is not mapped
    original_name: str | None  # the sender's word
    conversion_status: str  # approved, pending, rejected, reversed, refunded, chargeback, test, unknown
    original_status: str | None  # the sender's word, for messages
    value: str | None
    currency: str | None
    transaction_id: str | None
    reference: str | None  # the transaction id of an earlier event that this one refers to
    click_id: str | None  # as passed, placeholders and unexpanded macros already refused
    click_param: str  # the name that the source's own parameter has: for "No click id value passed"
    click_problem: str | None  # macro_unexpanded | placeholder: why a value that was there counts as none passed
    refs: list[Identifier]  # e-mail, phone, external ids, in order of priority
    ref_text: str | None  # the first refId as passed, for "Can't find refId: <value>"
    ip: str | None  # the visitor's IP as the payload passes it (not the sender's)
    is_test: bool
    adjusts: NotRequired[bool]  # an approved negative amount: it corrects an earlier conversion, whatever its status word says
    says_left: NotRequired[bool]  # the amount of a refund is what is left of its sale
    fraud: NotRequired[tuple[str, str]]  # (sub-reason, detail) of a fraud rule that a payload breaks by itself
    referee: NotRequired[str]  # the key of its customer, where its source records one referral per customer
    traceparent: NotRequired[str]  # W3C trace context, where the payload came with one
    problem: tuple[str, str] | None  # (reason code, detail) found while reading: unauthorized_asset, unreadable_payload
    parameters: dict[str, str]  # as sent; names in parentheses are notes of ours: (more), (time), (currency)
    payload: NotRequired[str]  # the payload's bytes when they are UTF-8
    payload_b64: NotRequired[str]  # otherwise, base64
    payload_sha256: str
    fingerprint: str  # payload_sha256, but for a POST with a query string the hash of both: bodies may be empty
    topic: str
    partition: int
    offset: int


class Verdicted(TypedDict):
    """A row without its body."""

    event_id: str
    receipt_id: str | None
    account_id: str
    property_id: str
    source_id: str
    type: str
    received_ms: int
    event_ms: int
    status: str  # ok, discarded, deduplicated, error
    reason: str
    sub_reason: str | None
    message: str
    view_status: str  # success, info, failure
    conversion_name: str | None
    original_name: str | None
    conversion_status: str
    original_status: str | None
    value: str | None
    currency: str | None
    click_id: str | None
    match_kind: str | None
    campaign_id: str | None
    traffic_source_id: str | None
    transaction_id: str | None
    identity: str | None
    duplicate_of: str | None
    parent_event_id: str | None
    is_test: bool
    revision: int
    settings_version: int
    trace: list[list[str]]  # [step, result, detail] in the order of judgement
    evidence: dict[str, Any]  # candidates, losers and why; for a duplicate: key, gap_ms, fields
    payload_sha256: str
    topic: str
    partition: int
    offset: int


class Row(Verdicted):
    """One verdict, as it stands in clicktrail.events.v1 and becomes a row of ClickHouse. judged_at is the record's timestamp."""

    parameters: dict[str, str]
    payload: NotRequired[str]
    payload_b64: NotRequired[str]
    traceparent: NotRequired[str]


class Visit(TypedDict):
    """One thing the tracker saw before a conversion, as it stands in clicktrail.visits.v1 (checked at the door by ingest)."""

    visit_id: str
    kind: str  # visit, click, lander_click, identify
    account_id: str
    property_id: str
    click_id: str | None
    occurred_ms: int
    received_ms: int
    owner: NotRequired[list[Identifier]]  # whose member link it is, as identifiers are
    identifiers: list[Identifier]  # by which a conversion can find it, hashed already; the click id is not repeated here
    campaign_id: str | None
    traffic_source_id: str | None
    lander_id: str | None
    offer_id: str | None
    parameters: dict[str, str]
    device_type: str | None
    browser: str | None
    os: str | None
    is_bot: bool
    user_agent: str | None
    language: str | None
    ip: str | None
    country: str | None
    referrer: str | None
    url: str | None
