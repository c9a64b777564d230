"""The shapes of delivery that others may read from Kafka: what must be told to a destination, and every try to tell it.

Plain dictionaries with static types, as in `event.py`; `tests/contract/test_asyncapi.py` holds them to what the stages write.
"""

from typing import Any, NotRequired

from typing_extensions import TypedDict  # typing's own cannot be made a JSON Schema of before Python 3.12


class PostbackRequest(TypedDict):
    """One thing to tell a destination, as it stands in clicktrail.postbacks.v1; the destination's template or platform makes HTTP of it."""

    postback_id: str  # <event id>.<destination>.<revision>
    kind: str  # conversion, restatement, retraction
    restates_event_id: str | None  # the event under which the destination was told
    follows: str | None  # the postback that it corrects, and behind which it waits
    event_id: str
    revision: int
    destination_id: str
    integration_id: str | None
    click_id: str | None
    ct: str | None  # the destination's own event type
    conversion_name: str | None
    value: str | None
    currency: str | None
    transaction_id: str | None
    campaign_id: str | None
    traffic_source_id: str | None
    account_id: str
    property_id: str
    event_ms: int
    requested_ms: int | None
    settings_version: int
    parameters: NotRequired[dict[str, str]]  # without e-mail and phone
    click: NotRequired[dict[str, Any]]  # i ip, a user agent, k country, l lander, f offer, u url, q parameters
    click_ms: NotRequired[int | None]
    user: NotRequired[dict[str, str]]  # hashes, as the destination's platform takes them
    external_id_parameter: NotRequired[str]
    traceparent: NotRequired[str]


class Attempt(TypedDict):
    """A try at a postback that has ended, or (attempt 0) the postback before its first; a record of clicktrail.attempts.v1."""

    postback_id: str
    attempt: int
    account_id: str
    property_id: str
    event_id: str
    click_id: str | None
    destination_id: str
    integration_id: str | None
    ct: str | None
    kind: str
    follows: str | None
    request_offset: int
    postback_ms: int  # when it was triggered
    sent_ms: int
    duration_ms: int | None
    is_error: int
    error_message: str | None
    status_code: int | None  # none without an answer
    postback_url: str  # secrets masked
    request: str
    response: str | None
    next_attempt_ms: int | None
    state: str  # waiting, held, delivered, failed, not_sent
