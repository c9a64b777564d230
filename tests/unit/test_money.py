"""Amounts as decimal text, never a float."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import money


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.34", "12.34"), ("12.50", "12.5"), ("10.00", "10"), ("0", "0"), ("0.00", "0"), ("007.10", "7.1"), ("10.", "10"), (".5", "0.5"),
        ("0.125", "0.125"), ("1.234", "1.234"), ("999999999999999999", "999999999999999999"), ("0.1", "0.1"), (" 5 ", "5"),
        ("1.234,56", "1234.56"), ("1,234.56", "1234.56"), ("1 234,56", "1234.56"), ("1'234.56", "1234.56"), ("12,34", "12.34"),
        ("1,234", "1234"), ("1,234,567", "1234567"), ("1.234.567", "1234567"), ("R$ 1.234,56", "1234.56"),
        ("$10", "10"), ("10 USD", "10"), ("USD10", "10"), ("€5,50", "5.5"),
        ("-5", "-5"), ("-5.50", "-5.5"), ("-$10", "-10"), ("$-10", "-10"), ("(10.00)", "-10"), ("10-", "-10"), ("\u22125", "-5"), ("-0", "0"),
        ("10,-", "10"), ("5.–", "5"), ("CHF 1'234.–", "1234"), ("-10,-", "-10"), ("0,500", "0.5"), ("1234,567", "1234.567"), ("1,23,456.78", "123456.78"),
        ("1\u202f234,56", "1234.56"), ("1\u00a0234,56", "1234.56"), ("١٢٣", "123"), ("A$10.50", "10.5"), ("12.345.678,90", "12345678.9"), ("1,234,56", None),
        ("+5", "5"), ("1e3", "1000"), ("1.5E-2", "0.015"),
        ("", None), ("abc", None), ("NaN", None), ("Infinity", None), ("1e999", None), ("9" * 40, None), ("1" * 200, None), ("{payout}", None),
        ("10-12", None), ("²", None), ("-", None), ("1e99999999999", None), (".", None),
    ],
)  # fmt: skip
def test_amounts_in_the_forms_of_the_trade(text, expected):
    assert money.amount(text) == expected


@pytest.mark.parametrize(
    ("text", "currency", "expected"),
    [("1000", "USD", "10"), ("1999", "EUR", "19.99"), ("1000", "JPY", "1000"), ("1000", "KRW", "1000"), ("1000", "KWD", "1"), ("1", "BHD", "0.001"), ("-250", None, "-2.5")],
)  # fmt: skip
def test_minor_units_know_the_currency(text, currency, expected):
    assert money.amount(text, currency, {}) == expected


@pytest.mark.parametrize(("currency", "expected"), [("ISK", "12.34"), ("MGA", "1234"), ("JPY", "1234"), ("USD", "12.34")])
def test_minor_units_of_a_sender_that_counts_otherwise(currency, expected):
    """Stripe gives ISK two decimals and MGA none."""
    assert money.amount("1234", currency, {"ISK": 2, "MGA": 0}) == expected


@pytest.mark.parametrize(
    ("text", "code"), [("10 USD", "USD"), ("EUR10", "EUR"), ("€5", "EUR"), ("£5", "GBP"), ("$10", None), ("10", None), ("10 USDT", None)]
)
def test_currency_in_an_amount(text, code):
    assert money.currency_in(text) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("usd", "USD"),
        (" EUR ", "EUR"),
        ("€", "EUR"),
        ("us$", "USD"),
        ("$", None),
        ("", None),
        (None, None),
        ("US", None),
        ("dollars", None),
        ("ÄÖÜ", None),
    ],
)
def test_currency_code(text, code):
    assert money.currency_code(text) == code


@given(st.decimals(min_value=-(10**17), max_value=10**17, places=6, allow_nan=False))
def test_equal_amounts_are_equal_texts(number):
    """Rule 5: the value is part of an identity, so 10 and 10.00 must be one text."""
    text = money.amount(format(number, "f"))
    assert text is not None
    assert Decimal(text) == number
    assert money.amount(text) == text


@given(st.text(max_size=80), st.none() | st.just({}))
def test_total(text, minor):
    found = money.amount(text, "USD", minor)
    assert found is None or Decimal(found).is_finite()
