"""The views that speak the words of the product pages: System Logs (ClickFlare) and Integration Events (Referral Rock).

They show the same rows as `visits` and `events`, under the pages' names, so that somebody who comes from there finds the columns that the
page names and nothing is stored or counted twice. Which word of the page a row gets:

    Visits        a page view (visit) and what the visitor says there (identify)
    Clicks        the tracking link (click) and the landing page's link to the offer (lander_click)
    Conversions   every payload that a source sent ("postbacks received"), whatever became of it

The column `kind` keeps our own word. A conversion has no device of its own (a network's server sent it): its click's row has, and
`click_id` joins the two.
"""

# ruff: noqa: S608 - all that is pasted into SQL here are words and patterns of our own

from schemas import pii
from schemas.policies import KIND_WORDS
from sinks.schema import TEXT_OR_NULL, TIME, WORD, WORD_OR_NULL, Column, View, quote
from sinks.tables import VISITS

EVENT_TYPES = {"visit": "Visits", "identify": "Visits", "click": "Clicks", "lander_click": "Clicks"}
CONVERSIONS = "Conversions"
VIEW_STATUSES = {"info": "Info", "success": "Success", "failure": "Failure"}

_BOTH = (
    Column("occurred_at", TIME, "When it happened; for a conversion as its payload says"),
    Column("received_at", TIME, "When it was received: filter by this one, the tables are ordered by it"),
    Column("account_id", WORD, "Account"),
    Column("property_id", WORD, "Property (site)"),
    Column("click_id", TEXT_OR_NULL, "Click id"),
    Column("campaign_id", WORD_OR_NULL, "Campaign"),
    Column("traffic_source_id", WORD_OR_NULL, "Traffic source"),
    Column("parameters", "Map(String, String)", "What was passed: tracking fields of a visit, parameters of a conversion"),
)
_ONLY_VISITS = tuple(
    column._replace(codec="")
    for column in VISITS.columns
    if column.name
    in {"lander_id", "offer_id", "device_type", "browser", "os", "is_bot", "user_agent", "language", "ip", "country", "referrer", "url"}
)
_ONLY_CONVERSIONS = (
    Column("source_id", WORD_OR_NULL, "Source that sent the conversion"),
    Column("status", WORD_OR_NULL, "Verdict on the conversion: ok, discarded, deduplicated or error"),
    Column("reason", WORD_OR_NULL, "Why: a code of the view reasons"),
    Column("message", TEXT_OR_NULL, "The reason as a sentence"),
    Column("conversion_name", WORD_OR_NULL, "Conversion name"),
    Column("value", "Nullable(Decimal(38, 8))", "Conversion value in `currency`"),
    Column("currency", WORD_OR_NULL, "ISO 4217 code"),
    Column("transaction_id", TEXT_OR_NULL, "The sender's transaction id"),
)


def _transform(column: str, words: dict[str, str], otherwise: str) -> str:
    """Return SQL that replaces each word by the page's."""
    lists = ", ".join(f"[{', '.join(map(quote, side))}]" for side in (words.keys(), words.values()))
    return f"transform(toString({column}), {lists}, {otherwise})"


def _half(own: tuple[str, str, str], given: dict[str, str]) -> str:
    """Return the select list of one half of the union: every column under its name and type, NULL where this half has none."""
    columns = (*_BOTH, *_ONLY_VISITS, *_ONLY_CONVERSIONS)
    rest = [f"CAST({given.get(column.name, 'NULL')}, {quote(_nullable(column.type))}) AS {column.name}" for column in columns]
    return ",\n    ".join([f"{own[0]} AS event_type", f"{own[1]} AS kind", f"{own[2]} AS id", *rest])


def _nullable(kind: str) -> str:
    return "Nullable(Bool)" if kind == "Bool" else kind


