"""How many rows a filter lists, over time: the histogram above a list.

It has the same condition as the list and its counter, so its bars add up to the counter. The width of a bar is the smallest round one that
needs at most BARS of them; without a range in the filter the range is that of the rows, which is asked first (two small numbers).
"""

# ruff: noqa: S608 - only names of views, columns and conditions of our own are pasted into SQL here; values are parameters

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from console import counting, filters
from console.asking import Asker
from console.listing import Accounts, Given, Question, condition
from console.lists import Listed
from sinks.pages import CONVERSIONS

BARS = 90
WIDTHS_S = (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
SPLITS = {
    "events": "toString(status)", "integration_events": "toString(status)", "system_logs": "toString(event_type)", "visits": "toString(kind)",
    "postbacks": "if(is_error, 'error', 'ok')", "activity": "toString(action)", "dead_letters": "toString(error)",
}  # fmt: skip
"""List -> what its bars are split by."""
SPLITS_IN_BASE = {"integration_events": "initcap(toString(view_status))", "system_logs": f"'{CONVERSIONS}'"}
SELECTIVE = frozenset({"q", "click_id", "transaction_id"})  # filters whose rows an index finds
ORDER = ("ok", "success", "discarded", "info", "deduplicated", "error", "failure", "created", "updated", "deleted")


class Volume(NamedTuple):
    """Bars: {at: epoch seconds, split: count, …} for each bar with rows, from the oldest; `width_s` seconds each."""

    width_s: int
    splits: tuple[str, ...]
    bars: list[dict[str, Any]]


async def volume(asker: Asker, found: Listed, given: Given, accounts: Accounts) -> Volume:
    """Return the histogram of a list."""
    ends = await _ends(asker, found.in_base if found.base else found, given, accounts)
    if ends is None:
        return Volume(60, (), [])
    width_s = width(ends[1] - ends[0])
    split = SPLITS[found.name]
    by, by_base = (
        (f"intDiv(toUnixTimestamp({each.time}), {width_s}) * {width_s} AS at", f"{words} AS split")
        for each, words in ((found, split), (found.in_base, SPLITS_IN_BASE.get(found.name, split)))
    )
    rows = await counting.grouped(asker, found, given, accounts, by, by_base)
    bars: dict[int, dict[str, Any]] = {}
    for row in rows:
        bars.setdefault(row["at"], {"at": row["at"]})[row["split"]] = row["listed"]
    return Volume(width_s, tuple(sorted({row["split"] for row in rows}, key=_place)), list(bars.values()))


def _place(split: str) -> tuple[int, str]:
    """The order of a bar's parts from its foot: what works as expected, then what does not."""
    return (ORDER.index(split.lower()) if split.lower() in ORDER else len(ORDER), split)


async def _ends(asker: Asker, found: Listed, given: Given, accounts: Accounts) -> tuple[datetime, datetime] | None:
    """Return the range of the bars, None when there is nothing to draw."""
    which = condition(found, given, accounts)
    first, last = _end(given, "from"), _end(given, "to")
    if first:
        return first, last or datetime.now(UTC)
    tables = (
        (found.base,) if found.base else found.tables or (found.view,)
    )  # superseded rows have the times of those that supersede them, and reading them costs a tenth
    # The ends of all rows stand in the parts' own books; those of the rows that pass have to be read, which few filters are worth.
    chosen = {name for name, value in given.items() if value} | which.values.keys()
    is_read = not (found.base or found.tables) or bool(chosen & (SELECTIVE | {"account", "accounts"}))
    where = f" WHERE {which.sql}" if is_read else ""
    ends = f"SELECT min({found.time}) AS first, max({found.time}) AS last, count() AS listed FROM "
    each = " UNION ALL ".join(f"{ends}{table}{where}" for table in ((found.base or found.view,) if is_read else tables))
    sql = f"SELECT min(first) AS first, max(last) AS last, sum(listed) AS listed FROM (SELECT * FROM ({each}) WHERE listed > 0)"
    row = await asker.one(Question(sql, which.values if is_read else {}))
    if row is None or not row["listed"]:
        return None
    return row["first"].replace(tzinfo=UTC), last or row["last"].replace(tzinfo=UTC)


def width(range_: timedelta) -> int:
    """Return the width of a bar in seconds."""
    seconds = range_.total_seconds()
    return next((wide for wide in WIDTHS_S if seconds <= wide * BARS), WIDTHS_S[-1])


def _end(given: Given, name: str) -> datetime | None:
    """Return one end of the filter's range."""
    texts = [text for text in ([given[name]] if isinstance(given.get(name), str) else given.get(name, [])) if text]
    return datetime.fromisoformat(filters.moment(str(texts[-1]))).replace(tzinfo=UTC) if texts else None
