"""Filters of the event log over rows as they stand in Kafka: the live tail's half of `filters.py`, from the same table.

The words and names are checked by the table; here each filter becomes a test of one field. Times are not filtered: what is live is now.
"""

from collections.abc import Callable
from typing import Any

from console import filters
from console.filters import Filter
from console.listing import Accounts, Given

Test = Callable[[dict[str, Any]], bool]


def passes(given: Given, accounts: Accounts) -> Test:
    """Return the test that a row of events.v1 has to pass. BadSettings as `filters.where`."""
    _, values = filters.where(filters.EVENTS, given)
    chosen = [found for found in filters.EVENTS if found.name in values and found.kind not in {"from", "to"}]
    tests = [_searched(found, given) if found.kind == "search" else _test(found, values[found.name]) for found in chosen]
    if accounts is not None:
        allowed = frozenset(accounts)
        tests.append(lambda row: row["account_id"] in allowed)
    return lambda row: all(test(row) for test in tests)


def _searched(found: Filter, given: Given) -> Test:
    text = given[found.name]
    wanted = (text if isinstance(text, str) else text[-1]).strip()
    columns = [name.strip() for name in found.column.split(",")]
    if wanted.endswith("*"):
        beginning = wanted.rstrip("*")
        return lambda row: any(str(row.get(name) or "").startswith(beginning) for name in columns)
    return lambda row: any(row.get(name) == wanted for name in columns)


def _test(found: Filter, value: Any) -> Test:
    column = found.column
    if found.kind == "flag":
        return lambda row: bool(row.get(column)) == bool(value)
    wanted = frozenset(value)
    return lambda row: row.get(column) in wanted
