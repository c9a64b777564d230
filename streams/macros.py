"""Is a value no value at all: a macro that came back unexpanded, or a placeholder?

A postback URL is pasted with macros (`{clickid}`, `#S2#`) that the sender should have filled in. When it did not, the macro arrives as
text; taken for a click id it would read "Unknown click_id" and send people looking for a click that never was (rule 9). The same holds
for what programs write instead of nothing (`null`, `undefined`). As a transaction id either would make all sales one duplicate.
"""

import re
from urllib.parse import unquote

from schemas.reasons import MACRO_UNEXPANDED, PLACEHOLDER

PLACEHOLDERS = frozenset(
    [
        "null",
        "undefined",
        "n/a",
        "na",
        "none",
        "nil",
        "nan",
        "guest",
        "anonymous",
        "unknown",
        "0",
        "-",
        "--",
        "(null)",
        "[null]",
        "{null}",
        "<null>",
        "(none)",
        "(not_set)",
        "not_set",
        "test@test.com",
    ]
)
_BARE_MACROS = "replace replaceme replace_me clickid click_id click-id subid sub_id your_click_id insert_click_id insert_click_id_here"
_WORDS = dict.fromkeys(PLACEHOLDERS, PLACEHOLDER) | dict.fromkeys(_BARE_MACROS.split(), MACRO_UNEXPANDED)
LONGEST_BARE = max(len(word) for word in _WORDS if word.isalnum())  # a longer value of letters and digits is one

# Styles: design/3-trade.md, section 3. A macro anywhere in the value spoils it ("aff_{subid}").
_MACRO = re.compile(
    r"""\{[^{}]*\} | \$\{ | ^\[+[^\[\]]+\]+$ | \#[A-Za-z_]\w*\# | %[A-Za-z_]\w*% | !!!?[\w.\- ]+!!!? | --[A-Za-z][\w\-]*-- | __[A-Za-z]\w*__
    | ^<[A-Za-z][\w\- ]*>$ | ^REPLACE[\W_]""",
    re.VERBOSE,
)


def blank_kind(value: str) -> str | None:
    """macro_unexpanded or placeholder when a trimmed value is none, else None."""
    if value.isalnum():  # nearly every id: no macro has only letters and digits, and no placeholder is long
        return _WORDS.get(value.lower()) if len(value) <= LONGEST_BARE else None
    found = _WORDS.get(value.lower().replace(" ", "_"))
    if found or (value.replace("-", "").isalnum() and not value.startswith(("--", "REPLACE"))):  # a UUID
        return found
    if "%" in value:
        value = unquote(value)  # %7Bclickid%7D: encoded once too often
    return MACRO_UNEXPANDED if _MACRO.search(value) else None


def given(value: str | None) -> str | None:
    """The value when it is one: trimmed, and neither empty, macro nor placeholder."""
    if not value:
        return None
    if len(value) > LONGEST_BARE and value.isalnum():  # nearly every id
        return value
    value = value.strip()
    return None if not value or blank_kind(value) else value
