"""A task: everything of one partition number of a role: its inputs (co-partitioned topics), its stage, its store, the chunks that wait.

It restores, then judges chunk by chunk; what a chunk causes goes into the worker's transaction (`shell.py`), and after the commit the
state goes to RocksDB.

Faust hands us chunks and may drop or repeat some around a rebalance. Each chunk says where it begins and ends; the task takes only what
continues its position: a repeat is cut off, a hole is fatal (`LostChunkError`): the process ends, and its successor reads from the
committed offset.

A chunk that must wait (for settings) goes back to the front and holds its own task only; the transaction and the other tasks go on. What
never comes makes the records that need it poison, one by one.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiokafka import TopicPartition

from streams.runtime import changelog, tracing
from streams.runtime.meter import Meter
from streams.runtime.poison import Poison
from streams.runtime.store import Overlay, StateDamagedError, Store
from streams.stage import MustWait, Outputs, Record, RecordLike, Stage

log = structlog.get_logger(__name__)


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
    waiting_since: float | None = None  # a chunk waits since then, without a commit


class Follower(Protocol):
    """What acts beside a stage on what is committed, and on nothing else: the sender of delivery."""

    def opened(self, store: Store) -> None:
        """The store is restored; called once, before anything is kept."""

    def kept(self, changes: Mapping[bytes, bytes | None]) -> None:
        """These changes were committed and are in the store."""

    def closed(self) -> None:
        """The partition is given away, or the process ends: the store is about to be closed."""


class Task:
    """One partition of a role. The shell calls; nothing here awaits but the restore."""

    def __init__(
        self,
        kafka: Mapping[str, Any],
        partition: int,
        stage: Stage,
        *,
        store: Store,
        changelog_topic: str,
        meter: Meter,
        follower: Follower | None = None,
    ) -> None:
        self.partition = partition
        self._follower = follower
        self.changelog = (changelog_topic, partition)
        self.progress = Progress()
        self.positions: dict[TopicPartition, int] = {}
        self.is_offered = False  # it stands in the shell's queue
        self.is_held = False  # its first chunk must wait
        self._kafka = kafka
        self._stage = stage
        self._store = store
        self._overlay = Overlay(store)
        self._chunks: deque[Chunk] = deque()
        self._poison = Poison()
        self._meter = meter
        self._is_patient = True

    async def restore(self) -> None:
        """Bring the store up to its changelog; only then may the task judge."""
        self.progress.state = "restoring"

        def report(position: int, end: int) -> None:
            self.progress.restored, self.progress.restore_end = position, end
            self._meter.restoring(self.partition, position, end)

        began = time.monotonic()
        count = await changelog.restore(self._kafka, *self.changelog, self._store, report)
        if count:
            log.info(
                "restored", topic=self.changelog[0], partition=self.partition, changes=count, seconds=round(time.monotonic() - began, 2)
            )
        self._overlay = Overlay(self._store)
        self.progress.state = "running"
        if self._follower is not None:
            self._follower.opened(self._store)

    def put(self, chunk: Chunk) -> int:
        """Take a chunk; returns how many wait."""
        if self.progress.waiting_since is None:
            self.progress.waiting_since = time.monotonic()
        self._chunks.append(chunk)
        return self.waiting

    @property
    def waiting(self) -> int:
        """How many chunks wait."""
        return len(self._chunks)

    @property
    def can_judge(self) -> bool:
        """Whether a chunk waits that can be judged now."""
        return bool(self._chunks) and self.progress.state == "running" and not self.is_held

    def take(self) -> Chunk:
        """The next chunk."""
        return self._chunks.popleft()

    def give_back(self, chunk: Chunk) -> None:
        """It must wait: the same chunk comes next, when `released`."""
        self._chunks.appendleft(chunk)
        self.is_held = True

    def release(self, *, has_come: bool) -> None:
        """What the first chunk waits for has come, or never will."""
        self.is_held = False
        self._is_patient = has_come

    def judge(self, chunk: Chunk) -> tuple[Outputs, Mapping[bytes, bytes | None]]:
        """What a chunk sends, and what it changes in state. MustWait: nothing was done, `give_back` the chunk."""
        records = self._continue_with(chunk)
        out: Outputs = Outputs()
        if records:
            began = time.monotonic()
            out = self._process(records, is_patient=self._is_patient)
            took = time.monotonic() - began
            self._meter.chunk(chunk.at.topic, len(records), took, out)
            tracing.handled("process", records, took)
        self._is_patient = True
        self.positions[chunk.at] = max(chunk.next, self.positions.get(chunk.at, 0))
        self.progress.records += len(records)
        return out, self._overlay.accept_chunk()

    def seal(self) -> dict[TopicPartition, int]:
        """The transaction commits: the offsets to commit; what is judged from now on belongs to the next one."""
        self._overlay.seal()
        return dict(self.positions)

    def keep(self, ends: Mapping[tuple[str, int], int]) -> None:
        """After the commit: the sealed changes go to the store, with the changelog offset behind them."""
        kept = self._overlay.keep(ends.get(self.changelog))
        self.progress.commits += 1
        self.progress.waiting_since = time.monotonic() if self._chunks else None
        if kept and self._follower is not None:
            self._follower.kept(kept)

    def close(self) -> None:
        """Drop what waits and close the store."""
        self._chunks.clear()
        if self._follower is not None:
            self._follower.closed()
        self._store.close()
        self.progress.state = "closed"

    def _continue_with(self, chunk: Chunk) -> Sequence[Record]:
        """The chunk's records from our position on; a hole before them is fatal."""
        position = self.positions.get(chunk.at)
        if position is None or chunk.start == position:
            return chunk.records
        if chunk.start is None or chunk.start > position:
            raise LostChunkError(f"{chunk.at}: position is {position}, the next chunk begins at {chunk.start}")
        return [record for record in chunk.records if record.offset >= position]

    def _process(self, records: Sequence[RecordLike], *, is_patient: bool) -> Outputs:
        while True:
            out = Outputs()
            try:
                self._stage(records, self._overlay, out)
            except MustWait as wait:
                self._overlay.drop_chunk()
                if wait.ready():
                    continue
                if is_patient:
                    raise
                return self._isolate(records, wait, is_patient=False)  # the chunk has waited for all of them
            except StateDamagedError:
                raise  # the machine is broken, not the record
            except Exception as error:  # noqa: BLE001  poison: find out which record it is
                self._overlay.drop_chunk()
                return self._isolate(records, error, is_patient=is_patient)
            self._poison.count_good(len(records))
            return out

    def _isolate(self, records: Sequence[RecordLike], error: Exception, *, is_patient: bool) -> Outputs:
        """Judge record by record; only the culprits go to dead letters. Too many of them raise: that is our fault, not theirs."""
        whole = Outputs()
        if len(records) == 1:
            self._poison.bury(records[0], error, whole)
            self._meter.dead_letter(records[0].topic, error)
            return whole
        before = self._overlay.mark()
        kept: dict[bytes, bytes | None] = {}
        try:
            for record in records:
                part = self._process([record], is_patient=is_patient)
                for topic, partition, key, value, headers in part:
                    whole.send(topic, partition, key, value, headers)
                kept.update(self._overlay.accept_chunk())
        except MustWait:
            self._overlay.return_to(before)
            raise
        self._overlay.restage(kept)  # for the caller, who writes the changelog
        return whole
