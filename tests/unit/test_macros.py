"""Values that are none: unexpanded macros and placeholders (A29, rule 9)."""

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from streams.macros import blank_kind, given

MACROS = [
    "--CLICK-ID--",
    "{clickid}",
    "{{clickid}}",
    "{click_id}",
    "#S2#",
    "#CONVERSIONID#",
    "!!afftrack!!",
    "!!!clickRef!!!",
    "%SUBID%",
    "[CLICKID]",
    "[[subid]]",
    "${x}",
    "__X__",
    "__CLICKID__",
    "<click_id>",
    "REPLACE",
    "REPLACE_ME",
    "REPLACE-WITH-ID",
    "aff_{sub}",
    "%7Bclickid%7D",
    "%5BCLICKID%5D",
    "{SubId1}",
    "{campaign.id}",
    "{}",
    "clickid",
    "SUBID",
    "YOUR_CLICK_ID",
    "CLICK_ID",
]
PLACEHOLDERS = ["null", "NULL", "undefined", "n/a", "N/A", "none", "None", "guest", "test@test.com", "nan", "0", "-", "(null)", "(not set)"]
VALUES = [
    "c0123456789abcdef",
    "T123",
    "550e8400-e29b-41d4-a716-446655440000",
    "a_b-c",
    "fb.1.1700000000.abc",
    "AbC==",
    "jane@example.com",
    "42",
    "00",
    "x",
    "order-1--2",
    "__init",
    "100%",
    "1#2",
    "replaced",
    "nulls",
    "wow!",
    "a!!b",
    "{half",
    "half}",
    "é",
]


@pytest.mark.parametrize("value", MACROS)
def test_macros_are_no_values(value):
    """A29: the link token comes back literally, and so do all macro styles of the trade."""
    assert blank_kind(value) == "macro_unexpanded"
    assert given(f" {value} ") is None


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_placeholders_are_no_values(value):
    assert blank_kind(value) == "placeholder"
    assert given(value) is None


@pytest.mark.parametrize("value", VALUES)
def test_values_are_values(value):
    assert blank_kind(value) is None
    assert given(f" {value}\t") == value


@pytest.mark.parametrize("value", [None, "", " ", "\t\n"])
def test_nothing_is_no_value(value):
    assert given(value) is None


@examples(st.text())
def test_total(text):
    assert blank_kind(text) in (None, "macro_unexpanded", "placeholder")
    assert given(text) in (None, text.strip())
