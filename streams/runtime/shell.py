"""The shell around a stage: restore -> [ read -> judge -> send -> keep -> commit ] repeated, for one partition.

A Task owns everything of one partition number of a role: its inputs (co-partitioned topics), its store, its outbox. Everything a chunk
causes goes into one Kafka transaction: the stage's outputs, the state's changelog, the input's offsets. After the commit the state goes
to RocksDB. Killed at any of the arrows, the next owner continues as if this one had never touched the chunk.

When to commit: when the inputs are idle and the last commit is COMMIT_GAP_S ago, else after `commit_interval_s`. A quiet system is fast, a
busy one is cheap: a transaction costs five round trips (about 5 ms of waiting, 1.5 ms of CPU), and without the gap 500 payloads/s over 12
partitions, each a transaction of its own in two roles, cost 1.7 cores.

Faust hands us chunks and may drop or repeat some around a rebalance. Each chunk says where it begins and ends; the Task takes only what
continues its position: a repeat is cut off, a hole is fatal (`LostChunkError`): the process ends, and its successor reads from the
committed offset. Nothing is healed in process: every unexpected error ends it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import TopicPartition

from streams.runtime import changelog, failpoints
from streams.runtime.meter import Meter
from streams.runtime.outbox import Outbox
from streams.runtime.poison import Poison
from streams.runtime.store import Overlay, Store
from streams.stage import MustWait, Outputs, Record, RecordLike, Stage

log = structlog.get_logger(__name__)


COMMIT_GAP_S = 0.1  # between the commits of a partition that always has a little to do
LONGEST_WAIT_S = 20  # shorter than the transaction timeout


class LostChunkError(RuntimeError):
    """Records between the task's position and the next chunk never arrived."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One fetch of one partition. `start` is where the fetch began (None: unknown, after a reset), `next` where the next one begins."""

    at: TopicPartition
    records: Sequence[Record]
    start: int | None
    next: int


@dataclass(slots=True)
class Progress:
    """What /readyz and the metrics tell of a task."""

    state: str = "opening"  # opening, restoring, running, closed
    restored: int = 0
    restore_end: int = 0
    records: int = 0
    commits: int = 0
    last_commit: float = field(default_factory=time.monotonic)
    waiting_since: float | None = None  # work lies in the inbox since then, without a commit


