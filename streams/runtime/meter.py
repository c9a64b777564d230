"""What a task counts, chunk by chunk: the names of `metrics.py`, bound to a role once."""

from streams.runtime import metrics
from streams.stage import Outputs


class Meter:
    """The metrics of one role's tasks."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._records = metrics.counter("clicktrail_records")
        self._outputs = metrics.counter("clicktrail_outputs")
        self._dead = metrics.counter("clicktrail_dead_letters")
        self._transactions = metrics.counter("clicktrail_transactions").labels(role)
        self._transaction_s = metrics.histogram("clicktrail_transaction_seconds").labels(role)
        self._chunk_records = metrics.histogram("clicktrail_chunk_records").labels(role)
        self._chunk_s = metrics.histogram("clicktrail_chunk_seconds").labels(role)

    def chunk(self, topic: str, records: int, seconds: float, out: Outputs) -> None:
        """Count a chunk that was judged."""
        self._records.labels(self._role, topic).inc(records)
        self._chunk_records.observe(records)
        self._chunk_s.observe(seconds)
        by_topic: dict[str, int] = {}
        for (to, _), batch in out.batches.items():
            by_topic[to] = by_topic.get(to, 0) + len(batch)
        for to, count in by_topic.items():
            self._outputs.labels(self._role, to).inc(count)

    def transaction(self, seconds: float) -> None:
        """Count a transaction that was committed."""
        self._transactions.inc()
        self._transaction_s.observe(seconds)

    def dead_letter(self, topic: str, error: BaseException) -> None:
        """Count a record that went to dead letters. Error classes are those of our code: a closed set."""
        self._dead.labels(self._role, topic, type(error).__name__).inc()

    def restoring(self, partition: int, position: int, end: int) -> None:
        """Show how far the restore of a partition is."""
        metrics.gauge("clicktrail_restored_records").labels(self._role, str(partition)).set(position)
        metrics.gauge("clicktrail_restore_remaining_records").labels(self._role, str(partition)).set(max(0, end - position))
