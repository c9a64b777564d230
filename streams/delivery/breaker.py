"""Whether a destination is tried now: a circuit breaker as a table.

    closed     ──failure, the TRIPS_AFTER-th in a row──> open
    open       ──its time is over──────────────────────> half_open   one probe at a time
    half_open  ──success──> closed          half_open ──failure──> open, for twice as long
    half_open  ──nothing was sent──> open, and the next may try

While it is open nothing is tried, and no try is used up: a destination that is down for a day has all of its postbacks still to come when
it is back, and meets them one by one first. Only failures of the destination count (no answer, 5xx, 429); a 404 is an answer.
"""

from typing import Literal, NamedTuple

Phase = Literal["closed", "open", "half_open"]
Happening = Literal["success", "failure", "probe", "nothing"]

TRIPS_AFTER = 10
FIRST_PAUSE_MS = 5_000
LONGEST_PAUSE_MS = 300_000


class Breaker(NamedTuple):
    """Its whole state: failures in a row, until when it is open, and how long it stays open next time."""

    phase: Phase = "closed"
    failures: int = 0
    open_until_ms: int = 0
    pause_ms: int = FIRST_PAUSE_MS

    def after(self, happening: Happening, now_ms: int) -> "Breaker":
        """The state behind what happened."""
        return TABLE[self.phase, happening](self, now_ms)

    def permits(self, now_ms: int) -> int | None:
        """How many tries may begin now; None: any number. The one that is permitted while it is open is a probe."""
        if self.phase == "closed":
            return None
        return int(self.phase == "open" and now_ms >= self.open_until_ms)


def _closed(_: Breaker, __: int) -> Breaker:
    return Breaker()


def _counted(before: Breaker, now_ms: int) -> Breaker:
    failures = before.failures + 1
    return _opened(before, now_ms) if failures >= TRIPS_AFTER else before._replace(failures=failures)


def _opened(before: Breaker, now_ms: int) -> Breaker:
    return Breaker("open", before.failures + 1, now_ms + before.pause_ms, min(before.pause_ms * 2, LONGEST_PAUSE_MS))


def _probing(before: Breaker, _: int) -> Breaker:
    return before._replace(phase="half_open")


def _unproven(before: Breaker, _: int) -> Breaker:
    return before._replace(phase="open")


def _same(before: Breaker, _: int) -> Breaker:
    return before


TABLE = {
    ("closed", "success"): _closed,
    ("closed", "failure"): _counted,
    ("closed", "probe"): _same,
    ("open", "success"): _same,  # of a try that began before it opened: only a probe closes it
    ("open", "failure"): _same,
    ("open", "probe"): _probing,
    ("half_open", "success"): _closed,
    ("half_open", "failure"): _opened,
    ("half_open", "probe"): _same,
    ("half_open", "nothing"): _unproven,
    ("open", "nothing"): _same,
    ("closed", "nothing"): _same,
}
