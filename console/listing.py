"""A page of a list, its total, and the cursor to the next one: as statements with their parameters, to be asked by whoever is connected.

Pages are cut by key, not by number: "rows older than this one". New rows arrive at the front all the time, and a page that is cut by OFFSET
would show rows twice and skip others; it would also cost more with every page. A cursor is opaque and holds nothing secret: the list, the
direction, and the key of the row at which a page ends.

The total is exact and follows the same condition as the rows; it is a statement of its own, so that a page need not wait for it.
"""

# ruff: noqa: S608 - only names of views, columns and conditions of our own are pasted into SQL here; values are parameters

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson

from console import filters
from console.lists import Listed, columns_of
from streams.runtime.errors import BadSettings

Given = Mapping[str, str | list[str]]
Accounts = Sequence[str] | None
"""Whose rows may be seen; None: everybody's."""
Row = dict[str, Any]


class Question(NamedTuple):
    """A statement and its parameters."""

    sql: str
    values: dict[str, object]


class Cursor(NamedTuple):
    """A place in a list: everything `older` or `newer` than a row."""

    list_name: str
    direction: Literal["older", "newer"]
    at_ms: int
    key: str

    def text(self) -> str:
        """Return it as it stands in a URL."""
        return base64.urlsafe_b64encode(orjson.dumps(list(self))).rstrip(b"=").decode()


class Page(NamedTuple):
    """Rows, newest first, and the cursors to what is older and newer; None where nothing is known to be."""

    rows: list[Row]
    older: str | None
    newer: str | None


def read_cursor(found: Listed, text: str) -> Cursor | None:
    """Return the cursor of a URL, None for an empty one. BadSettings when it is none of this list."""
    if not text:
        return None
    try:
        name, direction, at_ms, key = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        is_ours = name == found.name and direction in {"older", "newer"} and isinstance(key, str)
        is_ours = is_ours and type(at_ms) is int and 0 <= at_ms < 1 << 42
    except (ValueError, TypeError, binascii.Error):
        is_ours = False
    if not is_ours:
        raise BadSettings("This cursor is none of this list.", "Take it from the answer of the page before, or leave it out.")
    return Cursor(name, direction, at_ms, key)


def condition(found: Listed, given: Given, accounts: Accounts) -> Question:
    """Return the condition of a list's filters, kept to the accounts that may be seen. BadSettings for a wrong filter."""
    sql, values = filters.where(found.filters, given)
    if accounts is not None:
        kept = f"{found.account} = {{account:String}}" if len(accounts) == 1 else f"{found.account} IN {{accounts:Array(String)}}"
        sql = f"({sql}) AND {kept}" if found.account else "0"
        values |= {"account": accounts[0]} if len(accounts) == 1 else {"accounts": list(accounts)}  # one: the table is read in its order
    return Question(sql, values)


def page(found: Listed, given: Given, accounts: Accounts, cursor: Cursor | None, limit: int) -> Question:
    """Return the question for one row more than `limit`: whether there is another page is known without counting."""
    sql, values = condition(found, given, accounts)
    is_newer = cursor is not None and cursor.direction == "newer"
    if cursor is not None:
        sql = f"({sql}) AND {cursor_condition(found, cursor)}"
        values |= {"cursor_at": cursor.at_ms, "cursor_key": cursor.key}
    order = "ASC" if is_newer else "DESC"
    columns = ", ".join(f"`{column.name}`" for column in columns_of(found, is_whole=False))
    return Question(
        f"SELECT {columns}, {found.key} AS cursor_key_ FROM {found.view} WHERE {sql} "
        f"ORDER BY {found.time} {order}, {found.key} {order} LIMIT {{limit:UInt32}}",
        values | {"limit": limit + 1},
    )


def cursor_condition(found: Listed, cursor: Cursor) -> str:
    """Return the condition for the rows behind a cursor; the time alone stands in front, because that is what the table is ordered by."""
    sign = ">" if cursor.direction == "newer" else "<"
    at = "fromUnixTimestamp64Milli({cursor_at:Int64}, 'UTC')"
    return f"{found.time} {sign}= {at} AND ({found.time} {sign} {at} OR {found.key} {sign} {{cursor_key:String}})"


def total(found: Listed, given: Given, accounts: Accounts) -> Question:
    """Return the question for the number of rows that a filter lists, as `total`. The event log's is asked quicker in `counting.py`."""
    return Question(
        f"SELECT toUInt64(sum(listed)) AS total FROM ({counted(found, given, accounts)})", condition(found, given, accounts).values
    )


def counted(found: Listed, given: Given, accounts: Accounts, by: Sequence[str] = (), *, is_split_by_verdict: bool = False) -> str:
    """Return SQL for the number of rows that a filter lists, as `listed`, by expressions (`… AS name`)."""
    sql, _ = condition(found, given, accounts)
    chosen = {name for name, value in given.items() if value}
    if found.base and chosen <= found.fixed and not is_split_by_verdict:  # no later verdict changes these
        return part(found.base, "revision = 1", sql, by)
    return part(found.view, "1", sql, by)


def part(source: str, which: str, sql: str, by: Sequence[str], sign: str = "") -> str:
    """Return SQL for the number of rows of a table or view under two conditions, as `listed`, negative for what is to be taken off."""
    names = ", ".join(each.rpartition(" AS ")[2] for each in by)
    shown, group = "".join(f"{each}, " for each in by), f" GROUP BY {names}" if by else ""
    return f"SELECT {shown}{sign}toInt64(count()) AS listed FROM {source} WHERE {which} AND ({sql}){group}"


def cut(found: Listed, rows: list[Row], cursor: Cursor | None, limit: int) -> Page:
    """Return the page that the answer to `page` makes."""
    has_more, rows = len(rows) > limit, rows[:limit]
    is_newer = cursor is not None and cursor.direction == "newer"
    if is_newer:
        rows = rows[::-1]
    keys = [row.pop("cursor_key_") for row in rows]
    if not rows:
        return Page([], None, None)

    def to(direction: Literal["older", "newer"], at: int) -> str:
        return Cursor(found.name, direction, milliseconds(rows[at][found.time]), keys[at]).text()

    has_older, has_newer = (True, has_more) if is_newer else (has_more, cursor is not None)
    return Page(rows, to("older", -1) if has_older else None, to("newer", 0) if has_newer else None)


def milliseconds(at: datetime) -> int:
    """Return a time of ClickHouse (UTC, without saying so or saying it) as epoch milliseconds, exactly."""
    gap = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (gap.days * 86_400 + gap.seconds) * 1000 + gap.microseconds // 1000
