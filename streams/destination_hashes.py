"""E-mail and phone as ad platforms want them hashed: each platform normalises in its own way, so each gets its own hash.

Our own keys (identifiers.py) are for finding clicks and never leave; these are for conversion APIs. Both start from the same canonical
form, because one address must not be two people. SHA-256 in hex throughout; a value that is hashed already passes as it is, in lower case,
and a placeholder gives nothing.

| platform | e-mail | phone |
|---|---|---|
| Meta | trimmed, lower case | digits with country code, without + and leading zeros |
| Google | the same, and for gmail.com and googlemail.com without dots and +tag | E.164, with + |
| TikTok | trimmed, lower case | E.164, with + |

Sources: developers.facebook.com (customer information parameters), developers.google.com (upload identifiers; the dot rule is common
knowledge and not on that page), ads.tiktok.com. A phone number without a country code can't be made into one that has it: it is hashed as
it is and matches nobody, which harms nobody either.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Literal

from streams import identifiers
from streams.identifiers import EMAIL, PHONE

Platform = Literal["meta", "google", "tiktok"]


def hashed(platform: Platform, kind: str, text: str) -> str | None:
    """The SHA-256 hex that a platform compares; None for a placeholder, a macro or nothing. KeyError for a kind other than e-mail, phone."""
    form = FORMS[platform][kind]
    value = identifiers.normal(kind, text)
    if value is None:
        return None
    return value.lower() if identifiers.is_hashed(value) else sha256(form(value).encode()).hexdigest()


def _as_it_is(value: str) -> str:
    return value


def _google_email(address: str) -> str:
    """Google takes out what Gmail ignores, and keeps the domain as written: googlemail.com stays that."""
    name, at, domain = address.rpartition("@")
    if domain in ("gmail.com", "googlemail.com"):
        name = name.partition("+")[0].replace(".", "")
    return f"{name}{at}{domain}"


def _e164(digits: str) -> str:
    return f"+{digits}" if digits.isdigit() else digits


FORMS: dict[str, dict[str, Callable[[str], str]]] = {
    "meta": {EMAIL: _as_it_is, PHONE: _as_it_is},
    "google": {EMAIL: _google_email, PHONE: _e164},
    "tiktok": {EMAIL: _as_it_is, PHONE: _e164},
}
"""Platform -> kind -> from our canonical form to the platform's."""
