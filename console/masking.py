"""What anybody may see of a row: names, addresses, phones and IPs masked, everything else as it is.

Masking is a way of showing (`schemas/pii.py` says what is masked and why); whoever may see it in clear asks for it, and the activity log
says so. What cannot be masked in part, the bytes of a payload and what was sent to a destination, is left out whole.
"""

import re
from typing import Any, Final

from schemas import pii
from schemas.reasons import CANT_FIND_REFID
from sinks.schema import Column

IPS: Final = ("ip", "sender_ip")
WITHHELD: Final = ("payload", "request", "response", "value")
"""Columns that are left out where they are bytes or texts of strangers; `value` of an event is money and stays (it is no text)."""
_PHONE_AT_END: Final = re.compile(r"[+]?[0-9][0-9 ()./-]{5,}([0-9]{2})")
_OF_PHONES: Final = "0123456789 ()./-"


def row(found: dict[str, Any]) -> dict[str, Any]:
    """Return a row of any list as everybody may see it."""
    masked = {name: _masked(name, value) for name, value in found.items()}
    if found.get("reason") == CANT_FIND_REFID and masked.get("message"):
        masked["message"] = _without_phone(masked["message"])
    return masked


def _without_phone(message: str) -> str:
    """The message without the number at its end. From the end, because a search from each digit of a sender's million would not end today."""
    begin = len(message.rstrip(_OF_PHONES))
    for at in (begin - 1, begin) if message[:begin].endswith("+") else (begin,):
        while at < len(message) and message[at] in _OF_PHONES[10:]:
            at += 1  # noqa: PLW2901
        if found := _PHONE_AT_END.fullmatch(message, at):
            return f"{message[:at]}***{found[1]}"
    return message


def _masked(name: str, value: Any) -> Any:
    if name in WITHHELD and isinstance(value, str | bytes):
        return None
    if name in IPS and value:
        return pii.masked("ip", str(value))
    if name in {"parameters", "details"} and isinstance(value, dict):
        return {key: pii.masked(str(key), str(text)) for key, text in value.items()}
    return deep(value)


def deep(value: Any) -> Any:
    """Return a structure with every e-mail address in its texts masked."""
    if isinstance(value, str):
        return pii.masked_text(value) if "@" in value else value
    if isinstance(value, dict):
        return {name: deep(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [deep(inner) for inner in value]
    return value


def sql(column: Column) -> str | None:
    """Return a column of a list as SQL that masks it, None for one that is left out: for downloads, which nobody reads row by row."""
    name = f"listed.`{column.name}`"
    if column.name in WITHHELD and "String" in column.type:
        return None
    if column.name in IPS:
        known = f"ifNull({name}, '')"
        return f"nullIf({pii.sql_value(pii.quoted('ip'), known)}, '')"
    if column.name in {"parameters", "details"}:
        return f"mapApply((k, v) -> (k, {pii.sql_value('k', 'v')}), {name})"
    return pii.sql_text(name) if column.type in {"String", "Nullable(String)"} else name


def payload(parameters: dict[str, str]) -> dict[str, str]:
    """Return the parameters of a payload as everybody may see them; names of ours in parentheses are notes."""
    return {name: pii.masked(name, text) for name, text in parameters.items()}
