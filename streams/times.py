"""When a conversion happened, in epoch milliseconds, from whatever the sender writes.

Seconds, milliseconds, micro- and nanoseconds are told apart by their size; ISO 8601 and mail dates are read by the standard library; a time
without a zone is in the source's own. Nothing here reads a clock: parts that are missing are never filled from "now", and a time that cannot
be read, lies before 2000 or after receipt counts as the time of receipt (senders' clocks run ahead; a click must not come "after" a sale).
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

EARLIEST_MS = 946_684_800_000  # 2000-01-01
LONGEST = 64
# Abbreviations are ambiguous in general; these are what senders use, in the meaning that they use (3-trade, section 5).
_ZONES = {
    "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9,
}  # fmt: skip
# Only forms that can be read in one way: 05/11/2025 is a day in May or in November, and needs a date format of the mapping.
_FORMATS = (
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%Y-%m-%d %H:%M:%S.%f",
    "%Y%m%d%H%M%S", "%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %I:%M %p", "%b %d, %Y %I:%M:%S %p", "%b %d, %Y %I:%M %p", "%b %d, %Y",
)  # fmt: skip
_OFFSET = re.compile(r"(?:UTC|GMT)([+-])(\d{1,2})(?::?(\d{2}))?")
_HALF_DAY = re.compile(r"(?i)\d\s*[ap]\.?m\.?(?![a-z])")  # the mail parser would drop it: 3 PM would be 3 in the night


def event_ms(text: str, received_ms: int, zone: tzinfo = UTC, formats: tuple[str, ...] = ()) -> tuple[int, str | None]:
    """(epoch ms of a time, at most `received_ms`, why that was taken instead of what the text says)."""
    if len(text) == 10 and text.isdigit() and text.isascii():  # epoch seconds, the common form
        found: int | None = int(text) * 1000
    else:
        found = read(text.strip(), zone, formats)
    if found is None:
        return received_ms, "is no time that can be read"
    if found > received_ms:
        return received_ms, "lies after receipt"
    if found < EARLIEST_MS:
        return received_ms, "lies before the year 2000"
    return found, None


def read(text: str, zone: tzinfo = UTC, formats: tuple[str, ...] = ()) -> int | None:
    """Epoch ms of a time as written, or None. `zone` counts for times that name none; `formats` (strptime) are tried first."""
    if not text or len(text) > LONGEST:
        return None
    for form in formats:
        found = _by_format(text, form, zone)
        if found is not None:
            return found
    if text.isascii() and text.replace(".", "", 1).isdigit() and text.count(".") <= 1:
        found = _epoch(text)
        if found is not None:
            return found
    return _written(text, zone)


def _epoch(text: str) -> int | None:
    """Epoch s, ms, us or ns by its size; None for 20261123 and other numbers that are none."""
    whole, _, part = text.partition(".")
    if 9 <= len(whole) <= 10:
        return int(whole) * 1000 + int(part[:3].ljust(3, "0"))
    scale = {13: 1, 16: 1_000, 19: 1_000_000}.get(len(whole))
    return int(whole) // scale if scale else None


def _written(text: str, zone: tzinfo) -> int | None:
    text, zone = _named_zone(text, zone)
    try:
        return _ms(datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError):
        pass
    for form in _FORMATS:
        found = _by_format(text, form, zone)
        if found is not None:
            return found
    if _HALF_DAY.search(text):
        return None
    try:
        return _ms(parsedate_to_datetime(text), zone)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _named_zone(text: str, zone: tzinfo) -> tuple[str, tzinfo]:
    """The text without the zone that it ends on, and that zone."""
    head, _, last = text.rpartition(" ")
    if not head:
        return text, zone
    named = _offset(last.strip("()").upper())
    if named is not None:
        return head, named
    if "/" in last and last[0].isalpha():
        try:
            return head, ZoneInfo(last)
        except (KeyError, ValueError, OSError):
            return text, zone
    if last[0] in "+-" and last[1:].replace(":", "").isdigit():
        return head + last, zone  # "2026-11-23 10:00:00 +0100"
    return text, zone


def _offset(name: str) -> tzinfo | None:
    """The zone of an abbreviation, or of a form such as GMT+1 and UTC-05:30."""
    hours = _ZONES.get(name)
    if hours is not None:
        return timezone(timedelta(hours=hours))
    found = _OFFSET.fullmatch(name)
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return timezone(timedelta(minutes=minutes if found[1] == "+" else -minutes)) if minutes < 24 * 60 else None


def _by_format(text: str, form: str, zone: tzinfo) -> int | None:
    try:
        return _ms(datetime.strptime(text, form), zone)  # noqa: DTZ007 - the zone is added by _ms
    except (ValueError, OverflowError, re.error):  # re.error: a part twice, in settings stored before that was refused
        return None


def _ms(moment: datetime, zone: tzinfo) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1000)
