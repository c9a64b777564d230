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
from typing import Any

from urllib3.exceptions import HTTPError

from console import masking
from console.listing import Accounts, Given, Question, condition
from console.lists import Listed, columns_of
from console.warehouse import Warehouse
from sinks.schema import Column
from streams.runtime.errors import Unavailable

FORMATS = {"csv": "CSVWithNames", "parquet": "Parquet", "ndjson": "JSONEachRow"}
TEXTS = ("csv", "ndjson")
FORMULA = r"^[=+\\-@\\t\\r\\n＝＋－＠]"
PIECE_BYTES = 1 << 18
SETTINGS: Mapping[str, Any] = {
    "max_bytes_before_external_sort": 512 << 20,  # of memory; a larger list is sorted on disk
    "output_format_parquet_string_as_string": 1,
    "format_csv_null_representation": "",  # \\N means nothing to a spreadsheet
}


def statement(found: Listed, form: str, given: Given, accounts: Accounts = None, *, is_masked: bool = False) -> Question:
    """Return the question that is an export, personal data masked or not. BadSettings for a filter or a word that the list does not have."""
    sql, values = condition(found, given, accounts)
    shown = [(column, masking.sql(column) if is_masked else f"listed.`{column.name}`") for column in columns_of(found, is_whole=True)]
    columns = ", ".join(_expression(column, text, form) for column, text in shown if text is not None)
    return Question(f"SELECT {columns} FROM {found.view} AS listed WHERE {sql} ORDER BY {found.time}, {found.key}", values)


def _expression(column: Column, value: str, form: str) -> str:
    """Return a column as it is exported: guarded in CSV, valid UTF-8 in texts, bytes in base64 in Parquet."""
    if column.name == "payload" and form not in TEXTS:
        return f"base64Encode({value}) AS payload_b64"
    if "String" not in column.type or column.type.startswith(("Map", "Array")) or form not in TEXTS:
        return f"{value} AS `{column.name}`"
    text = f"toValidUTF8(toString({value}))"
    if form == "csv":
        text = f"if(match(ifNull({text}, ''), '{FORMULA}'), concat('\\'', {text}), {text})"
    return f"{text} AS `{column.name}`"


class Export:
    """One export on its way: iterate over its pieces, then ask `row_count`."""

    def __init__(self, warehouse: Warehouse, sql: str, values: Mapping[str, Any], form: str) -> None:
        wait = {} if form in TEXTS else {"wait_end_of_query": 1}
        self.row_count = 0
        self._form = form
        self._is_quoted = False
        self._answer = warehouse.answer(sql, FORMATS[form], values, {**SETTINGS, **wait})
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
