"""A page of a list, quickly: first which rows are nearest, from the table alone, then those rows from the view.

The view `events` leaves out superseded verdicts, and so it has to compare every row of the range with the later revisions: for "the newest 50 of
everything" that was 2.7 s on 10 million events. The table behind it can be read in its own order and left after the first 60 rows. It has every
row that the view has, and superseded ones besides; so its nearest rows bound the page, and the view is asked for exactly these, by id and time.

    10 million events, 300,000 revised, 2 shared cores (ms, see below)   all of one account   an error   two filters   by id
    the view alone                                                                    2,748      3,072         3,226     797
    nearest first                                                                        90        150           170      60

The first line is one run, the second was put together from prototypes: the size of the gain, not a figure to quote.

A total has no such bound, but most filters are on what no later verdict changes (source, type, transaction …): there one row of the first revision is
one event, and the view is not needed either (`listing.total`).
"""

# ruff: noqa: S608 - only names of views, columns and conditions of our own are pasted into SQL here; values are parameters

import time
from datetime import datetime
from typing import Any

from console.asking import Asker
from console.listing import Accounts, Cursor, Given, Question, Row, condition, cursor_condition, milliseconds, page
from console.lists import Listed

WINDOWS_MS = (3_600_000, 86_400_000, 7 * 86_400_000)
MORE = 4  # times as many, when superseded rows left too few
MOST = 20_000
FEW = 16  # accounts: each is read in the table's own order and left early, and the nearest of all are put together


async def rows(
    asker: Asker, found: Listed, given: Given, accounts: Accounts, cursor: Cursor | None, limit: int, there_are: Accounts = None
) -> list[Row]:
    """Return the rows of a page, and one more if there is another page: what `listing.cut` takes.

    `there_are`: all accounts that any row can have. Naming them lets the table be read in its order for those who see all, too.
    """
    question = page(found, given, accounts, cursor, limit)
    wanted = limit + 1
    if not found.base:
        return await _by_windows(asker, found, question, cursor, wanted)
    take = wanted + wanted // 8 + 8
    while take < MOST:
        near = await asker.one(nearest(found.in_base, given, there_are if accounts is None else accounts, cursor, take))
        if near is None or not near["ids"]:
            return []
        is_all = near["taken"] < take
        answer = await asker.rows(among(found, question, near, cursor, is_all=is_all))
        if is_all or len(answer) >= wanted:
            return answer
        take *= MORE
    return await asker.rows(question)


async def _by_windows(asker: Asker, found: Listed, question: Question, cursor: Cursor | None, wanted: int) -> list[Row]:
    """Look at the last hour, then the last day, then the last week, before all: of a busy list the first is enough."""
    if found.is_wide and (cursor is None or cursor.direction == "older"):
        now_ms = cursor.at_ms if cursor is not None else int(time.time() * 1000)
        for window_ms in WINDOWS_MS:
            answer = await asker.rows(_after(found, question, now_ms - window_ms))
            if len(answer) >= wanted:
                return answer
    return await asker.rows(question)


def _after(found: Listed, question: Question, begin_ms: int) -> Question:
    head, _, tail = question.sql.partition(" WHERE ")
    sql = f"{head} WHERE {found.time} >= fromUnixTimestamp64Milli({{begin:Int64}}, 'UTC') AND {tail}"
    return Question(sql, question.values | {"begin": begin_ms})


def nearest(found: Listed, given: Given, accounts: Accounts, cursor: Cursor | None, take: int) -> Question:
    """Return the question for the ids of the `take` nearest rows of the table, and the time of the farthest, as {ids, farthest, taken}."""
    sql, values = condition(found, given, None)
    end, order = "min", "DESC"
    if cursor is not None:
        sql = f"({sql}) AND {cursor_condition(found, cursor)}"
        values |= {"cursor_at": cursor.at_ms, "cursor_key": cursor.key}
        if cursor.direction == "newer":
            end, order = "max", "ASC"

    def inner(kept: str) -> str:
        which = f"SELECT {found.key} AS id, {found.time} AS at FROM {found.base} WHERE ({sql}) AND {kept}"
        return f"SELECT * FROM ({which} ORDER BY {found.time} {order} LIMIT {{take:UInt32}})"

    if accounts is None or len(accounts) > FEW:
        kept, values = (
            ("1", values) if accounts is None else (f"{found.account} IN {{accounts:Array(String)}}", values | {"accounts": list(accounts)})
        )
        rows = inner(kept)
    else:
        values |= {f"account_{at}": account for at, account in enumerate(accounts)}
        each = [inner(f"{found.account} = {{account_{at}:String}}") for at in range(len(accounts))]
        rows = f"SELECT * FROM ({' UNION ALL '.join(each) or inner('0')}) ORDER BY at {order} LIMIT {{take:UInt32}}"
    return Question(f"SELECT groupArray(id) AS ids, {end}(at) AS farthest, count() AS taken FROM ({rows})", values | {"take": take})


def among(found: Listed, question: Question, near: dict[str, Any], cursor: Cursor | None, *, is_all: bool) -> Question:
    """Return the question for a page, kept to these rows. Of those with the time of the farthest some may not have been taken."""
    farthest: datetime = near["farthest"]
    sign = "<" if cursor is not None and cursor.direction == "newer" else ">"
    bound = f"{found.time} {sign}{'=' if is_all else ''} fromUnixTimestamp64Milli({{farthest:Int64}}, 'UTC')"
    head, _, tail = question.sql.partition(" WHERE ")
    sql = f"{head} WHERE {bound} AND {found.key} IN {{ids:Array(String)}} AND {tail}"
    return Question(sql, question.values | {"farthest": milliseconds(farthest), "ids": near["ids"]})
