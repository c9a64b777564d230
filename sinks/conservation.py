"""The proof that nothing is silent: every payload up to the watermark is exactly one current row. in = ok + discarded + deduplicated + error.

The watermark of a partition is what the ledger has committed. Counting is one query; only where the counts differ are offsets compared, and
an offset without a row is then looked up in the topic itself: an offset may be a transaction's marker, which is no payload. A payload
whose click is being looked for is committed and has no verdict yet, and the sink is some 100 ms behind: so what is missing is asked for again until
`settle_s` is over, and only what is missing then counts. A later epoch (topics made anew) has ids of its own and is counted by itself.
"""

# ruff: noqa: S608 - all that is pasted into SQL here are numbers and names of our own

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import clickhouse_connect
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from sinks.connection import client_args
from sinks.migrations import DATABASE
from streams.topology import LEDGER, PAYLOADS

NAMED = 100  # so many offsets are named per partition; the counts are always complete
STATUSES = ("ok", "discarded", "deduplicated", "error")
POLL_S = 0.5
READ_S = 600  # longest time for reading a partition's payloads between the first and the last offset without a row


class Span(NamedTuple):
    """A partition as Kafka has it: payloads from `start` on are judged up to `watermark`, received up to `end`."""

    start: int
    watermark: int
    end: int


class Partition(NamedTuple):
    """What was found. `in_count` counts payloads, `statuses` their current rows; offsets that break the rule are named, up to NAMED."""

    partition: int
    span: Span
    in_count: int
    statuses: dict[str, int]
    missing: tuple[int, ...]
    missing_count: int
    doubled: tuple[int, ...]
    doubled_count: int

    @property
    def is_whole(self) -> bool:
        """Return whether every payload has exactly one current row, with a known status."""
        known = sum(self.statuses.get(status, 0) for status in STATUSES)
        return not self.missing_count and not self.doubled_count and known == self.in_count


class Report(NamedTuple):
    """All partitions of the payloads."""

    partitions: tuple[Partition, ...]

    @property
    def is_whole(self) -> bool:
        """Return whether the promise holds everywhere."""
        return all(partition.is_whole for partition in self.partitions)

    def lines(self) -> list[str]:
        """Return the report in words: the equation, then what breaks it."""
        totals = {status: sum(p.statuses.get(status, 0) for p in self.partitions) for status in STATUSES}
        count, waiting = sum(p.in_count for p in self.partitions), sum(p.span.end - p.span.watermark for p in self.partitions)
        found = [f"in {count} = " + " + ".join(f"{status} {totals[status]}" for status in STATUSES) + f"; {waiting} not judged yet"]
        for p in self.partitions:
            if p.missing_count:
                found.append(
                    f"partition {p.partition}: {p.missing_count} payloads without a row: offsets {named(p.missing, p.missing_count)}"
                )
            if p.doubled_count:
                found.append(
                    f"partition {p.partition}: {p.doubled_count} payloads with several rows: offsets {named(p.doubled, p.doubled_count)}"
                )
            if unknown := {status: count for status, count in p.statuses.items() if status not in STATUSES}:
                found.append(f"partition {p.partition}: rows with unknown status: {unknown}")
        return found


def named(offsets: tuple[int, ...], count: int) -> str:
    """Return offsets as text."""
    more = f" and {count - len(offsets)} more" if count > len(offsets) else ""
    return ", ".join(map(str, offsets)) + more


async def check(
    url: str,
    kafka: Mapping[str, Any],
    database: str = DATABASE,
    *,
    epoch: int = 1,
    topic: str = PAYLOADS.name,
    group: str = f"clicktrail.{LEDGER.name}",
    settle_s: float = 15,
) -> Report:
    """Return the report; `kafka` are the arguments of an aiokafka client. Takes as long as `settle_s` if something is missing."""
    consumer = AIOKafkaConsumer(**kafka, group_id=group, enable_auto_commit=False, isolation_level="read_committed")
    await consumer.start()
    client = await clickhouse_connect.get_async_client(**client_args(url, database), query_limit=0)
    try:
        auditor = Auditor(consumer, client, topic, epoch)
        spans = await auditor.spans(await partitions_of(kafka, topic))
        ends_at = time.monotonic() + settle_s
        while True:
            report = Report(tuple([await auditor.partition(number, span) for number, span in spans.items()]))
            if report.is_whole or time.monotonic() > ends_at:
                return report
            await asyncio.sleep(POLL_S)
    finally:
        await client.close()
        await consumer.stop()


