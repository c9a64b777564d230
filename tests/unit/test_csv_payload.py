"""A row of a CSV file behind its header: what is read of it, and what is wrong with one that cannot be read."""

import pytest

from streams.ingest.csv_rows import Rows
from streams.payload import read


@pytest.mark.parametrize(
    ("table", "parameters"),
    [
        (b"order_id,value\nT1,5", {"order_id": "T1", "value": "5"}),
        (b"\xef\xbb\xbforder_id;value;note\r\nT1;1,50;\r\n", {"order_id": "T1", "value": "1,50", "note": ""}),
        (b"Click ID\tConversion Time\nc1\t2026-11-20 10:00:00", {"Click ID": "c1", "Conversion Time": "2026-11-20 10:00:00"}),
        (b'order_id,note\n"T1","a, ""b""\nc"', {"order_id": "T1", "note": 'a, "b"\nc'}),
        (b"order_id,caf\xe9\nT1,\xe9", {"order_id": "T1", "café": "é"}),
        (b"email,email,\n,a@x.example,rest", {"email": "a@x.example", "email.0": "", "email.1": "a@x.example"}),
        (b"order_id\nT1", {"order_id": "T1"}),
    ],
)
def test_a_row_is_its_columns(table, parameters):
    """A39, A03: a conversion upload shows all parameters with their values."""
    assert read(table, "text/csv; charset=utf-8") == (parameters, None)


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        (b"order_id,value\nT1,5\nT2,6\n", "this payload holds 2 objects; send them to /in/<source_id>/bulk, one per line"),
        (b"order_id,value\n", "the table has a header and no row"),
        (b"order_id,value\nT1", "the row has 1 fields, the header names 2"),
        (b'order_id,value\n"T1,5', "CSV breaks: unexpected end of data"),
    ],
)
def test_what_cannot_be_read_says_why(table, cause):
    assert read(table, "text/csv") == ({}, cause)


def test_rows_go_behind_the_header_and_over_line_ends():
    rows = Rows(20)
    assert [rows.of(line) for line in (b"a,b", b"1,2", b'3,"x', b'y"')] == [None, b"a,b\n1,2", None, b'a,b\n3,"x\ny"']
    assert rows.rest() is None
    assert [rows.of(line) for line in (b'"never', b"closed, but long enough")] == [None, b'a,b\n"never\nclosed, but long enough']
