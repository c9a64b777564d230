"""When a postback is tried again: the destination's pauses, with jitter, and never before the destination said.

The jitter is derived from the postback and the number of its try, so that a thousand which failed together do not come back together, and
a test can say to the millisecond when each does. Retry-After moves a try back, up to RETRY_AFTER_MOST_S: a destination that asks for a week is
asked again after a day. 429 waits for a minute at least, as Svix does: half of the senders of 429 say nothing about when.
"""

from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from xxhash import xxh3_64_intdigest

JITTER = 0.2  # of the pause, to either side
RETRY_AFTER_MOST_S = 86_400
BUSY_LEAST_S = 60


def next_ms(
    postback_id: str, attempt: int, now_ms: int, pauses_s: Sequence[float], *, asked_s: float | None = None, is_busy: bool = False
) -> int | None:
    """When the try behind `attempt` (1 for the first) is due; None when there is none."""
    if attempt > len(pauses_s):
        return None
    pause_s = pauses_s[attempt - 1]
    share = xxh3_64_intdigest(f"{postback_id}:{attempt}".encode()) / 2**64
    pause_s *= 1 + JITTER * (2 * share - 1)
    if is_busy and asked_s is None:
        pause_s = max(pause_s, min(BUSY_LEAST_S, max(pauses_s)))
    if asked_s is not None:
        pause_s = max(pause_s, min(asked_s, RETRY_AFTER_MOST_S))
    return now_ms + int(pause_s * 1000)


def retry_after_s(value: str | None, now_ms: int) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3: a number or a date); None without a usable one."""
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - now_ms / 1000)
