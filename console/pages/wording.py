"""How values read on a page: times, money, durations, words of ours in the words that people use. One place, so that pages agree.

Times are UTC and say so once, in the page's head; a cell has the second, its hover the millisecond.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from console import json_text
from schemas.policies import KIND_WORDS
from schemas.reasons import REASONS, STATUSES, SUB_REASONS

MATCH_WORDS = {"click_id": "click id", "email": "e-mail", "phone": "phone", "external_id": "external id", "ip": "IP address"}
LOSING = {
    "not_last_click": "another click came later (the model is last click)",
    "not_first_click": "another click came before (the model is first click)",
    "never_seen": "no click with this identifier was ever seen",
    "window_expired": "its click is older than the attribution window",
    "other_property": "its click belongs to another property",
    "click_later": "the click came after the conversion",
}
WORDS: Mapping[str, Mapping[str, str]] = {
    "status": {status.code: status.title for status in STATUSES},
    "reason": {reason.code: reason.title for reason in REASONS},
    "sub_reason": {sub.code: sub.code.replace("_", " ") for sub in SUB_REASONS},
    "type": KIND_WORDS | {"visit": "Visit", "click": "Click", "lander_click": "Lander click", "identify": "Identify"},
    "view_status": {"info": "Info", "success": "Success", "failure": "Failure"},
    "match": MATCH_WORDS,
    "losing": LOSING,
}
UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))


def word(code: Any, kind: str) -> str:
    """Return a code in the words of people; what has none is shown as it is."""
    return WORDS.get(kind, {}).get(str(code), str(code).replace("_", " "))


def moment(at: Any) -> datetime:
    """Return a time in UTC: ClickHouse gives it without a zone, our evidence in milliseconds."""
    if isinstance(at, int | float):
        return datetime.fromtimestamp(at / 1000, UTC)
    found: datetime = datetime.fromisoformat(at) if isinstance(at, str) else at
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def second(at: Any) -> str:
    """Return a time to the second."""
    return moment(at).strftime("%Y-%m-%d %H:%M:%S") if at is not None else ""


def exact(at: Any) -> str:
    """Return a time to the millisecond, with its zone."""
    return moment(at).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC" if at is not None else ""


def iso(at: Any) -> str:
    """Return a time for programs."""
    return moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def money(value: Any) -> str:
    """Return an amount; nothing for none."""
    return "" if value is None else json_text.money(value if isinstance(value, Decimal) else Decimal(str(value)))


def number(value: Any) -> str:
    """Return a count with thin groups: 12 345."""
    return (
        "" if value is None else f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else f"{value:,.1f}".replace(",", "\u202f")
    )


def duration(value: Any) -> str:
    """Return milliseconds, or a timedelta, in the two largest units: 12 min 4 s."""
    if value is None:
        return ""
    left = int(value.total_seconds() * 1000) if isinstance(value, timedelta) else int(value)
    if abs(left) < 1000:
        return f"{left} ms"
    sign, left, parts = "-" if left < 0 else "", abs(left), list[str]()
    for size, unit in UNITS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return sign + " ".join(parts)


def pretty(value: Any) -> str:
    """Return JSON for a person to read; a text that is JSON already is laid out anew."""
    if isinstance(value, str | bytes):
        try:
            value = orjson.loads(value)
        except ValueError:
            return value if isinstance(value, str) else value.decode(errors="replace")
    return json_text.dump(value, is_line=False).decode()


def text(value: Any) -> str:
    """Return any cell's text: times to the millisecond, money without the column's zeros, structures as JSON."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return exact(value)
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, dict | list | tuple):
        return json_text.dump(value).decode()
    return str(value)


def from_json(value: Any) -> Any:
    """Return the content of a JSON column; some answers have it as a structure already."""
    return orjson.loads(value) if isinstance(value, str | bytes) and value else value or None


FILTERS: Mapping[str, Callable[..., Any]] = {
    "word": word, "second": second, "exact": exact, "iso": iso, "money": money, "number": number, "duration": duration, "pretty": pretty,
    "cell": text, "from_json": from_json,
}  # fmt: skip
