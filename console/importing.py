"""What `clicktrail export` wrote, back into a database: NDJSON or Parquet, the rows as they were.

An imported row is a record of what was judged elsewhere; nothing is judged again (for that, send the payloads to a source). Three rules
keep the database sound:

- What is there already, the same, is left; so an import may be repeated, and one that broke off is run again.
- What is there already and differs is refused, before anything is written: two installations count their events from the same e1-0-0.
- The place in the log is one that no topic has (`NO_PARTITION`), because the sink knows by it which records it has written.

The file goes into a table beside first, so that a file with a broken line in the middle leaves nothing behind. NDJSON cannot hold payloads
that are no text; their SHA-256 tells, and they are refused. A CSV has its formulas disarmed, so it is not what was exported, and is no format here.
"""

# ruff: noqa: S608 - only names of tables and columns of our own are pasted into SQL here

import secrets
from typing import IO, Any, NamedTuple

from console.lists import columns_of, listed
from console.warehouse import Warehouse
from sinks.schema import Column
from sinks.tables import TABLES
from streams.runtime.errors import BadSettings, near_match

NO_PARTITION = (1 << 32) - 1
FORMATS = {"ndjson": "JSONEachRow", "parquet": "Parquet"}
IMPORTABLE = ("events", "visits", "activity")  # a list whose rows are those of a table; the others are views of several rows
TEXT_ONLY = "Export as Parquet, which keeps bytes that are no text."


class Imported(NamedTuple):
    """What became of a file's rows."""

    rows: int
    written: int
    known: int


def import_rows(warehouse: Warehouse, name: str, form: str, file: IO[bytes]) -> Imported:
    """Write the rows of an export that are not there yet. BadSettings, and nothing written, when the file does not fit."""
    if name not in IMPORTABLE:
        raise BadSettings(f"{name} cannot be imported.", near_match(name, list(IMPORTABLE)) or f"What can be: {', '.join(IMPORTABLE)}.")
    found = listed(name)
    table, key = found.base or found.view, [found.time, found.key, *(["revision"] if found.base else [])]
    columns = columns_of(found, is_whole=True)
    beside = f"import_{secrets.token_hex(6)}"
    warehouse.command(
        f"CREATE TABLE {beside} ({', '.join(_definition(column, form) for column in columns)}) ENGINE = MergeTree ORDER BY tuple()"
    )
    try:
        warehouse.insert(beside, [_name(column, form) for column in columns], file, FORMATS[form])
        return _moved(warehouse, beside, table, key, columns, form)
    finally:
        warehouse.command(f"DROP TABLE {beside} SYNC")


def _moved(warehouse: Warehouse, beside: str, table: str, key: list[str], columns: list[Column], form: str) -> Imported:
    names = [f"`{column.name}`" for column in columns]
    rows = f"(SELECT {', '.join(_value(column, form) for column in columns)} FROM {beside})"
    which, hashed = ", ".join(f"`{each}`" for each in key), f"cityHash64(tuple({', '.join(names)}))"
    begin, end = _range(warehouse, key[0], rows)
    there = f"(SELECT {which}, {hashed} AS is_now FROM {table} WHERE `{key[0]}` BETWEEN '{begin}' AND '{end}')"
    counts: dict[str, Any] = warehouse.one(
        f"SELECT count() AS rows, countIf(there.is_now != 0) AS known, countIf(there.is_now NOT IN (0, given.is_given)) AS others, "
        f"anyIf(given.`{key[1]}`, there.is_now NOT IN (0, given.is_given)) AS other "
        f"FROM (SELECT {which}, {hashed} AS is_given FROM {rows}) AS given LEFT JOIN {there} AS there USING ({which})"
    ) or {}  # fmt: skip
    if counts["others"]:
        raise BadSettings(
            f"{counts['others']} rows of the file are here already and differ, {counts['other']} for one. Nothing was written.",
            "The file is of another installation that counts as this one does: import it into a database of its own (CLICKTRAIL_CLICKHOUSE__DATABASE).",
        )
    _refuse_lost_payloads(warehouse, rows, names)
    logged = next((column.name for each in TABLES if each.name == table for column in each.columns if column.name == "logged_at"), "")
    place = ", ".join(["log_partition", "log_offset", *([logged] if logged else [])])
    warehouse.command(
        f"INSERT INTO {table} ({', '.join(names)}, {place}) SELECT {', '.join(names)}, {NO_PARTITION}, "
        f"toUnixTimestamp64Milli(now64(3)) * 1000 + rowNumberInAllBlocks(){', now64(3)' if logged else ''} FROM {rows} "
        f"WHERE ({which}) NOT IN (SELECT {which} FROM {there})"
    )
    return Imported(counts["rows"], counts["rows"] - counts["known"], counts["known"])


def _range(warehouse: Warehouse, time: str, rows: str) -> tuple[str, str]:
    """The times of the file's rows: what is there already is looked for among these only."""
    ends: dict[str, Any] = warehouse.one(f"SELECT toString(min(`{time}`)) AS begin, toString(max(`{time}`)) AS end FROM {rows}") or {}
    return ends["begin"], ends["end"]


def _refuse_lost_payloads(warehouse: Warehouse, rows: str, names: list[str]) -> None:
    if "`payload`" not in names:
        return
    lost: dict[str, Any] = warehouse.one(
        f"SELECT count() AS lost, any(event_id) AS one FROM {rows} WHERE lower(hex(SHA256(payload))) != payload_sha256"
    ) or {}  # fmt: skip
    if lost["lost"]:
        raise BadSettings(
            f"The payloads of {lost['lost']} rows are not those that were received, {lost['one']} for one. Nothing was written.", TEXT_ONLY
        )


def _name(column: Column, form: str) -> str:
    return "payload_b64" if column.name == "payload" and form == "parquet" else column.name


def _definition(column: Column, form: str) -> str:
    return f"`{_name(column, form)}` {column.type}"


def _value(column: Column, form: str) -> str:
    return "base64Decode(payload_b64) AS payload" if _name(column, form) != column.name else f"`{column.name}`"
