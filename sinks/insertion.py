"""Puts each record of a topic into its table exactly once, with ClickHouse as the only witness.

The rule: rows carry their offsets; before rows are sent that *may* have been sent before, the offsets that are there are read back and only the missing
ones are sent. "May" is when (a) a partition is new to us and its rows reach beyond where we start: somebody inserted and died before
committing, or (b) an insert of ours ended in anything but success. Never max(offset) alone: a killed insert leaves some parts in and others
out; the maximum only bounds the span in doubt. No deduplication tokens: on plain tables they lose rows. 200 kills: 0 lost, 0 doubled.

    unavailable    wait (0.1 to 5 s, jittered), read back, send what is missing, for ever: Kafka keeps what we do not take
    a refused row  halve the batch until it is alone, send it to `dlq.<topic>`, go on; too many stop the role (poison.py)
    bad settings   raise: the process ends, and says what to change
"""

import re
import time
from collections.abc import Awaitable, Callable

import stamina

from sinks.errors import RefusedError
from sinks.feeds import Feed, Records
from sinks.store import Store
from sinks.tables import EVENT_REVISIONS
from streams.runtime.errors import Unavailable
from streams.runtime.failpoints import hit
from streams.runtime.metrics import counter, histogram
from streams.runtime.poison import Poison
from streams.stage import Outputs, RecordLike

_RECEIVED = re.compile(rb'"received_ms":(\d+)')  # of the first row of a batch, its oldest: one sample per insert, nothing is parsed

Bury = Callable[[Outputs], Awaitable[None]]
"""Sends dead letters; returns when the broker has them."""


class Insertion:
    """One topic's way into its table. One batch at a time."""

    def __init__(self, feed: Feed, store: Store, bury: Bury) -> None:
        self._feed = feed
        self._store = store
        self._bury = bury
        self._poison = Poison()
        self._in_doubt_until: dict[int, int] = {}  # partition -> highest offset that somebody before us may have inserted

    def forget(self) -> None:
        """Partitions came or went: learn anew what is there."""
        self._in_doubt_until.clear()

    async def write(self, records: Records) -> None:
        """Return when every record is a row or a dead letter. The records of each partition are in order; tombstones are no records."""
        records = [record for record in records if record.value is not None]
        if not all(map(self._feed.takes, records)):
            for record in records:
                if not self._feed.takes(record):
                    await self._refuse(record, RefusedError(0, "The value is no JSON object with a row's key"))
            records = [record for record in records if self._feed.takes(record)]
        await self._write(records, is_repeated=False)

    async def _write(self, records: Records, *, is_repeated: bool) -> None:
        table = self._feed.table.name
        async for attempt in stamina.retry_context(
            on=Unavailable, attempts=None, timeout=None, wait_initial=0.1, wait_max=5.0, wait_jitter=1.0
        ):
            with attempt:
                if attempt.num > 1:
                    counter("clicktrail_sink_retries").labels(table, "unavailable").inc()
                if is_repeated or attempt.num > 1:
                    await self._store.wait_for_running_inserts(self._feed)
                if is_repeated or attempt.num > 1 or await self._is_in_doubt(records):
                    records = await self._missing(records)
                if not records:
                    return
                try:
                    await self._insert(records)
                except RefusedError as error:
                    await self._halve(records, error)

    async def _insert(self, records: Records) -> None:
        started = time.perf_counter()
        await self._store.insert(self._feed, records)
        hit("after_insert")
        self._poison.count_good(len(records))
        counter("clicktrail_sink_rows").labels(self._feed.table.name).inc(len(records))
        histogram("clicktrail_sink_insert_seconds").labels(self._feed.table.name).observe(time.perf_counter() - started)
        if self._feed.table is EVENT_REVISIONS and (found := _RECEIVED.search(records[0].value or b"")):
            histogram("clicktrail_event_age_seconds").observe(max(0.0, time.time() - int(found[1]) / 1000))

    async def _is_in_doubt(self, records: Records) -> bool:
        """Return whether somebody before us may have inserted some of these."""
        spans = spans_of(records)
        new = {partition: first for partition, (first, _) in spans.items() if partition not in self._in_doubt_until}
        if new:
            await self._store.wait_for_running_inserts(self._feed)
            highest = await self._store.highest(self._feed, new)
            self._in_doubt_until |= {partition: highest.get(partition, -1) for partition in new}
        return any(first <= self._in_doubt_until[partition] for partition, (first, _) in spans.items())

    async def _missing(self, records: Records) -> Records:
        """Return those that are not there."""
        present = await self._store.present(self._feed, spans_of(records))
        hit("after_readback")
        if not present:
            return records
        missing = [record for record in records if (record.partition, record.offset, record.timestamp) not in present]
        counter("clicktrail_sink_known_rows").labels(self._feed.table.name).inc(len(records) - len(missing))
        return missing

    async def _halve(self, records: Records, error: RefusedError) -> None:
        if len(records) == 1:
            await self._refuse(records[0], error)
            return
        middle = len(records) // 2
        await self._write(records[:middle], is_repeated=True)
        await self._write(records[middle:], is_repeated=True)

    async def _refuse(self, record: RecordLike, error: RefusedError) -> None:
        if record.topic.startswith("dlq."):
            raise error  # there is no dead letter of a dead letter; these are lines of our own making, so the fault is ours
        out = Outputs()
        self._poison.bury(record, error, out)
        await self._bury(out)
        counter("clicktrail_dead_letters").labels("sink", record.topic, type(error).__name__).inc()


def spans_of(records: Records) -> dict[int, tuple[int, int]]:
    """Return partition -> (first, last offset) of records that are in order within their partitions."""
    spans: dict[int, tuple[int, int]] = {}
    for record in records:
        partition, offset = record.partition, record.offset
        first = spans[partition][0] if partition in spans else offset
        spans[partition] = (first, offset)
    return spans
