"""Ledger and attribution as the driver runs them: `python -m bench.real_app`, the processes that `clicktrail worker` starts.

Attribution first, until it has indexed every visit (untimed); then the ledger, FIRST with its first row, DONE when no role has anything
left to read. The launcher finds out by asking Kafka how far the groups have committed, ten times a second.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from streams.topology import ATTRIBUTION, EVENTS, LEDGER, LOOKUPS, MATCHES, PAYLOADS, VISITS, Role, Topic

POLL_S = 0.1


class Group:
    """How far a role has come."""

    def __init__(self, bootstrap: str, role: Role) -> None:
        from confluent_kafka import Consumer

        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"clicktrail.{role.name}", "enable.auto.commit": False})

    def lag(self, *topics: Topic) -> int:
        """Records (and transaction markers) that the group has not committed yet; 1 while the broker is still making its own topics."""
        from confluent_kafka import KafkaException, TopicPartition

        found = self._consumer.list_topics(timeout=10).topics
        at = [TopicPartition(topic.name, partition) for topic in topics for partition in found[topic.name].partitions]
        try:
            return sum(self._end(tp) - max(tp.offset, 0) for tp in self._consumer.committed(at, timeout=10))
        except KafkaException:
            return 1

    def end(self, topic: Topic) -> int:
        """How many records and markers a topic has."""
        from confluent_kafka import TopicPartition

        return sum(self._end(TopicPartition(topic.name, p)) for p in self._consumer.list_topics(timeout=10).topics[topic.name].partitions)

    def _end(self, at: object) -> int:
        return int(self._consumer.get_watermark_offsets(at, timeout=10)[1])


def start(role: Role) -> subprocess.Popen[bytes]:
    """Start a role's process."""
    return subprocess.Popen([sys.executable, "-m", "console.cli", "worker", role.name], stdout=sys.stderr)


def wait(roles: Sequence[subprocess.Popen[bytes]], is_so: Callable[[], bool], poll_s: float = POLL_S) -> None:
    """Wait until something is so; RuntimeError when a role has ended by then."""
    while not is_so():
        if any(role.poll() is not None for role in roles):
            raise RuntimeError("a role has ended")
        time.sleep(poll_s)


def main() -> None:
    """Run both until ended by a signal."""
    bootstrap = os.environ["CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS"]
    ledger, attribution = Group(bootstrap, LEDGER), Group(bootstrap, ATTRIBUTION)
    roles = [start(ATTRIBUTION)]
    wait(roles, lambda: attribution.lag(VISITS, LOOKUPS) == 0)
    roles.append(start(LEDGER))
    wait(roles, lambda: ledger.end(EVENTS) > 0, 0.02)
    print("FIRST", flush=True)
    wait(roles, lambda: ledger.lag(PAYLOADS, MATCHES) + attribution.lag(LOOKUPS) + ledger.lag(MATCHES) == 0)
    print("DONE", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main()