class Task:
    """One partition of a role."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        group: str,
        partition: int,
        stage: Stage,
        *,
        store: Store,
        changelog_topic: str,
        commit_interval_s: float,
        on_drained: Callable[[TopicPartition], None] = lambda _: None,
    ) -> None:
        """`on_drained` is told each input partition whose chunk was taken, so that fetching it may go on."""
        self.partition = partition
        self.progress = Progress()
        self._kafka = kafka
        self._stage = stage
        self._store = store
        self._overlay = Overlay(store)
        self._changelog = changelog_topic
        self._outbox = Outbox(kafka, group, partition)
        self._inbox: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self._commit_interval_s = commit_interval_s
        self.positions: dict[TopicPartition, int] = {}
        self._on_drained = on_drained
        self._poison = Poison()
        self._meter = Meter(group.removeprefix("clicktrail."))
        self._is_closing = False
        self._committed_at = -COMMIT_GAP_S
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Fence the former owner. Short: the group waits meanwhile. The restore happens in `run`."""
        await self._outbox.open()

    def start(self, on_failure: Callable[[BaseException], Awaitable[None]]) -> None:
        """Restore and judge in the background until closed; any error goes to `on_failure`, which ends the process."""

        async def guarded() -> None:
            try:
                await self._run()
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001  whatever it is, this process must not go on
                await on_failure(error)

        self._running = asyncio.create_task(guarded(), name=f"{self._outbox.group}-{self.partition}")

    def put(self, chunk: Chunk) -> int:
        """Take a chunk; returns how many wait."""
        if not self._is_closing:
            if self.progress.waiting_since is None:
                self.progress.waiting_since = time.monotonic()
            self._inbox.put_nowait(chunk)
        return self._inbox.qsize()

    async def close(self) -> None:
        """Let the running transaction end, drop what waits, close outbox and store."""
        self._is_closing = True
        self._inbox.put_nowait(None)
        if self._running is not None:
            if self.progress.state != "running":
                self._running.cancel()
            await asyncio.wait([self._running])
        await self._outbox.close()
        self._store.close()
        self.progress.state = "closed"

    async def _run(self) -> None:
        await self._restore()
        self.progress.state = "running"
        while not self._is_closing:
            chunk = await self._inbox.get()
            if chunk is None or self._is_closing:
                return
            await self._transaction(chunk)

    async def _restore(self) -> None:
        self.progress.state = "restoring"

        def report(position: int, end: int) -> None:
            self.progress.restored, self.progress.restore_end = position, end
            self._meter.restoring(self.partition, position, end)

        began = time.monotonic()
        count = await changelog.restore(self._kafka, self._changelog, self.partition, self._store, report)
        if count:
            log.info(
                "restored", group=self._outbox.group, partition=self.partition, changes=count, seconds=round(time.monotonic() - began, 2)
            )
        self._overlay = Overlay(self._store)

    async def _transaction(self, chunk: Chunk) -> None:
        """Judge this chunk and those that wait behind it, until idle or the interval has passed; then commit all of it."""
        began = time.monotonic()
        deadline = began + self._commit_interval_s
        await self._outbox.begin()
        while True:
            await self._judge(chunk)
            self._on_drained(chunk.at)
            following = await self._following(deadline)
            if following is None:
                break
            chunk = following
        ends = await self._outbox.commit(self.positions)
        self._keep(ends)
        self.progress.commits += 1
        self._committed_at = self.progress.last_commit = time.monotonic()
        self._meter.transaction(self.progress.last_commit - began)
        self.progress.waiting_since = None if self._inbox.empty() else self.progress.last_commit

    async def _following(self, deadline: float) -> Chunk | None:
        """The next chunk of this transaction: one that waits, or one that comes before the last commit is COMMIT_GAP_S ago."""
        now = time.monotonic()
        if self._is_closing or now >= deadline:
            return None
        if not self._inbox.empty():
            return self._inbox.get_nowait()
        patience = min(deadline, self._committed_at + COMMIT_GAP_S) - now
        if patience <= 0:
            return None
        try:
            return await asyncio.wait_for(self._inbox.get(), patience)
        except TimeoutError:
            return None

    def _keep(self, ends: Mapping[tuple[str, int], int]) -> None:
        end = ends.get((self._changelog, self.partition))
        if end is not None:
            self._overlay.keep(end)
        failpoints.hit("after_keep")

    async def _judge(self, chunk: Chunk) -> None:
        records = self._continue_with(chunk)
        if records:
            began = time.monotonic()
            out = await self._process(records)
            self._meter.chunk(chunk.at.topic, len(records), time.monotonic() - began, out)
            await self._outbox.send(out)
            await self._outbox.send_changes(self._changelog, self.partition, self._overlay.accept_chunk())
        self.positions[chunk.at] = max(chunk.next, self.positions.get(chunk.at, 0))
        self.progress.records += len(records)

    def _continue_with(self, chunk: Chunk) -> Sequence[Record]:
        """The chunk's records from our position on; a hole before them is fatal."""
        position = self.positions.get(chunk.at)
        if position is None or chunk.start == position:
            return chunk.records
        if chunk.start is None or chunk.start > position:
            raise LostChunkError(f"{chunk.at}: position is {position}, the next chunk begins at {chunk.start}")
        return [record for record in chunk.records if record.offset >= position]

    async def _process(self, records: Sequence[RecordLike], *, is_patient: bool = True) -> Outputs:
        out = Outputs()
        while True:
            try:
                self._stage(records, self._overlay, out)
            except MustWait as wait:
                self._overlay.drop_chunk()
                out = Outputs()
                if not (wait.ready() or (is_patient and await _wait_until(wait.ready))):
                    return await self._isolate(records, wait)
            except Exception as error:  # noqa: BLE001  poison: find out which record it is
                self._overlay.drop_chunk()
                return await self._isolate(records, error)
            else:
                self._poison.count_good(len(records))
                return out

    async def _isolate(self, records: Sequence[RecordLike], error: Exception) -> Outputs:
        """Judge record by record; only the culprits go to dead letters. Too many of them raise: that is our fault, not theirs."""
        if len(records) == 1:
            out = Outputs()
            self._poison.bury(records[0], error, out)
            self._meter.dead_letter(records[0].topic, error)
            return out
        whole = Outputs()
        kept: dict[bytes, bytes | None] = {}
        for record in records:
            part = await self._process([record], is_patient=not isinstance(error, MustWait))  # the chunk has waited for all of them
            for topic, partition, key, value, headers in part:
                whole.send(topic, partition, key, value, headers)
            kept.update(self._overlay.accept_chunk())
        self._overlay.restage(kept)  # for the caller, who writes the changelog
        return whole


async def _wait_until(ready: Callable[[], bool]) -> bool:
    """Wait for what a stage waits for; False when it does not come in time, which makes the record that needs it poison."""
    deadline = time.monotonic() + LONGEST_WAIT_S
    while not ready():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True
