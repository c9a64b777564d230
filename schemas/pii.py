"""Which parameters tell who somebody is, and what is left of them where anybody may look.

Senders name things as they like, so a name is asked by its last part (`customer.email`, `billing_phone`), and an e-mail is found in any
value, whatever its name. Masked and not removed: "which Ann was it" is answered by `a***@example.com`, without giving the address away.
The patterns are RE2 and `re` at once: the views mask in SQL, everything else in Python, and a test compares the two value by value.
Masking is a way of showing. The event log keeps what was received; who may see it in clear is in `permissions.py`.
"""

import re
from typing import Final, NamedTuple

_NO_PART: Final = r"""\x00-\x20@"`<>()\[\]{},;:=&/?|\\"""  # of an address in any alphabet: what ends it in a sentence or a URL
# The lengths are the standard's. Without them a value of a megabyte without an @ costs `re` an hour: each letter may begin an address.
EMAIL: Final = rf"([^'{_NO_PART}])[^{_NO_PART}]{{0,63}}@([^{_NO_PART}.]{{1,63}}\.)"
EMAIL_LEFT: Final = r"\1***@\2"


class Mask(NamedTuple):
    """Values of parameters whose folded name matches `names` become `kept` of what `found` matches."""

    names: str
    found: str
    kept: str


_PART: Final = r"(^|[._\[\] -])"
_END: Final = r"\]?(_?[0-9]+)?$"  # customer[phone], address_2, phone2
_PERSON: Final = r"(customer|user|member|referral|referrer|billing|shipping|contact|buyer|client|payer)"
MASKS: Final = (
    Mask(f"{_PART}(phone|phone_?number|telephone|tel|mobile|msisdn|fax){_END}", r"(?s)^.*?(.{0,2})$", r"***\1"),
    # `event_name` and `product.name` are no persons: a bare name counts alone, or behind a word for one.
    Mask(rf"^name$|{_PART}((first|last|full|sur|middle|family|given)_?name|{_PERSON}[._\[\] ]*name){_END}", r"(?s)^(.?).*$", r"\1***"),
    Mask(
        f"{_PART}(ip|ip_?address|client_?ip|user_?ip|remote_?addr){_END}", r"(?s)^[^.:]*$|[0-9A-Fa-f]{0,16}[.:]?[0-9A-Fa-f]{0,16}$", "***"
    ),
    Mask(
        f"{_PART}(address|street|zip|zip_?code|postal_?code|postcode|birth_?date|date_?of_?birth|birthday|dob|iban|card|card_?number|ssn){_END}",
        r"(?s)^.*$",
        "***",
    ),
)


def masked(name: str, value: str) -> str:
    """Return the value of a parameter as anybody may see it."""
    folded = name.lower()
    if not value or ("@" in value and re.search(EMAIL, value)):
        return masked_text(value)
    for mask in MASKS:
        if re.search(mask.names, folded):
            return re.sub(mask.found, mask.kept, value, count=1)
    return value


def masked_text(text: str) -> str:
    """Return a text with every e-mail address in it masked."""
    return re.sub(EMAIL, EMAIL_LEFT, text) if "@" in text else text


def sql_text(column: str) -> str:
    """Return `masked_text` of a column as SQL."""
    return f"replaceRegexpAll({column}, {quoted(EMAIL)}, {quoted(EMAIL_LEFT)})"


def sql_value(name: str, value: str) -> str:
    """Return `masked` of two SQL expressions, as SQL."""
    cases = "".join(
        f"match(lower({name}), {quoted(mask.names)}), replaceRegexpOne({value}, {quoted(mask.found)}, {quoted(mask.kept)}), "
        for mask in MASKS
    )
    return f"multiIf({value} = '' OR match({value}, {quoted(EMAIL)}), {sql_text(value)}, {cases}{value})"


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
