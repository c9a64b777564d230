"""One row of a CSV file as parameters: conversion uploads are tables, from spreadsheets and from the exports of networks.

A payload is a header and one row, the two lines as they stood in the file: so the bytes of each row are kept with the names that explain
them, and a row is a payload like any other, with an id, a hash and a verdict of its own. Ingest puts the header before each row of an upload
(`streams/ingest/csv_rows.py`); who sends a whole table as one payload gets a row that says where it belongs.

What separates the fields is seen in the header, because spreadsheets write commas, semicolons or tabs by the country that they think in.
"""

import csv
from collections.abc import Callable
from itertools import islice

from streams.json_payload import LONGEST_NAME, clean, merged, several

TYPES = ("text/csv", "application/csv", "text/tab-separated-values")
SEPARATORS = ",;\t|"
MOST_COUNTED = 1_000


def is_csv(content_type: str) -> bool:
    """Whether a content type says that this is a table."""
    return content_type.partition(";")[0].strip().lower() in TYPES


def read_csv(value: bytes, as_text: Callable[[bytes], str]) -> dict[str, str]:
    """Parameters of a header and one row; empty names are left out. ValueError says why they can't be read."""
    lines = as_text(value).splitlines(keepends=True)
    if not lines:
        raise ValueError("the table is empty")
    separator = max(SEPARATORS, key=lines[0].count)
    try:
        header, *rows = [row for row in islice(csv.reader(lines, delimiter=separator, strict=True), MOST_COUNTED + 2) if any(row)]
    except (csv.Error, ValueError) as error:
        raise ValueError(f"CSV breaks: {error}") from error
    if len(rows) > 1:
        raise several(len(rows))
    if not rows:
        raise ValueError("the table has a header and no row")
    names = [clean(name.strip()[:LONGEST_NAME]) for name in header]
    if len(rows[0]) != len(names):
        raise ValueError(f"the row has {len(rows[0])} fields, the header names {len(names)}")
    return merged((name, clean(item)) for name, item in zip(names, rows[0], strict=True) if name)