_VISIT = {column.name: column.name for column in (*_BOTH, *_ONLY_VISITS)}
_CONVERSION = {column.name: column.name for column in (*_BOTH, *_ONLY_CONVERSIONS)} | {"occurred_at": "event_time"}
SYSTEM_LOGS = View(
    "system_logs",
    "Visits, clicks and conversions received, in one list",
    """ClickFlare's System Logs (C01 to C05). Filter by event_type, campaign_id, traffic_source_id and received_at.""",
    (
        Column("event_type", WORD, "Visits, Clicks or Conversions"),
        Column("kind", WORD, "visit, identify, click, lander_click; for a conversion how it came in"),
        Column("id", "String", "visit_id or event_id"),
        *_BOTH,
        *(column._replace(type=_nullable(column.type)) for column in _ONLY_VISITS),
        *_ONLY_CONVERSIONS,
    ),
    f"""
SELECT {_half((_transform("visits.kind", EVENT_TYPES, "'Visits'"), "visits.kind", "visit_id"), _VISIT)}
FROM visits
UNION ALL
SELECT {_half((quote(CONVERSIONS), "type", "event_id"), _CONVERSION)}
FROM events
""",
)

# Facts before parameters: "use the details column to see why". Their names have capitals and blanks, as no sender's do, and win if one does.
# Two decimals at least, as on every page: 49.90.
_MONEY = "concat(toString(value), multiIf(position(toString(value), '.') = 0, '.00', match(toString(value), '[.][0-9]$'), '0', ''))"
_FACTS = {
    "Reason": "toString(reason)", "Cause": "ifNull(toString(sub_reason), '')", "Source": "toString(source_id)",
    "Conversion": "ifNull(toString(conversion_name), '')", "Value": f"trim(concat(ifNull({_MONEY}, ''), ' ', ifNull(toString(currency), '')))",
    "Click id": "ifNull(click_id, '')", "Transaction id": "ifNull(transaction_id, '')",
}  # fmt: skip
_FACTS_SQL = "mapFilter((k, v) -> v != '', map(" + ", ".join(f"{quote(name)}, {sql}" for name, sql in _FACTS.items()) + "))"
_OTHERS = f"mapFilter((k, v) -> k NOT IN ({', '.join(map(quote, _FACTS))}), parameters)"
# A phone number that no click has stands in the message as it was passed.
_MESSAGE = (
    "if(reason = 'cant_find_refid', replaceRegexpOne(events.message, '[+]?[0-9][0-9 ()./-]{5,}([0-9]{2})$', '***\\\\1'), events.message)"
)
INTEGRATION_EVENTS = View(
    "integration_events",
    "Integration events in Referral Rock's words",
    """Referral Rock's Integration Events log (R01 to R18): the columns of the page, of the current verdict of every event. E-mail addresses,
    names, phone numbers and the like are masked, as in every list that anybody may see; the view events has them in clear.""",
    (
        Column("created_date", TIME, "Date the event happened"),
        Column("type", WORD, "Type of integration event: One Click Access, API Call, Integration Script, …"),
        Column("status", WORD, "Info, Success or Failure"),
        Column("message", "String", "Event message"),
        Column("details", "Map(String, String)", "Why, and the parameters with their values: name, e-mail and any other metadata, masked"),
        Column("event_id", "String", "Id of the event, for its details page"),
        Column("account_id", WORD, "Account, for whoever may see only some"),
    ),
    f"""
SELECT
    event_time AS created_date,
    CAST({_transform("events.type", KIND_WORDS, "toString(events.type)")}, 'LowCardinality(String)') AS type,
    CAST({_transform("view_status", VIEW_STATUSES, "''")}, 'LowCardinality(String)') AS status,
    {pii.sql_text(_MESSAGE)} AS message,
    mapConcat({_FACTS_SQL}, mapApply((k, v) -> (k, {pii.sql_value("k", "v")}), {_OTHERS})) AS details,
    event_id,
    account_id
FROM events
""",
)
