"""What an event to `/t/<property_id>` may say: the fields, and what becomes of words that are none or cannot be used.

A field that nobody reads is a mistake that shows weeks later, as a click at the wrong time or of the wrong kind. Whoever can read an answer
is refused with the field's name and the nearest one. A beacon of a page (text/plain: what `sendBeacon` and our tag send) cannot, and a newer
tag may talk to an older server: it is taken, and the row says what was left out, as a parameter in parentheses, which no page writes. The
same holds for a time that is too far from now, whoever sends it: an event without its own time is worth more than none.
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from streams.runtime.errors import near_match

MOST_PARAMETERS = 100
MOST_IDENTIFIERS = 10
MOST_IGNORED = 10  # names of fields that a note or an answer lists
LONGEST_FIELD = 40
DAY_MS = 86_400_000
OLDEST_DAYS = 30
SKEW_MS = 300_000  # clocks of visitors run ahead; that much is no news

TIME_NOTE, IGNORED_NOTE = "(occurred_ms)", "(ignored)"
NOTES = (TIME_NOTE, IGNORED_NOTE)
OTHER_NAMES = {
    "type": "kind", "event": "kind", "event_type": "kind", "event_name": "kind", "name": "kind", "time": "occurred_ms", "timestamp": "occurred_ms",
    "ts": "occurred_ms", "occurred_at": "occurred_ms", "date": "occurred_ms", "created_at": "occurred_ms", "cid": "click_id", "mail": "email",
    "tel": "phone", "user_id": "external_id", "customer_id": "external_id", "id": "visit_id", "page": "url", "ip_country": "country",
    "params": "parameters", "custom": "parameters", "utm": "parameters",
}  # fmt: skip


def _as_list(value: Any) -> Any:
    return [] if value is None else value if isinstance(value, list) else [value]


def _as_texts(value: Any) -> Any:
    """Take parameters as they come from JSON: numbers and booleans become their text, empty ones go."""
    if not isinstance(value, dict):
        return value
    return {str(k): v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in value.items() if v not in (None, "")}


Short = Annotated[str, Field(max_length=256)]
Shorts = Annotated[list[Short], BeforeValidator(_as_list), Field(max_length=MOST_IDENTIFIERS)]
Address = Annotated[str, Field(max_length=8192)]
Texts = Annotated[
    dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=2048)]],
    BeforeValidator(_as_texts),
    Field(max_length=MOST_PARAMETERS),
]


class Person(BaseModel):
    """By what somebody can be known again."""

    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True)

    email: Shorts = []
    phone: Shorts = []
    external_id: Shorts = []


class TagEvent(Person):
    """One event. What it does not know stays beside its fields, for `ignored`."""

    kind: Literal["visit", "click", "lander_click", "identify"] = "visit"
    visit_id: Short | None = None
    click_id: Short | None = None
    occurred_ms: int | None = None
    campaign_id: Short | None = None
    traffic_source_id: Short | None = None
    lander_id: Short | None = None
    offer_id: Short | None = None
    country: Annotated[str, Field(pattern="^[A-Za-z]{2}$")] | None = None
    member: Person | None = None  # whose link this click id is; known from the first event of the click id only (fraud rule self_referral)
    language: Short | None = None
    user_agent: Annotated[str, Field(max_length=1024)] | None = None  # what a server says of its visitor: the request's is the server's own
    parameters: Texts = {}
    referrer: Address | None = None
    url: Address | None = None


def ignored(seen: TagEvent) -> list[str]:
    """The fields of an event that are none, with the one that may be meant: `occurred_at (did you mean occurred_ms?)`."""
    found = [_hinted(name, "", TagEvent) for name in seen.model_extra or {}]
    if seen.member is not None:
        found += [_hinted(name, "member.", Person) for name in seen.member.model_extra or {}]
    return found[:MOST_IGNORED]


def _hinted(name: str, place: str, model: type[Person]) -> str:
    meant = OTHER_NAMES.get(name.lower(), "")
    hint = f"Did you mean {meant}?" if meant in model.model_fields else near_match(name.lower(), list(model.model_fields))
    return f"{place}{name[:LONGEST_FIELD]}" + (f" (d{hint[1:]})" if hint else "")


def occurred(seen: TagEvent, now_ms: int) -> tuple[int, str | None]:
    """When an event happened, in epoch ms, and what was said when that could not be taken."""
    said = seen.occurred_ms
    if said is None or now_ms <= said <= now_ms + SKEW_MS:
        return now_ms, None
    if now_ms - OLDEST_DAYS * DAY_MS < said < now_ms:
        return said, None
    if said > now_ms:
        cause = "lies in the future"
    elif now_ms - OLDEST_DAYS * DAY_MS < said * 1000 <= now_ms + SKEW_MS:
        cause = "is in seconds, not in milliseconds"
    else:
        cause = f"lies more than {OLDEST_DAYS} days back"
    return now_ms, f"{str(said)[:LONGEST_FIELD]!r} {cause}, the time of receipt was taken"


def notes(seen: TagEvent, now_ms: int) -> dict[str, str]:
    """What of an event could not be used, as parameters of its row."""
    found = {TIME_NOTE: occurred(seen, now_ms)[1], IGNORED_NOTE: ", ".join(ignored(seen))}
    return {name: text for name, text in found.items() if text}
