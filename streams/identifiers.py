"""Identifiers in the one form in which a collected and a passed one are equal, and their keys.

A key is BLAKE2b(pii key, SHA-256 hex of the normalised text). The inner SHA-256 is what ad platforms and networks exchange, so a value that
arrives already hashed (64 hex digits) gets the same key as the clear one that the tag collected (3-trade, section 6); the keyed outer
hash makes stored keys useless to whoever has a list of e-mail addresses but not the key. Clear identifiers are never stored as keys.

Phone numbers are digits with country code and without `+` (Meta's form). A sender may hash the E.164 form *with* `+` (Google's, TikTok's), and
one hash holds one form: so a number that is *collected* in clear is found under both (`keys`), which costs one record more for visits with a
phone number, and conversions nothing. Of two hashes nobody can tell whether they are of one number. An IPv6 address is one of 2^64 of its
household, and privacy extensions change it daily: a property may let its /64 stand for it (`network`). E-mail addresses are trimmed and lower-cased; dots and +tag of gmail only count less when the property says so.
"""

import ipaddress
import re
from functools import lru_cache
from hashlib import blake2b, sha256
from socket import AF_INET, inet_pton

from email_validator import EmailNotValidError, validate_email

from streams.macros import PLACEHOLDERS, given

CLICK_ID, EMAIL, PHONE, EXTERNAL_ID, IP = "click_id", "email", "phone", "external_id", "ip"
LONGEST = 1024  # characters; longer values are cut before they are hashed, which keeps them distinct enough and cheap
_HASHED = re.compile(r"[0-9a-fA-F]{64}")
_GMAIL = ("gmail.com", "googlemail.com")


def email(text: str, gmail_aliases: bool = False) -> str:
    """An e-mail address, trimmed and lower-cased; with `gmail_aliases`, gmail's dots and +tag are left out."""
    text = text.strip().lower().removeprefix("mailto:")
    if not text.isascii():
        text = _international(text)
    if gmail_aliases:
        name, _, domain = text.rpartition("@")
        if domain in _GMAIL:
            text = f"{name.partition('+')[0].replace('.', '')}@gmail.com"
    return text


def _international(text: str) -> str:
    """One form of a non-ASCII address (NFC, domain in lower-case Unicode); as it is when it is no address."""
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except (EmailNotValidError, ValueError, IndexError):
        return text


@lru_cache(4096)
def phone(text: str) -> str:
    """A phone number as digits with country code, no `+`, no leading zeros; trimmed text when it has no digits."""
    text = text.strip()
    digits = "".join(ch for ch in text if "0" <= ch <= "9")
    if not digits:
        return text
    if text.startswith(("+", "00")):
        import phonenumbers  # 60 ms of metadata that only such numbers need

        try:
            number = phonenumbers.parse("+" + text.lstrip("+0") if text.startswith("00") else text, None)
        except phonenumbers.NumberParseException:
            pass
        else:
            return f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    return digits.lstrip("0") or digits


def ip(text: str) -> str | None:
    """An IP address in its canonical form, v4-mapped v6 as v4, the first of a list, without port; None when it is none."""
    try:
        inet_pton(AF_INET, text)  # 0.2 us, and it only takes the canonical form; ipaddress needs 2.7 us
    except (OSError, UnicodeError, ValueError):
        return _unusual_ip(text)
    return text


def _unusual_ip(text: str) -> str | None:
    text = text.split(",", 1)[0].strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def network(address: str) -> str:
    """Of a canonical IPv6 address the first address of its /64, which a household keeps while the rest changes daily; any other as it is."""
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(address)) >> 64 << 64)) if ":" in address else address


def normal(kind: str, text: str, gmail_aliases: bool = False) -> str | None:
    """The normalised form of an identifier; None when the text is a placeholder, a macro, empty, or no IP address."""
    if kind == EMAIL and "@" in text:  # no macro has an @
        address = email(text, gmail_aliases)
        return None if address in PLACEHOLDERS else address
    given_value = given(text)
    if given_value is None:
        return None
    if kind == EMAIL:
        return given_value.lower()
    if kind == PHONE:
        return given_value if is_hashed(given_value) else phone(given_value)
    return ip(given_value) if kind == IP else given_value


def is_hashed(text: str) -> bool:
    """Whether a trimmed value is already a SHA-256 in hex."""
    return len(text) == 64 and _HASHED.fullmatch(text) is not None


def key(kind: str, text: str, pii_key: bytes, gmail_aliases: bool = False) -> str | None:
    """The key by which clicks are found: the click id itself, else the keyed hash; None when `text` is no value."""
    value = normal(kind, text, gmail_aliases)
    if value is None or kind == CLICK_ID:
        return value
    value = value[:LONGEST]
    inner = value.lower() if is_hashed(value) else sha256(value.encode("utf-8", "replace")).hexdigest()
    return _hashed(inner, pii_key)


def _hashed(inner: str, pii_key: bytes) -> str:
    keyed = _keyed(pii_key).copy()
    keyed.update(inner.encode())
    return keyed.hexdigest()


def keys(kind: str, text: str, pii_key: bytes, gmail_aliases: bool = False) -> list[str]:
    """The keys under which a collected identifier is found: one, but two of a phone number and, with `gmail_aliases`, of an address with
    dots or +tag; none when `text` is no value.
    """
    first = key(kind, text, pii_key, gmail_aliases)
    if first is None:
        return []
    if kind == EMAIL and gmail_aliases:  # a sender that hashes the address as it is written (Meta's form) means the same inbox
        return list(dict.fromkeys((first, str(key(kind, text, pii_key)))))
    number = normal(kind, text) if kind == PHONE else None
    if number is None or is_hashed(number):
        return [first]
    return [first, _hashed(sha256(f"+{number}".encode("utf-8", "replace")).hexdigest(), pii_key)]


@lru_cache(8)
def _keyed(pii_key: bytes) -> blake2b:
    """The hash with its key taken in already; copying it is 0.1 us cheaper than keying a new one."""
    return blake2b(digest_size=16, key=pii_key[:64])