async def partitions_of(kafka: Mapping[str, Any], topic: str) -> list[int]:
    """Return the numbers of a topic's partitions."""
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
        return sorted(partition["partition"] for partition in described["partitions"])
    finally:
        await admin.close()


class Auditor:
    """Compares one topic with the view `events`."""

    def __init__(self, consumer: Any, client: Any, topic: str, epoch: int) -> None:
        self._consumer = consumer
        self._client = client
        self._topic = topic
        self._rows = f"events WHERE topic = '{topic}' AND startsWith(event_id, 'e{epoch}-')"
        self._gaps: dict[int, set[int]] = {}  # offsets that are no payloads, learnt once

    async def spans(self, numbers: list[int]) -> dict[int, Span]:
        """Return each partition's offsets. A partition that the group never committed is judged up to its start."""
        places = [TopicPartition(self._topic, number) for number in numbers]
        starts, ends = await self._consumer.beginning_offsets(places), await self._consumer.end_offsets(places)
        self._consumer.assign(places)
        return {at.partition: Span(starts[at], max(starts[at], await self._consumer.committed(at) or 0), ends[at]) for at in places}

    async def partition(self, number: int, span: Span) -> Partition:
        """Return what is there of one partition, and what is not."""
        rows = f"{self._rows} AND partition = {number} AND offset >= {span.start} AND offset < {span.watermark}"
        ((count, distinct),) = await self._query(f"SELECT count(), uniqExact(offset) FROM {rows}")
        doubled = (
            await self._offsets(f"SELECT offset FROM {rows} GROUP BY offset HAVING count() > 1 ORDER BY offset") if count > distinct else []
        )
        is_complete = distinct == span.watermark - span.start - len(self._gaps.get(number, ()))
        missing = [] if is_complete else await self._missing(number, span, rows)
        return Partition(
            number,
            span,
            span.watermark - span.start - len(self._gaps.get(number, ())),
            dict(await self._query(f"SELECT status, count() FROM {rows} GROUP BY status")),
            tuple(missing[:NAMED]),
            len(missing),
            tuple(doubled[:NAMED]),
            len(doubled),
        )

    async def _missing(self, number: int, span: Span, rows: str) -> list[int]:
        """Return the offsets of payloads without a row."""
        every = f"SELECT number FROM numbers({span.start}, {span.watermark - span.start})"
        absent = await self._offsets(f"{every} WHERE number NOT IN (SELECT offset FROM {rows}) ORDER BY number")
        gaps = self._gaps.setdefault(number, set())
        doubtful = [offset for offset in absent if offset not in gaps]
        if doubtful:
            gaps |= set(doubtful) - await self._payloads(TopicPartition(self._topic, number), doubtful[0], doubtful[-1])
        return [offset for offset in doubtful if offset not in gaps]

    async def _payloads(self, at: TopicPartition, first: int, last: int) -> set[int]:
        """Return the offsets from first to last at which the topic has a record. The position moves over markers, too (tried)."""
        self._consumer.seek(at, first)
        found: set[int] = set()
        async with asyncio.timeout(READ_S):
            while await self._consumer.position(at) <= last:
                fetched = await self._consumer.getmany(at, timeout_ms=500, max_records=50_000)
                found.update(record.offset for record in fetched.get(at, ()) if record.value is not None)  # else it erases one
        return found

    async def _query(self, sql: str) -> list[Any]:
        return list((await self._client.query(sql)).result_rows)

    async def _offsets(self, sql: str) -> list[int]:
        return [offset for (offset,) in await self._query(sql)]
