r"""A person as somebody who asks to be forgotten names them: one identifier, in every form in which it may stand in a store.

Records are searched as text, not by what a mapping would make of them: a source that nobody mapped holds the address, too. What is looked for
is the identifier itself (any case, percent-encoded or not, a phone number with whatever stands between its digits), its SHA-256 as senders
and platforms exchange it, and the keyed hashes under which clicks are found (`identifiers.py`). It has to stand alone: `ann@example.com` is
not in `joann@example.com`, `42` not in `1423`. An external id or a click id that is short would still be found in prices and dates, so
one of fewer than SHORTEST characters is refused.

What was encrypted, compressed or cut in two by its sender is not found in its bytes; a payload whose *parameters* show it is (ClickBank's), by its row.
"""

import re
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from streams import identifiers
from streams.destination_hashes import FORMS
from streams.identifiers import CLICK_ID, EMAIL, EXTERNAL_ID, IP, PHONE

KINDS = (EMAIL, PHONE, EXTERNAL_ID, CLICK_ID, IP)
SHORTEST = 5
_ESCAPED = r"(?<=%[0-9A-Fa-f]{2})"  # what stands before it may be an escaped sign: user%3Dann@example.com


class Person(NamedTuple):
    """Who is to be forgotten. `text` is normalised, `hashes` are its SHA-256s, `keys` are index keys; `pseudonym` takes the place of what must stay distinct."""

    kind: str
    text: str
    pattern: re.Pattern[str]
    keys: frozenset[str]
    hashes: frozenset[str]
    pseudonym: str

    def is_in(self, text: str) -> bool:
        """Whether a text names them."""
        if self.pattern.search(text):
            return True
        return "%" in text and self.pattern.search(unquote_plus(text)) is not None

    def is_in_bytes(self, value: bytes | None) -> bool:
        """Whether bytes name them, read as text."""
        return bool(value) and self.is_in((value or b"").decode("utf-8", "replace"))

    def scrubbed(self, text: str) -> str:
        """The text with the pseudonym in their place."""
        found = self.pattern.sub(self.pseudonym, text)
        return self.pseudonym if self.is_in(found) else found  # it is there in an escaped form only


def person(kind: str, text: str, pii_key: bytes) -> Person:
    """The person whom an identifier names. ValueError says why the text is none."""
    value = identifiers.normal(kind, text)
    if kind not in KINDS or not value:
        raise ValueError(f"{text!r} is no {kind}.")
    if kind in (EXTERNAL_ID, CLICK_ID) and len(value) < SHORTEST:
        raise ValueError(f"{text!r} has fewer than {SHORTEST} characters: it would be found in prices and dates, too.")
    if kind == PHONE and (identifiers.is_hashed(value) or len(value) < SHORTEST):
        raise ValueError(f"{text!r} is no phone number with its country code.")
    keys = {key for gmail in (False, True) for key in identifiers.keys(kind, text, pii_key, gmail)}
    hashes = _hashes(kind, text, value)
    words = {value, text.strip(), *hashes} | (set() if kind == CLICK_ID else keys)
    forms = sorted({form for word in words for form in _forms(kind, word)}, key=len, reverse=True)
    flags = re.IGNORECASE if kind in (EMAIL, IP) else re.NOFLAG
    name = identifiers.key(EXTERNAL_ID, value, pii_key) if kind == CLICK_ID else min(keys)  # keyed: nobody guesses whom it stands for
    return Person(kind, value, re.compile("|".join(forms), flags), frozenset(keys), frozenset(hashes), f"erased-{(name or '')[:16]}")


def _forms(kind: str, word: str) -> list[str]:
    """The patterns of a word: by itself, and as an address or a form carries it."""
    if kind == PHONE and not identifiers.is_hashed(word) and (digits := re.sub(r"\D", "", word)).isdigit() and len(word) < 32:
        return [r"(?<![0-9A-Za-z])(?:\+|%2[Bb]|00)?" + r"[ ().\-/]{0,3}".join(digits) + r"(?![0-9])", *_alone(word)]
    return [form for each in {word, quote(word, safe=""), quote(word)} for form in _alone(each)]


def _alone(word: str) -> list[str]:
    return [rf"(?:(?<![\w.%-])|{_ESCAPED}){re.escape(word)}(?!\w|[.-]\w)"]


def _hashes(kind: str, text: str, value: str) -> set[str]:
    """SHA-256 in hex, as it is exchanged: of our form, and of each platform's."""
    if kind == EMAIL:
        values = {value, identifiers.email(text, True), *(forms[EMAIL](value) for forms in FORMS.values())}
    elif kind == PHONE:
        values = {value, f"+{value}"}
    else:
        values = {value}
    return {sha256(each.encode("utf-8", "replace")).hexdigest() for each in values}
