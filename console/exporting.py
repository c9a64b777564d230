"""Exports: a list as a file, in ClickHouse's own formats, streamed through us piece by piece; what we add is the guard and the count.

The guard: a cell of a CSV that begins like a formula is run by the spreadsheet that opens it, and our cells come from strangers' payloads
(OWASP, "CSV injection"). Such a text gets an apostrophe in front, in SQL, so nothing is parsed here; numbers are numbers and stay. Parquet
and NDJSON have no formulas. Payloads may be no text at all: Parquet carries them exactly, in base64 beside columns that are text for every
reader; in CSV and NDJSON bytes that are no UTF-8 become the replacement character.

The count follows what was really written: rows of text formats are counted as they pass (a line break inside quotes is none), Parquet is
written by the server at its end, whose summary says how many. A count(*) beforehand would be another moment's number.
"""

# ruff: noqa: S608 - only names of views and columns of our own are pasted into SQL here; values are parameters

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from urllib3.exceptions import HTTPError

from console import filters
from console.warehouse import Warehouse
from schemas.policies import KIND_WORDS
from sinks.pages import VIEW_STATUSES
from sinks.schema import Column
from sinks.tables import TABLES
from sinks.views import VIEWS
from streams.runtime.errors import BadSettings, Unavailable

FORMATS = {"csv": "CSVWithNames", "parquet": "Parquet", "ndjson": "JSONEachRow"}
TEXTS = ("csv", "ndjson")
FORMULA = r"^[=+\\-@\\t\\r\\n＝＋－＠]"
PIECE_BYTES = 1 << 18
SORT_BYTES = 512 << 20  # of memory; a larger list is sorted on disk

_RANGE = {"since": "{time} >= toDateTime64({{since:String}}, 3, 'UTC')", "until": "{time} < toDateTime64({{until:String}}, 3, 'UTC')"}


def _range(time: str) -> dict[str, str]:
    return {name: condition.format(time=time) for name, condition in _RANGE.items()}


class Listed(NamedTuple):
    """A list that can be exported: the view, its order, its filters."""

    view: str
    order: str
    conditions: filters.Conditions


_CLICKS = {name: filters.EVENTS[name] for name in ("campaign", "traffic_source", "property")}
LISTS = (
    Listed("events", "received_at, event_id", filters.EVENTS),
    Listed(
        "integration_events",
        "created_date, event_id",
        {"view_status": "status = {view_status:String}", "type": "type = {type:String}", **_range("created_date")},
    ),
    Listed("system_logs", "received_at, id", {"event_type": "event_type = {event_type:String}", **_CLICKS, **_range("received_at")}),
    Listed("visits", "received_at, visit_id", {"type": "kind = {type:String}", **_CLICKS, **_range("received_at")}),
    Listed("postbacks", "postback_time, postback_id", {"property": filters.EVENTS["property"], **_range("postback_time")}),
    Listed("activity", "changed_at, activity_id", filters.ACTIVITY),
)


def listed(name: str) -> Listed:
    """Return a list by its name. BadSettings when there is none."""
    for found in LISTS:
        if found.view == name:
            return found
    raise BadSettings(f"There is no list {name!r}.", f"The lists are: {', '.join(found.view for found in LISTS)}.")


def statement(found: Listed, form: str, given: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the SELECT of an export and its parameters. BadSettings for a filter that the list does not have."""
    foreign = [name for name, value in given.items() if value and name not in found.conditions]
    if foreign:
        known = ", ".join(f"--{name.replace('_', '-')}" for name in found.conditions)
        raise BadSettings(f"{found.view} has no filter --{foreign[0].replace('_', '-')}.", f"Its filters are: {known}.")
    words = dict(given)
    if found.view == "integration_events":  # the page's words
        words["type"] = KIND_WORDS.get(given.get("type", ""), given.get("type", ""))
        words["view_status"] = VIEW_STATUSES.get(given.get("view_status", ""), given.get("view_status", ""))
    condition, values = filters.where(found.conditions, words)
    columns = ", ".join(_expression(column, form) for column in columns_of(found.view))
    return f"SELECT {columns} FROM {found.view} AS listed WHERE {condition} ORDER BY {found.order}", values


def columns_of(view: str) -> list[Column]:
    """Return the columns of a list, without its place in our log."""
    (columns,) = [each.columns for each in (*TABLES, *VIEWS) if each.name == view]
    return [column for column in columns if column.name not in {"log_partition", "log_offset", "logged_at"}]


def _expression(column: Column, form: str) -> str:
    """Return a column as it is exported: guarded in CSV, valid UTF-8 in texts, bytes in base64 in Parquet."""
    if column.name == "payload" and form not in TEXTS:
        return "base64Encode(listed.payload) AS payload_b64"
    if "String" not in column.type or column.type.startswith(("Map", "Array")) or form not in TEXTS:
        return f"listed.{column.name} AS {column.name}"
    text = f"toValidUTF8(toString(listed.{column.name}))"
    if form == "csv":
        text = f"if(match(ifNull({text}, ''), '{FORMULA}'), concat('\\'', {text}), {text})"
    return f"{text} AS {column.name}"


class Export:
    """One export on its way: iterate over its pieces, then ask `row_count`."""

    def __init__(self, warehouse: Warehouse, sql: str, values: Mapping[str, Any], form: str) -> None:
        settings: dict[str, Any] = {"max_bytes_before_external_sort": SORT_BYTES, "output_format_parquet_string_as_string": 1}
        settings["format_csv_null_representation"] = ""  # \\N means nothing to a spreadsheet
        if form not in TEXTS:
            settings["wait_end_of_query"] = 1
        self.row_count = 0
        self._form = form
        self._is_quoted = False
        self._answer = warehouse.answer(sql, FORMATS[form], values, settings)
        if form not in TEXTS:
            self.row_count = self._answer.summary("result_rows")

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces. Unavailable when the answer breaks off: half an export must not pass for a whole one."""
        try:
            for piece in self._answer.pieces(PIECE_BYTES):
                if self._form in TEXTS:
                    self.row_count += self._lines(piece)
                yield piece
        except HTTPError as error:
            raise Unavailable(
                f"The export broke off after {self.row_count} rows: {error}.", "Try again; a shorter time range may help."
            ) from error
        if self._form == "csv" and self.row_count:
            self.row_count -= 1  # the line of names

    def _lines(self, piece: bytes) -> int:
        """Return how many lines end in a piece; one inside quotes is content. NDJSON has its quotes escaped and no line breaks inside."""
        if self._form == "ndjson":
            return piece.count(b"\n")
        ended = 0
        for at, part in enumerate(piece.split(b'"')):
            if at:
                self._is_quoted = not self._is_quoted
            if not self._is_quoted:
                ended += part.count(b"\n")
        return ended
