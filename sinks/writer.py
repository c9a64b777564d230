"""The sink: reads the topics of `feeds.py` and writes them to ClickHouse, each record once, soon, and in large pieces.

A plain aiokafka loop, not Faust: the sink has no state and produces nothing, so all that Faust would add is 110 us a message and its
offset commit, which must not run before the insert. Group membership is aiokafka's, with a static id: a restart gets its partitions back at once.

Two clocks against each other. ClickHouse makes a part of each insert and wants few of them: 2,000 rows an insert cost 40 CPU-s per million,
100,000 rows 19. A person waits for the row that was just sent. So: a lane (one topic) sends what it has SMALL_GAP after its last insert
began, so that a lone row goes out at once; while much is coming it waits LARGE_GAP, and never longer than the batch's size limits. While one batch is
being inserted the next one collects; when that one is full, too, the lane's partitions are paused. So memory is bounded by two batches.

Measured on 2 cores beside other work, rows of 1.6 KB, broker and engine on the same machine: 10 CPU-s per million in this process,
35 in the engine with its merges (12 of them to read JSON), 23,000 rows/s with a load of 4 from others; a lone row is visible after 120 ms.

Offsets are committed after the insert. Whatever dies in between is what the read-back is for (`insertion.py`). Any error that is not
foreseen there ends the process: its supervisor restarts it in under a second, and healing in process is how data gets lost.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, RebalanceInProgressError

from sinks.feeds import FEEDS, Feed, Records
from sinks.insertion import Insertion, spans_of
from sinks.store import Store
from streams.runtime import tracing
from streams.runtime.failpoints import hit
from streams.runtime.metrics import gauge
from streams.runtime.outside import Outside
from streams.runtime.unique import unique
from streams.stage import Outputs, RecordLike

log = structlog.get_logger(__name__)

GROUP = "clicktrail.sink"
MAX_ROWS, MAX_BYTES = 50_000, 32 << 20
SMALL_GAP_S, LARGE_GAP_S, SMALL_ROWS = 0.1, 0.25, 1_000
BUSY_POLL_MS, IDLE_POLL_MS = 10, 250
POLL_ROWS = 10_000
PUBLISH_S = 5.0
REVOKE_WAIT_S = 3.0  # how long a rebalance waits for a running insert; below the session timeout

CONSUMER = {
    "group_id": GROUP,
    "enable_auto_commit": False,
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 1_000,
    "rebalance_timeout_ms": 15_000,
    "max_poll_interval_ms": 86_400_000,  # a sink that waits for ClickHouse is well, and stays in the group
    "max_partition_fetch_bytes": 4 << 20,
    "fetch_max_bytes": 16 << 20,
}


class Lane:
    """One topic: the batch that collects, and the one that is on its way."""

    def __init__(self, feed: Feed, insertion: Insertion) -> None:
        self.feed = feed
        self.insertion = insertion
        self.task: asyncio.Task[None] | None = None
        self.is_paused = False
        self._records: list[RecordLike] = []
        self._size_bytes = 0
        self._next: dict[int, int] = {}
        self._began_at = 0.0

    def add(self, records: Sequence[RecordLike]) -> None:
        """Collect the records of one partition; what was collected before is not taken twice (a fetch may cross a rebalance)."""
        partition = records[0].partition
        if records[0].offset < self._next.get(partition, 0):
            records = [record for record in records if record.offset >= self._next[partition]]
        if records:
            self._next[partition] = records[-1].offset + 1
            self._records += records
            self._size_bytes += sum([len(record.value or b"") for record in records])

    def has_nothing_after(self, partition: int, offset: int) -> bool:
        """Return whether no record behind this offset was collected."""
        return self._next.get(partition) == offset + 1

    @property
    def is_full(self) -> bool:
        """Return whether the batch must not grow."""
        return len(self._records) >= MAX_ROWS or self._size_bytes >= MAX_BYTES

    def is_due(self, now: float) -> bool:
        """Return whether the batch should go now."""
        if not self._records or self.task is not None:
            return False
        gap = SMALL_GAP_S if len(self._records) < SMALL_ROWS else LARGE_GAP_S
        return self.is_full or now - self._began_at >= gap

    @property
    def is_busy(self) -> bool:
        """Return whether it has anything."""
        return bool(self._records) or self.task is not None

    def take(self, now: float) -> Records:
        """Return the batch and begin the next one."""
        self._began_at = now
        records, self._records, self._size_bytes = self._records, [], 0
        return records

    def reset(self) -> None:
        """Drop everything: the partitions are not ours, or will be read again from what is committed."""
        self._records, self._size_bytes, self.is_paused = [], 0, False
        self._next.clear()
        self.insertion.forget()


class Sink(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped here
    """`await run()` until `stop()`; raises what it cannot handle."""

    def __init__(
        self,
        kafka: dict[str, Any],
        url: str,
        instance: str,
        database: str = "clicktrail",
        feeds: Iterable[Feed] = FEEDS,
        group: str = GROUP,
        cluster: str = "",
        outside: Outside | None = None,
    ) -> None:
        """`outside` ends a sink that is no member of its group any more."""
        self._kafka = kafka
        self._outside = outside
        self._store = Store(url, database, cluster=cluster)
        self._lanes = {feed.topic: Lane(feed, Insertion(feed, self._store, self._bury)) for feed in feeds}
        self._consumer = AIOKafkaConsumer(**kafka, **CONSUMER | {"group_id": group}, group_instance_id=instance)
        self._producer: AIOKafkaProducer | None = None
        self._is_assigned = False
        self._is_stopping = False

    @property
    def is_ready(self) -> bool:
        """Return whether partitions are assigned."""
        return self._is_assigned

    async def run(self) -> None:
        """Write until stopped."""
        self._consumer.subscribe(list(self._lanes), listener=self)
        await self._consumer.start()
        published_at = 0.0
        try:
            while not self._is_stopping:
                await self._turn()
                if (now := asyncio.get_running_loop().time()) - published_at > PUBLISH_S:
                    published_at = now
                    self._publish()
                    if self._outside is not None:
                        await self._outside.look(now, is_member=self._is_assigned)
            await self._drain()
        finally:
            await self._close()

    def _publish(self) -> None:
        """How much is owned, and how far what was fetched is behind the end: nobody is asked."""
        lags = dict.fromkeys(self._lanes, 0)
        assigned = self._consumer.assignment()
        for at in assigned:
            state = self._consumer._subscription.subscription.assignment.state_value(at)  # noqa: SLF001  `position()` would wait for it
            if state is not None and state.has_valid_position:
                lags[at.topic] += max(0, (self._consumer.highwater(at) or 0) - state.position)
        gauge("clicktrail_assigned_partitions").labels("sink").set(len(assigned))
        for topic, lag in lags.items():
            gauge("clicktrail_lag_records").labels("sink", topic).set(lag)

    async def stop(self) -> None:
        """Ask `run` to write what it has and return."""
        self._is_stopping = True

    async def _turn(self) -> None:
        """Take what came, send what is due."""
        is_busy = any(lane.is_busy for lane in self._lanes.values())
        fetched = await self._consumer.getmany(timeout_ms=BUSY_POLL_MS if is_busy else IDLE_POLL_MS, max_records=POLL_ROWS)
        for at, records in fetched.items():
            if self._is_assigned:
                self._lanes[at.topic].add(records)
        now = asyncio.get_running_loop().time()
        for lane in self._lanes.values():
            self._collect_outcome(lane)
            if self._is_assigned and lane.is_due(now):
                lane.task = asyncio.create_task(self._flush(lane, lane.take(now)), name=f"insert {lane.feed.topic}")
            self._hold(lane)

    @staticmethod
    def _collect_outcome(lane: Lane) -> None:
        """Let a finished insert go; one that failed raises here and ends the role."""
        if lane.task is not None and lane.task.done():
            task, lane.task = lane.task, None
            if not task.cancelled():
                task.result()

    def _hold(self, lane: Lane) -> None:
        """Pause the lane's partitions while its batch is full, so that memory stays bounded while ClickHouse is away."""
        if lane.is_full != lane.is_paused:
            lane.is_paused = lane.is_full
            partitions = [at for at in self._consumer.assignment() if at.topic == lane.feed.topic]
            (self._consumer.pause if lane.is_full else self._consumer.resume)(*partitions)

    async def _flush(self, lane: Lane, records: Records) -> None:
        began = asyncio.get_running_loop().time()
        await lane.insertion.write(records)
        tracing.handled("insert", records, asyncio.get_running_loop().time() - began)
        hit("before_offset_commit")
        try:
            await self._consumer.commit(await self._finished(lane, records))
        except (CommitFailedError, RebalanceInProgressError, IllegalStateError) as error:
            # The partitions have a new owner, or will have: it reads back what we inserted.
            log.info("offsets not committed, the group is rebalancing", topic=lane.feed.topic, error=repr(error))

    async def _finished(self, lane: Lane, records: Records) -> dict[TopicPartition, int]:
        """Return the offsets to go on from: behind the batch, and behind the transaction markers that follow it if nothing else does."""
        finished = {}
        for partition, (_, last) in spans_of(records).items():
            at = TopicPartition(lane.feed.topic, partition)
            position = await self._consumer.position(at)  # before the question: what is collected meanwhile must not count as done
            finished[at] = position if lane.has_nothing_after(partition, last) else last + 1
        return finished

    async def _bury(self, out: Outputs) -> None:
        """Send dead letters, and wait for the broker: the offset behind them is committed next."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(**self._kafka, enable_idempotence=True, acks="all", max_request_size=16 << 20)
            await self._producer.start()
        for topic, partition, key, value, headers in out:
            await self._producer.send_and_wait(topic, value, unique(key), partition=partition, headers=headers)

    async def _drain(self) -> None:
        """Send what was collected, for a clean stop. Bounded: what does not get through is read again by the next sink."""
        now = asyncio.get_running_loop().time()
        for lane in self._lanes.values():
            if lane.task is None and lane.is_busy and self._is_assigned:
                lane.task = asyncio.create_task(self._flush(lane, lane.take(now)))
        await self._end_inserts(REVOKE_WAIT_S)

    async def _end_inserts(self, wait_s: float) -> None:
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=wait_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002 - all are revoked, always
        """Finish the running inserts or give them up; the next owner reads back what arrived."""
        self._is_assigned = False
        await self._end_inserts(REVOKE_WAIT_S)
        for lane in self._lanes.values():
            lane.reset()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Begin at the committed offsets, knowing nothing."""
        for lane in self._lanes.values():
            lane.reset()
        self._is_assigned = True
        log.info("assigned", partitions=len(assigned))

    async def _close(self) -> None:
        await self._end_inserts(REVOKE_WAIT_S)
        with contextlib.suppress(Exception):
            await self._store.close()
        if self._producer is not None:
            await self._producer.stop()
        await self._consumer.stop()
