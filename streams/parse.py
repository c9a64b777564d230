"""A payload into an event: the first thing that happens to it, and all that depends on how its source writes.

`parse` is total: whatever the bytes, an event comes out, because one payload is one verdict; what is wrong with them is in `problem`. It is
pure: the rules come from the settings version that the headers name, the time from the record. This is the hot path (each payload, once), so
it copies a prepared event instead of building one (34 fields: 0.2 us against 1.9), looks fields up by shape (shapes.py), and remembers how
a source's few status and event words translate. `python -m bench.parse_cost` measures it.
"""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

from schemas.event import CONTENT_TYPE, METHOD, QUERY, RECEIPT, SETTINGS_VERSION, SOURCE, TRACEPARENT, Event
from schemas.identity import event_id, home_of
from schemas.mapping import DEFAULTS, UNKNOWN
from schemas.reasons import REFERRAL_KIND, UNAUTHORIZED_ASSET, UNREADABLE_PAYLOAD
from streams import fields
from streams.payload import KEPT_FIELDS, as_text, kept, read
from streams.sealed import Read
from streams.workspace import SourceRules, Workspace

CONTEXT_LIMIT = 4096  # combinations of source, version, content type and method that are kept ready
HIGHEST_VERSION = 2**63  # no offset of Kafka is higher: more is no version, and waiting for it would never end

Headers = Sequence[tuple[str, bytes]]


class Record(Protocol):
    """A record of clicktrail.payloads.v1; `timestamp` is the time of receipt in ms. Read only: named tuples fit, too."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Headers: ...  # noqa: D102


class Context(NamedTuple):
    """What the headers of a payload say, resolved once for all payloads that have the same."""

    rules: SourceRules | None
    content_type: str
    method: str
    read: Read
    blank: Event  # everything that does not depend on the payload


class Parser:
    """Turns payloads into events with the settings of the version in their headers."""

    def __init__(self, workspace: Workspace, pii_key: bytes, epoch: int) -> None:
        self._workspace = workspace
        self._pii_key = pii_key
        self._epoch = epoch
        self._contexts: dict[tuple[bytes | None, ...], Context] = {}

    def parse(self, record: Record) -> Event:
        """The event in a payload; never fails for any bytes. SettingsBehind: apply the settings first, then ask again."""
        value = record.value or b""
        headers = dict(record.headers)
        context = self._context(headers)
        query = headers.get(QUERY)
        parameters, cause = context.read(value, context.content_type, context.method, as_text(query) if query else "")
        event = context.blank.copy()
        event["event_id"] = event_id(self._epoch, record.partition, record.offset)
        if receipt := headers.get(RECEIPT):
            event["receipt_id"] = receipt.decode("latin-1")  # ours, and hexadecimal
        if traceparent := headers.get(TRACEPARENT):
            event["traceparent"] = traceparent.decode("latin-1")
        event["topic"], event["partition"], event["offset"] = record.topic, record.partition, record.offset
        event["received_ms"] = event["event_ms"] = record.timestamp
        event["payload_sha256"] = event["fingerprint"] = sha256(value).hexdigest()
        if query:
            event["fingerprint"] = _fingerprint(value, query)
        event["refs"] = []
        event["parameters"] = parameters
        try:
            event["payload"] = value.decode()
        except UnicodeDecodeError:
            event["payload_b64"] = b64encode(value).decode()
        if cause:
            event["problem"] = event["problem"] or _bound(context.rules) or (UNREADABLE_PAYLOAD, cause)
        elif context.rules is not None:
            fields.fill(event, context.rules, self._pii_key)
        if len(parameters) > KEPT_FIELDS:
            event["parameters"] = kept(parameters)
        return event

    def route(self, rules: SourceRules, value: bytes, headers: Headers) -> str:
        """The record key of a payload that is about to be produced with these headers: `home` of the event that it will be."""
        found = dict(headers)
        query = found.get(QUERY)
        parameters, cause = rules.read(value, _text(found.get(CONTENT_TYPE)), _text(found.get(METHOD)), as_text(query) if query else "")
        digest = _fingerprint(value, query) if query else sha256(value).hexdigest()
        if cause:
            return home_of(rules.account_id, rules.property_id, None, None, None, digest)
        subject = fields.subject(rules, parameters)
        property_id, _, reference, transaction_id, click_id, _, _, _ = subject
        referee = fields.referee(rules, subject, parameters, self._pii_key) if rules.fraud is not None else None
        mine = None if rules.type == REFERRAL_KIND else click_id
        return home_of(rules.account_id, property_id, reference, transaction_id, mine, digest, referee)

    def _context(self, headers: dict[str, bytes]) -> Context:
        get = headers.get
        key = get(SOURCE), get(SETTINGS_VERSION), get(CONTENT_TYPE), get(METHOD)
        context = self._contexts.get(key)
        if context is None:
            if len(self._contexts) >= CONTEXT_LIMIT:
                self._contexts.clear()
            context = self._contexts[key] = self._resolve(*map(_text, key))
        return context

    def _resolve(self, source_id: str, version_text: str, content_type: str, method: str) -> Context:
        version = _version(version_text)
        rules = None if version is None else self._workspace.source(source_id, version)
        return Context(rules, content_type, method, rules.read if rules else read, _blank(source_id, version, rules))


def home(event: Event) -> str:
    """The routing key of an event: where everything that may be the same conversion meets. A member's link is many customers' click id, so
    it says nothing about which conversion this is.
    """
    return home_of(
        event["account_id"],
        event["property_id"],
        event["reference"],
        event["transaction_id"],
        None if event["type"] == REFERRAL_KIND else event["click_id"],
        event["fingerprint"],
        event.get("referee"),
    )


def _fingerprint(value: bytes, query: bytes) -> str:
    """What stands for a payload that came in two pieces: two POSTs without a body are one payload only if their queries are."""
    return sha256(value + b"?" + query).hexdigest()


def _bound(rules: SourceRules | None) -> tuple[str, str] | None:
    """What is wrong with a payload that can't be read goes behind what is wrong with its source (rule 6)."""
    return (UNAUTHORIZED_ASSET, rules.property_id) if rules and rules.property_id not in rules.policies else None


def _text(header: bytes | None) -> str:
    return as_text(header) if header else ""


def _version(text: str) -> int | None:
    try:
        version = int(text[:20])
    except ValueError:
        return None
    return version if version < HIGHEST_VERSION else None


def _blank(source_id: str, version: int | None, rules: SourceRules | None) -> Event:
    """An event of this source with nothing in it yet."""
    return Event(
        event_id="",
        receipt_id=None,
        account_id=rules.account_id if rules else "default",
        property_id=rules.property_id if rules else "",
        source_id=source_id,
        type=rules.type if rules else "",
        received_ms=0,
        event_ms=0,
        settings_version=-1 if version is None else version,
        conversion_name=None,
        original_name=None,
        conversion_status=UNKNOWN,
        original_status=None,
        value=None,
        currency=None,
        transaction_id=None,
        reference=None,
        click_id=None,
        click_param=DEFAULTS["click_id"][0],
        click_problem=None,
        refs=[],
        ref_text=None,
        ip=None,
        is_test=False,
        problem=None if rules else (UNAUTHORIZED_ASSET, f"source {source_id}"),
        parameters={},
        payload_sha256="",
        fingerprint="",
        topic="",
        partition=0,
        offset=0,
    )
