"""What anybody may see of a parameter; `tests/integration/test_pages.py` holds the SQL form against the same table."""

import pytest

from schemas.pii import masked, masked_text

# name, value, what is shown (R10: name, e-mail and any other metadata)
CASES = [
    ("email", "ann.smith+x@shop.example.com", "a***@shop.example.com"),
    ("note", "ask ann@x.example or bob@y.example", "ask a***@x.example or b***@y.example"),
    ("email_address", "ann@x.example", "a***@x.example"),
    ("email", "jürgen@bücher.example", "j***@bücher.example"),
    ("note", "почта: анна@пример.рф, ann@x.example", "почта: а***@пример.рф, a***@x.example"),
    ("url", "https://x.example/?mail=o'neil+1@y.example&v=1", "https://x.example/?mail=o***@y.example&v=1"),
    ("note", "['ann@x.example', 1]", "['a***@x.example', 1]"),
    ("email", "", ""),
    ("phone", "+1 202 555 0143", "***43"),
    ("customer.phone_2", "0", "***0"),
    ("customer[mobile]", "015112345", "***45"),
    ("name", "Ann Smith", "A***"),
    ("firstName", "Ann", "A***"),
    ("billing_last_name", "Smith", "S***"),
    ("customer.name", "Änne\nSmith", "Ä***"),
    ("ip", "203.0.113.7", "203.0.***"),
    ("client_ip", "2001:db8::17", "2001:db8:***"),
    ("shipping.address.street", "Main St 1", "***"),
    ("zip", "10115", "***"),
    # what is no person stays readable
    ("event_name", "Purchase", "Purchase"),
    ("product.name", "Blue shirt", "Blue shirt"),
    ("amount", "49.90", "49.90"),
    ("click_id", "demo-ann", "demo-ann"),
    ("description", "2 x shirt", "2 x shirt"),
    ("currency", "EUR", "EUR"),
]


@pytest.mark.parametrize(("name", "value", "shown"), CASES, ids=[case[0] for case in CASES])
def test_a_parameter_that_tells_who_somebody_is_is_masked(name, value, shown):
    assert masked(name, value) == shown


@pytest.mark.parametrize(
    "value", ["x" * 300_000, "x" * 300_000 + " ann@x.example", "a" * 300_000 + "x", "1" * 300_000 + "x", "@" * 300_000]
)
@pytest.mark.parametrize("name", ["blob", "ip", "phone", "name", "street"])
def test_a_hostile_value_costs_no_hour(name, value):
    """A value of a megabyte without an @ took the console's event loop with it; the lengths in the patterns bound it."""
    assert "ann@" not in masked(name, value)


def test_a_sentence_keeps_its_words_and_loses_the_address():
    assert masked_text("Error: Can't find refId: ann@x.example") == "Error: Can't find refId: a***@x.example"
