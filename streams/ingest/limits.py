"""What keeps one sender, or all of them together, from filling the memory: token buckets per source, and a meter of what is under way."""

from time import monotonic

from streams.ingest import metrics
from streams.ingest.answers import Refused

REQUEST_BYTES = 2048  # what a request costs beside its body


class Bucket:
    """A token bucket: `rate_per_s` on average, `burst` at once (one second's worth, and at least one, unless it says more)."""

    __slots__ = ("_full", "_level", "_rate", "_then")

    def __init__(self, rate_per_s: float, burst: float = 1.0) -> None:
        self._rate = rate_per_s
        self._full = max(rate_per_s, burst)
        self._level = self._full
        self._then = monotonic()

    def take(self, count: int = 1) -> float:
        """Take tokens and return 0, or take none and return the seconds after which they are there.

        A single request for more than the bucket holds (a bulk upload) passes when the bucket is full, and leaves a debt.
        """
        now = monotonic()
        self._level = min(self._full, self._level + (now - self._then) * self._rate)
        self._then = now
        wanted = min(count, self._full)
        if self._level >= wanted:
            self._level -= count
            return 0.0
        return (wanted - self._level) / self._rate


class Meter:
    """Counts requests and bytes from their arrival to their answer; refuses with 503 before memory grows."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.requests = 0
        self.bytes = 0

    def enter(self) -> None:
        """Count a request in, or raise Refused("overloaded")."""
        if self.requests >= self._max_requests:
            raise Refused("overloaded")
        self.requests += 1
        self.bytes += REQUEST_BYTES

    def leave(self) -> None:
        """Count it out."""
        self.requests -= 1
        self.bytes -= REQUEST_BYTES
        metrics.IN_FLIGHT_BYTES.set(self.bytes)

    def take(self, count: int) -> int:
        """Reserve bytes for a body, or raise Refused("overloaded"); returns what is to be given back."""
        if self.bytes + count > self._max_bytes:
            raise Refused("overloaded")
        self.bytes += count
        return count

    def give(self, count: int) -> None:
        """Give back what `take` reserved."""
        self.bytes -= count
