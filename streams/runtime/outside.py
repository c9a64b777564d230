"""A worker that is no member of its group although Kafka answers: it will not come back by itself, and nothing else would notice.

Seen twice in some fifteen restarts of the broker on a busy machine: a role stood outside its group for minutes, alive, without an error and
without partitions (once it waited for a transaction that hung, see `membership.until_stable`; aiokafka #1154 is another of the kind). The watchdog
of tasks has nothing to look at then, for there are none. So this is watched, too: after LIMIT_S the process ends, says so, and its successor tries. Time during which Kafka does not
answer does not count; a member without partitions (more workers than partitions) is a member.
"""

from collections.abc import Awaitable, Callable

from streams.runtime.errors import Unavailable

LIMIT_S = 60.0


class Outside:
    """Ask `look` every few seconds."""

    def __init__(self, does_kafka_answer: Callable[[], Awaitable[bool]], limit_s: float = LIMIT_S) -> None:
        self._does_kafka_answer = does_kafka_answer
        self._limit_s = limit_s
        self._since: float | None = None

    async def look(self, now: float, *, is_member: bool) -> None:
        """Raise Unavailable when this worker has been outside for too long; `now` is monotonic."""
        if is_member or not await self._does_kafka_answer():
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > self._limit_s:
            raise Unavailable(f"No member of the group for {now - self._since:.0f} s, although Kafka answers.", "It is started again.")
