"""How many rows a filter lists, exactly and soon: all verdicts less the superseded ones, which the sink keeps in a table of their own.

That table may be a moment behind (`sinks/superseding.py`). So two numbers are compared before and after: how many later verdicts there are, and
how many verdicts are known to be superseded. Each later verdict supersedes one, so they are equal when the table is complete; and when they are the
same afterwards, nothing came in between. Otherwise the question goes to the view, which is slower and always right (`listing.counted`).
"""

# ruff: noqa: S608 - only names of tables and expressions of our own are pasted into SQL here; values are parameters

from collections.abc import Sequence
from typing import Any

from console.asking import Asker
from console.listing import Accounts, Given, Question, condition, counted, part, total
from console.lists import Listed
from sinks.tables import SUPERSEDED_VERDICTS

STATE = Question(
    "SELECT (SELECT count() FROM event_revisions WHERE revision > 1) AS revised, "
    f"(SELECT count() FROM {SUPERSEDED_VERDICTS.name} FINAL) AS known",
    {},
)
LOOKS = 2


async def count(asker: Asker, found: Listed, given: Given, accounts: Accounts) -> int:
    """Return the number of rows."""
    rows = await _quickly(asker, found, given, accounts, ()) if found.base else None
    if rows is None:
        rows = await asker.rows(total(found, given, accounts))
    return int(rows[0]["total"] if "total" in rows[0] else rows[0]["listed"])


async def grouped(asker: Asker, found: Listed, given: Given, accounts: Accounts, by: Sequence[str]) -> list[dict[str, Any]]:
    """Return the number of rows as `listed`, by expressions (`… AS name`), in the order of these; groups without rows are not there."""
    rows = await _quickly(asker, found, given, accounts, by) if found.base else None
    if rows is None:
        parts = counted(found, given, accounts, by, is_split_by_verdict=True)
        rows = await asker.rows(_added(parts, by, condition(found, given, accounts).values))
    return rows


async def _quickly(asker: Asker, found: Listed, given: Given, accounts: Accounts, by: Sequence[str]) -> list[dict[str, Any]] | None:
    """Return the rows, None when the table of the superseded verdicts is behind."""
    sql, values = condition(found, given, accounts)
    question = _added(
        f"{part(found.base, '1', sql, by)} UNION ALL {part(f'{SUPERSEDED_VERDICTS.name} FINAL', '1', sql, by, '-')}", by, values
    )
    before = await asker.one(STATE)
    for _ in range(LOOKS):
        if before is None or before["revised"] != before["known"]:
            return None
        rows = await asker.rows(question)
        after = await asker.one(STATE)
        if after == before:
            return rows
        before = after
    return None


def _added(parts: str, by: Sequence[str], values: dict[str, object]) -> Question:
    names = ", ".join(each.rpartition(" AS ")[2] for each in by)
    shown, group = (f"{names}, ", f" GROUP BY {names} HAVING listed > 0 ORDER BY {names}") if by else ("", "")
    return Question(f"SELECT {shown}toUInt64(sum(parts.listed)) AS listed FROM ({parts}) AS parts{group}", values)
