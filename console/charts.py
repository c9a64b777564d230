"""The plots as questions: each follows the filters of the event log, so a plot beside a list shows exactly that list.

Buckets are chosen from the range: at most BUCKETS of them, on round steps. Where no range is given it is that of the newest rows' day. A plot
is rows of a table (time, series, value), which is also its twin for people who cannot see it.
"""

# ruff: noqa: S608 - only columns and views of our own are pasted into SQL here; values are parameters

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from console.listing import Accounts, Given, Question, condition
from console.lists import listed

EVENTS = listed("events")
BUCKETS = 120
STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
DAY_S = 86_400
DEFAULT_RANGE = timedelta(days=1)
# Upper edges of the click-to-conversion delay, in seconds: what people look for are minutes, hours, and the days of a window.
DELAYS_S = (10, 60, 600, 3600, 6 * 3600, DAY_S, 2 * DAY_S, 3 * DAY_S, 7 * DAY_S, 14 * DAY_S, 30 * DAY_S, 60 * DAY_S, 90 * DAY_S)


class Range(NamedTuple):
    """What a plot covers, and the width of its buckets."""

    begin: datetime
    end: datetime
    step_s: int


def range_of(given: Mapping[str, str], now: datetime | None = None) -> Range:
    """Return the range of a filter; `given` has moments as ClickHouse writes them."""
    now = (now or datetime.now(UTC)).replace(microsecond=0) + timedelta(seconds=1)
    end = _moment(given["to"]) if given.get("to") else now
    begin = _moment(given["from"]) if given.get("from") else end - DEFAULT_RANGE
    wanted_s = max((end - begin).total_seconds(), 1) / BUCKETS
    return Range(begin, end, next((step for step in STEPS_S if step >= wanted_s), STEPS_S[-1]))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _ranged(given: Given, accounts: Accounts, *, is_ranged: bool) -> tuple[str, dict[str, object], Range]:
    """The condition with a range in it, in any case: a plot of all time reads all parts."""
    sql, values = condition(EVENTS, given, accounts)
    found = range_of({name: str(values[name]) for name in ("from", "to") if name in values})
    if "from" not in values and is_ranged:
        sql = f"({sql}) AND received_at >= toDateTime64({{begin:String}}, 3, 'UTC')"
        values["begin"] = found.begin.strftime("%Y-%m-%d %H:%M:%S.000")
    return sql, values, found


def _bucket(step_s: int) -> str:
    return f"toStartOfInterval(received_at, INTERVAL {step_s} SECOND)"


def volume(given: Given, accounts: Accounts) -> tuple[Question, Range]:
    """Events by time and status: the histogram over the list."""
    sql, values, found = _ranged(given, accounts, is_ranged=True)
    text = f"SELECT {_bucket(found.step_s)} AS at, status AS series, count() AS value FROM events WHERE {sql} GROUP BY at, series ORDER BY at, series"
    return Question(text, values), found


def statuses(given: Given, accounts: Accounts) -> tuple[Question, Range]:
    """How many events of each status."""
    sql, values, found = _ranged(given, accounts, is_ranged=True)
    return Question(f"SELECT status AS series, count() AS value FROM events WHERE {sql} GROUP BY series ORDER BY value DESC", values), found


def reasons(given: Given, accounts: Accounts) -> tuple[Question, Range]:
    """How many events of each reason."""
    sql, values, found = _ranged(given, accounts, is_ranged=True)
    text = f"SELECT reason AS series, any(status) AS what, count() AS value FROM events WHERE {sql} GROUP BY series ORDER BY value DESC"
    return Question(text, values), found


def sources(given: Given, accounts: Accounts) -> tuple[Question, Range]:
    """How many events of each source and status."""
    sql, values, found = _ranged(given, accounts, is_ranged=True)
    text = f"SELECT source_id AS series, status, count() AS value FROM events WHERE {sql} GROUP BY series, status ORDER BY series, status"
    return Question(text, values), found


def revenue(given: Given, accounts: Accounts) -> tuple[Question, Range]:
    """Value recorded and value discarded, by time and currency: sums over currencies mean nothing."""
    sql, values, found = _ranged(given, accounts, is_ranged=True)
    kind = "multiIf(status = 'ok', 'recorded', status = 'error', 'lost to errors', status)"
    text = (
        f"SELECT {_bucket(found.step_s)} AS at, {kind} AS series, currency, sum(events.value) AS value FROM events "
        f"WHERE ({sql}) AND events.value IS NOT NULL AND NOT is_test GROUP BY at, series, currency ORDER BY at, series, currency"
    )
    return Question(text, values), found


def delays(given: Given, accounts: Accounts) -> tuple[Question, Range]:
    """Time from click to conversion, counted between the edges of DELAYS_S; `value` of the edge 0 is what lies beyond the last."""
    sql, values, found = _ranged(given, accounts, is_ranged=True)
    edges = ", ".join(str(edge) for edge in DELAYS_S)
    age = "JSONExtractInt(evidence, 'age_ms') / 1000"
    text = (
        f"SELECT arrayFirst(edge -> edge >= age, [{edges}]) AS upto_s, count() AS value "
        f"FROM (SELECT {age} AS age FROM events WHERE ({sql}) AND status = 'ok' AND JSONHas(evidence, 'age_ms')) GROUP BY upto_s ORDER BY upto_s"
    )
    return Question(text, values), found


Chart = Callable[[Given, Accounts], tuple[Question, Range]]
CHARTS: Mapping[str, Chart] = {
    "volume": volume, "statuses": statuses, "reasons": reasons, "sources": sources, "revenue": revenue, "delays": delays,
}  # fmt: skip


def problems(given: Given, accounts: Accounts) -> tuple[Question, Range]:
    """Reasons that are no success, by how often, with their trend: the last half of the range against the first."""
    sql, values, found = _ranged(given, accounts, is_ranged=True)
    middle = found.begin + (found.end - found.begin) / 2
    values["middle"] = middle.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    late = "received_at >= toDateTime64({middle:String}, 3, 'UTC')"
    text = (
        "SELECT reason, any(status) AS what, sub_reason, count() AS events, "
        f"countIf({late}) AS later, countIf(NOT {late}) AS earlier, min(received_at) AS first_seen, max(received_at) AS last_seen, "
        "arraySort(groupUniqArray(20)(source_id)) AS sources, uniqExact(source_id) AS source_count, "
        "arrayReverse(arrayMap(x -> x.2, arraySort(groupArraySorted(3)((-toUnixTimestamp64Milli(received_at), event_id))))) AS examples, "
        "argMax(events.message, received_at) AS message "
        f"FROM events WHERE ({sql}) AND status != 'ok' GROUP BY reason, sub_reason ORDER BY what = 'error' DESC, events DESC LIMIT 500"
    )
    return Question(text, values), found


def shown(question_range: Range) -> dict[str, Any]:
    """Return a range as it stands in an answer."""
    return {"from": question_range.begin, "to": question_range.end, "step_s": question_range.step_s}
