"""Filters of lists, as tables: what a list can be filtered by, under which name, with which words, and the condition that it becomes.

One table per list, and everything that lists it reads that table: the API and its OpenAPI document, the pages, the command line, the
export, the counter, the live tail. So a count follows its filter, a filter that the page has the command line has too, and a word that
does not exist is refused everywhere with the nearest one that does, instead of an empty list that looks like an answer.

Several values of one filter (repeated, or by commas) mean any of them; several filters mean all of them. Values never enter the text of a
statement: they are server-side parameters.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from schemas.entities import ENTITY_MODELS
from schemas.policies import KIND_WORDS
from schemas.reasons import REASONS, STATUSES, SUB_REASONS
from schemas.workspace import SECTIONS
from sinks.pages import CONVERSIONS, EVENT_TYPES, VIEW_STATUSES
from streams.runtime.errors import BadSettings, near_match

Kind = Literal["words", "ids", "from", "to", "flag", "search"]
Words = Mapping[str, str]
Values = dict[str, object]
"""Parameter name -> value, as the server gets them."""

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
ANYTHING: Words = {}
LONGEST = 200  # of one value; ids are shorter
MOST = 50  # values of one filter
TRUE, FALSE = ("1", "true", "yes"), ("0", "false", "no")


class Filter(NamedTuple):
    """One filter. `column` is SQL of ours (for a search: several, by commas); `words`, folded -> as stored, empty for anything."""

    name: str
    column: str
    doc: str
    kind: Kind = "ids"
    words: Words = ANYTHING
    aliases: tuple[str, ...] = ()

    @property
    def shown_words(self) -> list[str]:
        """Return the words that a person is offered: each meaning once."""
        return list(dict.fromkeys({value: word for word, value in reversed(list(self.words.items()))}.values()))[::-1]


Filters = tuple[Filter, ...]


def _words(stored: Iterable[str], others: Words | None = None) -> Words:
    return {word.casefold(): word for word in stored} | {word.casefold(): value for word, value in (others or {}).items()}


def times(column: str) -> Filters:
    """Return the two ends of a time range; the command line calls them --since and --until."""
    return (
        Filter("from", column, "from this time on: 2026-11-25, 2026-11-25T10:00+01:00, or how long ago: 90m, 24h, 7d", "from", aliases=("since",)),
        Filter("to", column, "before this time", "to", aliases=("until",)),
    )  # fmt: skip


KINDS = _words(KIND_WORDS, {shown: kind for kind, shown in KIND_WORDS.items()})
MATCHES = ("click_id", "email", "phone", "external_id", "ip")
ACTIONS = ("created", "updated", "deleted", "revealed", "exported", "resent")
VISIT_KINDS = ("visit", "click", "lander_click", "identify")
STATES = ("waiting", "held", "delivered", "failed", "not_sent")
SINGULAR = {section: entity for entity, section in SECTIONS.items()}

CLICK: Filters = (
    Filter("campaign", "campaign_id", "a campaign's id"),
    Filter("traffic_source", "traffic_source_id", "a traffic source's id"),
    Filter("property", "property_id", "a property's id"),
)
EVENTS: Filters = (
    Filter("status", "status", "what became of it", "words", _words(status.code for status in STATUSES)),
    Filter("view_status", "view_status", "the same in Referral Rock's three words", "words", _words(VIEW_STATUSES)),
    Filter("reason", "reason", "why: a reason's code", "words", _words(reason.code for reason in REASONS)),
    Filter("sub_reason", "sub_reason", "the cause behind the reason", "words", _words(sub.code for sub in SUB_REASONS)),
    Filter("source", "source_id", "a source's id"),
    Filter("type", "type", "how it came in", "words", KINDS),
    *CLICK,
    Filter("conversion", "conversion_name", "a conversion name, for example Purchase"),
    Filter("match", "match_kind", "how its click was found", "words", _words(MATCHES)),
    Filter("click_id", "click_id", "a click id"),
    Filter("transaction_id", "transaction_id", "a sender's transaction id"),
    Filter("is_test", "is_test", "whether the sender calls it a test", "flag"),
    *times("received_at"),
    Filter(
        "q",
        "event_id, click_id, transaction_id, receipt_id",
        "an id, whole, or its beginning and *",
        "search",
    ),
)
INTEGRATION_EVENTS: Filters = (
    Filter("view_status", "status", "Info, Success or Failure", "words", _words(VIEW_STATUSES.values())),
    Filter("type", "type", "how it came in", "words", {word: KIND_WORDS[kind] for word, kind in KINDS.items()}),
    *times("created_date"),
)
INTEGRATION_EVENTS_IN_BASE: Filters = (
    Filter("view_status", "view_status", "", "words", _words(VIEW_STATUSES)),
    Filter("type", "type", "", "words", KINDS),
    *times("event_time"),
)
SYSTEM_LOGS: Filters = (
    Filter("event_type", "event_type", "Visits, Clicks or Conversions", "words", _words([*dict.fromkeys(EVENT_TYPES.values()), CONVERSIONS])),
    *CLICK,
    Filter("click_id", "click_id", "a click id"),
    *times("received_at"),
)  # fmt: skip
SYSTEM_LOGS_IN_BASE: Filters = (SYSTEM_LOGS[0]._replace(column=f"'{CONVERSIONS}'"), *SYSTEM_LOGS[1:])
VISITS: Filters = (
    Filter("type", "kind", "what it was", "words", _words(VISIT_KINDS)),
    *CLICK,
    Filter("click_id", "click_id", "a click id"),
    Filter("country", "country", "two letters (ISO 3166)"),
    Filter("device", "device_type", "desktop, mobile, tablet, bot …"),
    Filter("is_bot", "is_bot", "whether its User-Agent is a crawler's or a program's", "flag"),
    *times("received_at"),
    Filter("q", "visit_id, click_id", "an id, whole, or its beginning and *", "search"),
)
POSTBACKS: Filters = (
    Filter("state", "state", "how far it got", "words", _words(STATES)),
    Filter("is_error", "is_error", "whether its last attempt failed", "flag"),
    Filter("destination", "destination_id", "a destination's id"),
    Filter("integration", "integration_id", "a Conversion API integration's id"),
    Filter("property", "property_id", "a property's id"),
    Filter("event", "event_id", "the id of the event that it reports"),
    Filter("click_id", "click_id", "a click id"),
    Filter("ct", "ct", "custom conversion: the event type that it reports"),
    Filter("status_code", "toString(status_code)", "the status code of the answer"),
    *times("postback_time"),
    Filter("q", "postback_id, event_id, click_id", "an id, whole, or its beginning and *", "search"),
)
ACTIVITY: Filters = (
    Filter("entity", "entity", "what kind of thing was changed", "words", _words([*ENTITY_MODELS, "event", "list"], SINGULAR)),
    Filter("entity_id", "entity_id", "its id"),
    Filter("action", "action", "what was done to it", "words", _words(ACTIONS)),
    Filter("author", "author", "who did it"),
    *times("changed_at"),
)
DEAD_LETTERS: Filters = (
    Filter("topic", "origin_topic", "the topic of the record that failed"),
    Filter("error", "error", "a class of errors"),
    *times("failed_at"),
)


def words_like(name: str) -> Callable[[str], list[str]]:
    """Return what a shell completes the beginning of a word of the event log's filter to."""
    return lambda incomplete: [word for word in named(EVENTS, name).shown_words if word.startswith(incomplete)]


