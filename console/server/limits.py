"""How much one viewer, or one address that tries to log in, may ask for: token buckets, as at the door of ingest."""

from collections import OrderedDict

from console.server.answers import Refused
from streams.ingest.limits import Bucket

KEPT = 10_000  # buckets; the ones that nobody used longest go first, and are full again if they come back


class Limits:
    """Buckets by name. `take` refuses with 429 and says how long to wait."""

    def __init__(self, requests_per_s: float, logins_per_minute: float) -> None:
        self._rates = {"request": requests_per_s, "login": logins_per_minute / 60}
        self._bursts = {"request": 1, "login": logins_per_minute}
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def take(self, kind: str, who: str) -> None:
        """Count one request of `who`, or raise Refused("rate_limited")."""
        bucket = self._buckets.get((kind, who))
        if bucket is None:
            bucket = self._buckets[kind, who] = Bucket(self._rates[kind], self._bursts[kind])
            if len(self._buckets) > KEPT:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end((kind, who))
        wait_s = bucket.take()
        if wait_s:
            raise Refused("rate_limited", Retry_After=str(int(wait_s) + 1))
