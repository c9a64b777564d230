"""Amounts of money as decimal text, whatever way the sender writes them; never a float.

The text is canonical: equal amounts are equal texts (`10`, never `10.00` or `010`), because an identity without a transaction id has the
value in it (rule 5). The plain form, which nearly all payloads have, is recognised by `str` methods in 0.3 us; Decimal and price-parser
(currency signs, "1.234,56") come in only for the rest, at about 8 us.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from price_parser import Price

ZERO_DECIMALS = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"]
)
THREE_DECIMALS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
SIGNS = {  # longer ones before those that they contain
    "US$": "USD",
    "CA$": "CAD",
    "NZ$": "NZD",
    "HK$": "HKD",
    "AU$": "AUD",
    "A$": "AUD",
    "C$": "CAD",
    "R$": "BRL",
    "€": "EUR",
    "£": "GBP",
    "¥": "JPY",
    "₹": "INR",
    "₽": "RUB",
    "₺": "TRY",
    "₩": "KRW",
    "₫": "VND",
    "₴": "UAH",
    "₪": "ILS",
    "zł": "PLN",
}
LONGEST_PLAIN = 18  # characters; what is longer goes the careful way
LONGEST = 64
MOST_DIGITS = 18  # before the point: more is no money, and 1e999999 must not become a megabyte
MOST_DECIMALS = 8

NOTHING: Mapping[str, int] = {}

_SCIENTIFIC = re.compile(r"[+-]?\d+(?:\.\d*)?[eE][+-]?\d+")
# Up to ten other characters on either side of one number; price-parser alone would find a price in any sentence.
_ONE_NUMBER = re.compile(r"\D{0,10}\d[\d.,\s]*\D{0,10}")
_CODE = re.compile(r"(?<![A-Za-z])[A-Z]{3}(?![A-Za-z])")
_MINUS = re.compile(r"(?<!\d)[-\u2212](?!\D*$)|[-\u2212]\s*$")  # before the digits, or after all of them
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(?:0|\d{4,}),\d+")  # can't be groups of thousands: 0,500 and 1234,567
_NO_CENTS = re.compile(r"(?<=\d)[.,]\s?[-\u2013\u2014\u2212]{1,2}(?!\d)")  # 10,- and 5.– are whole amounts, not negative ones


def amount(text: str, currency: str | None = None, minor: Mapping[str, int] | None = None) -> str | None:
    """Canonical decimal text of an amount; None when the text is none.

    `minor`: it is in cents, by the currency's decimals, except for the currencies that it names (a sender's own ideas).
    """
    if len(text) <= LONGEST_PLAIN and text.isascii() and minor is None:
        whole, _, part = text.partition(".")
        if whole.isdigit() and (not part or part.isdigit()):
            if whole[0] == "0":
                whole = whole.lstrip("0") or "0"
            part = part.rstrip("0")
            return f"{whole}.{part}" if part else whole
    number = _careful(text.strip())
    if number is None:
        return None
    return _plain(number if minor is None else number.scaleb(-decimals(currency, minor)))


def decimals(currency: str | None, own: Mapping[str, int] = NOTHING) -> int:
    """How many decimals the currency's minor unit has: the sender's own figure, else ISO 4217's."""
    if currency is not None and currency in own:
        return own[currency]
    if currency in ZERO_DECIMALS:
        return 0
    return 3 if currency in THREE_DECIMALS else 2


def currency_in(text: str) -> str | None:
    """The currency that an amount names itself (`10 USD`, `€5`); `$` alone is not enough to tell whose dollar."""
    code = _CODE.search(text)
    if code:
        return code[0]
    return next((SIGNS[sign] for sign in SIGNS if sign in text), None)


def currency_code(text: str | None) -> str | None:
    """A currency as three capitals, from its code or a sign that only it has; None when it is none."""
    if text is None:
        return None
    text = text.strip().upper()
    return text if len(text) == 3 and text.isascii() and text.isalpha() else SIGNS.get(text)


def _careful(text: str) -> Decimal | None:
    if not text or len(text) > LONGEST:
        return None
    text = _NO_CENTS.sub("", text)
    is_negative = (text.startswith("(") and text.endswith(")")) or _MINUS.search(text) is not None
    written = _number(text)
    if written is not None:
        return _decimal(written)
    bare = _MINUS.sub("", text).replace("'", "").replace("\u2019", "")
    if not _ONE_NUMBER.fullmatch(bare):
        return None
    found: Decimal | None = Price.fromstring(bare).amount
    if found is None:
        return None
    return -abs(found) if is_negative else found


def _number(text: str) -> str | None:
    """The text as Decimal takes it, where it is a bare number and its commas can mean only one thing."""
    if _SCIENTIFIC.fullmatch(text) or (text.isascii() and text.lstrip("+-").replace(".", "", 1).isdigit()):
        return text
    if _GROUPED.fullmatch(text):
        return text.replace(",", "")
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else None


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.adjusted() < LONGEST else None


def _plain(number: Decimal) -> str | None:
    """Canonical text of a finite number of sensible size."""
    if not number.is_finite() or number.adjusted() >= MOST_DIGITS:
        return None
    text = format(round(number, MOST_DECIMALS), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