def where(filters: Filters, given: Mapping[str, str | list[str]]) -> tuple[str, Values]:
    """Return (the condition, its parameters) of the filters that are set; empty ones are not.

    BadSettings names a filter that the list does not have, a word that does not exist and a time that is none, with the nearest that is.
    """
    conditions, values = [], Values()
    for name, value in given.items():
        texts = [text for each in ([value] if isinstance(value, str) else value) for text in [each.strip()] if text]
        if texts:
            conditions.append(_condition(named(filters, name), texts, values))
    return " AND ".join(conditions) or "1", values


def named(filters: Filters, name: str) -> Filter:
    """Return a filter by its name or another name of it. BadSettings when there is none."""
    for found in filters:
        if name == found.name or name in found.aliases:
            return found
    names = [found.name for found in filters]
    raise BadSettings(f"There is no filter {name!r} here.", near_match(name, names) or f"The filters are: {', '.join(names)}.")


def _condition(found: Filter, texts: list[str], values: Values) -> str:
    if any(len(text) > LONGEST for text in texts) or len(texts) > MOST:
        raise BadSettings(f"{found.name} is too long.", f"A value has at most {LONGEST} characters, a filter at most {MOST} values.")
    if found.kind in {"from", "to"}:
        values[found.name] = moment(texts[-1])
        return f"{found.column} {'>=' if found.kind == 'from' else '<'} toDateTime64({{{found.name}:String}}, 3, 'UTC')"
    if found.kind == "flag":
        values[found.name] = int(_flag(found, texts[-1]))
        return f"{found.column} = {{{found.name}:UInt8}}"
    if found.kind == "search":
        return _search(found, texts[-1], values)
    parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    values[found.name] = list(dict.fromkeys(_word(found, part) for part in parts)) if found.words else parts
    return f"{found.column} IN {{{found.name}:Array(String)}}"


def _search(found: Filter, text: str, values: Values) -> str:
    """An id is asked for as a whole, which the indexes find at once; with a * behind it by its beginning, which reads every id of the range."""
    values[found.name] = text.rstrip("*")
    columns = [column.strip() for column in found.column.split(",")]
    if text.endswith("*"):
        return "(" + " OR ".join(f"startsWith(ifNull({column}, ''), {{{found.name}:String}})" for column in columns) + ")"
    return "(" + " OR ".join(f"{column} = {{{found.name}:String}}" for column in columns) + ")"


def _word(found: Filter, text: str) -> str:
    known = found.words.get(text.casefold())
    if known is None:
        words = found.shown_words
        near = near_match(text.casefold(), list(found.words))
        raise BadSettings(f"{found.name}={text!r} does not exist.", near or f"The words are: {', '.join(words)}.")
    return known


def _flag(found: Filter, text: str) -> bool:
    if text.casefold() not in (*TRUE, *FALSE):
        raise BadSettings(f"{found.name}={text!r} is neither true nor false.", "Say 1 or 0.")
    return text.casefold() in TRUE


def moment(text: str, now: datetime | None = None) -> str:
    """Return a time as ClickHouse reads it, in UTC: from a date, a time (with its zone, else UTC), or how long ago (90m, 24h, 7d)."""
    ago = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    found: datetime | None
    try:
        if ago:
            found = (now or datetime.now(UTC)) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        else:
            # A + that nobody escaped is a blank when it has come through a query string.
            found = datetime.fromisoformat(re.sub(r"(?<=:\d\d)(\.\d+)? (?=\d\d:\d\d$)", r"\1+", text.strip()))
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        found = None
    if found is None or not 1971 <= found.year <= 2105:  # what ClickHouse's times hold
        raise BadSettings(f"{text!r} is no time.", "Times look like 2026-11-25, 2026-11-25T10:00+01:00, 24h or 7d.")
    return found.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
