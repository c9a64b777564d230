"""JSON as everything of ours writes it: times in UTC with a Z, money as text so that no reader makes a float of it.

Apart from `output`, because the server answers in JSON and needs neither a terminal nor the libraries that draw on one.
"""

from decimal import Decimal
from typing import Any

import orjson

OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def _plain(value: Any) -> Any:
    """What orjson does not know by itself."""
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    raise TypeError(f"no JSON for {type(value).__name__}")


def money(value: Decimal) -> str:
    """Return an amount without the zeros that a column's scale adds, and with two decimals at least: 49.90, 0.00125."""
    text = f"{value:f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}" if decimals else text


def dump(value: Any, *, is_line: bool = True) -> bytes:
    """Return JSON: a line of its own, or indented for a person."""
    return orjson.dumps(value, default=_plain, option=OPTIONS if is_line else OPTIONS | orjson.OPT_INDENT_2)
