"""How many rows a filter lists, exactly and soon: all verdicts less the superseded ones, which the sink keeps in a table of their own.

That table may be a moment behind (`sinks/superseding.py`). So two numbers are compared before and after: how many later verdicts there are, and
how many verdicts are known to be superseded. Each later verdict supersedes one, so they are equal when the table is complete; and when they are the
same afterwards, nothing came in between. Otherwise the question goes to the view, which is slower and always right (`listing.counted`).
The lists that say the same in other words, or have other rows besides (`lists.py`), are counted with it.
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
EVERY_VERDICT = "event_revisions"


async def count(asker: Asker, found: Listed, given: Given, accounts: Accounts) -> int:
    """Return the number of rows."""
    if not _has_verdicts(found):
        rows = await asker.rows(total(found, given, accounts))
        return int(rows[0]["total"])
    quick = await _quickly(asker, found, given, accounts, (), ())
    rows = await asker.rows(_slowly(found, given, accounts, (), ())) if quick is None else quick
    return int(rows[0]["listed"])


async def grouped(
    asker: Asker, found: Listed, given: Given, accounts: Accounts, by: Sequence[str], by_base: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the number of rows as `listed`, by expressions (`… AS name`), in the order of these; groups without rows are not there.

    `by_base`: the same expressions in the words of the table behind the view.
    """
    rows = await _quickly(asker, found, given, accounts, by, by_base) if _has_verdicts(found) else None
    return await asker.rows(_slowly(found, given, accounts, by, by_base)) if rows is None else rows


def _has_verdicts(found: Listed) -> bool:
    return bool(found.base or found.by_base)


def _slowly(found: Listed, given: Given, accounts: Accounts, by: Sequence[str], by_base: Sequence[str]) -> Question:
    parts = counted(found.in_base, given, accounts, by_base, is_split_by_verdict=bool(by))
    return _added(_with_others(found, given, accounts, by, parts), by, _values(found, given, accounts))


def _with_others(found: Listed, given: Given, accounts: Accounts, by: Sequence[str], parts: str) -> str:
    return f"{parts} UNION ALL {part(found.view, found.others, condition(found, given, accounts).sql, by)}" if found.others else parts


def _values(found: Listed, given: Given, accounts: Accounts) -> dict[str, object]:
    return condition(found, given, accounts).values | condition(found.in_base, given, accounts).values


async def _quickly(
    asker: Asker, found: Listed, given: Given, accounts: Accounts, by: Sequence[str], by_base: Sequence[str]
) -> list[dict[str, Any]] | None:
    """Return the rows, None when the table of the superseded verdicts is behind."""
    sql = condition(found.in_base, given, accounts).sql
    parts = f"{part(EVERY_VERDICT, '1', sql, by_base)} UNION ALL {part(f'{SUPERSEDED_VERDICTS.name} FINAL', '1', sql, by_base, '-')}"
    question = _added(_with_others(found, given, accounts, by, parts), by, _values(found, given, accounts))
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
