"""The shell around the stages of a worker: restore -> [ read -> judge -> send -> keep -> commit ] repeated, over all of its tasks.

Everything that the chunks of all partitions cause within an interval goes into one Kafka transaction: the stages' outputs, the changelogs
of their states, the inputs' offsets. After the commit the states go to RocksDB. Killed at any of the arrows, the next owner continues as
if this one had never touched the chunks.

When to commit: when nothing waits and the last commit is COMMIT_GAP_S ago, else after `commit_interval_s`. A quiet system is fast, a busy
one is cheap. One transaction for the worker instead of one per partition, because each costs five round trips and a marker for every
partition it wrote to: `membership.py` has the figures, and says how an owner that is none any more is kept out. While one commits, the
next is judged already: two outboxes take turns. (With one, a third of the time was waiting: 56,000 instead of 81,000 events/s of the reference workload, side by side.)

Nothing is healed in process: every unexpected error ends it, and its successor reads from what is committed.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import cycle

from aiokafka import TopicPartition

from streams.runtime import failpoints
from streams.runtime.meter import Meter
from streams.runtime.outbox import Outbox
from streams.runtime.task import Chunk, Task
from streams.stage import MustWait

COMMIT_GAP_S = 0.05  # between the commits of a worker that always has a little to do
LONGEST_WAIT_S = 20  # for settings that a payload names
ASK_S = 0.01

Failure = Callable[[BaseException], Awaitable[None]]


class Shell:
    """The tasks of one assignment, and their transactions."""

    def __init__(
        self,
        tasks: Iterable[Task],
        outboxes: Sequence[Outbox],
        *,
        commit_interval_s: float,
        meter: Meter,
        on_drained: Callable[[TopicPartition], None] = lambda _: None,
    ) -> None:
        """`on_drained` is told each input partition whose chunk was taken, so that fetching it may go on."""
        self.tasks: Mapping[int, Task] = {task.partition: task for task in tasks}
        self._outboxes = cycle(outboxes)
        self._commit_interval_s = commit_interval_s
        self._meter = meter
        self._on_drained = on_drained
        self._ready: deque[Task] = deque()  # each task at most once: they take turns
        self._wake = asyncio.Event()
        self._is_closing = False
        self._committed_at = -COMMIT_GAP_S
        self._running: asyncio.Task[None] | None = None
        self._committing: asyncio.Future[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()  # restores and waits

    def start(self, on_failure: Failure) -> None:
        """Restore and judge in the background until closed; any error goes to `on_failure`, which ends the process."""
        self._running = asyncio.create_task(_guarded(self._run(), on_failure), name="shell")
        for task in self.tasks.values():
            self._begin_beside(_guarded(self._restore(task), on_failure))

    def put(self, chunk: Chunk) -> int:
        """Take a chunk; returns how many wait in its task. Chunks of partitions that are not ours (any more) are dropped."""
        task = self.tasks.get(chunk.at.partition)
        if task is None or self._is_closing:
            return 0
        waiting = task.put(chunk)
        self._offer(task)
        return waiting

    async def close(self) -> None:
        """Let the running transaction end, drop what waits, close the stores."""
        self._is_closing = True
        self._wake.set()
        for beside in self._beside:
            beside.cancel()
        if self._beside:
            await asyncio.wait(self._beside)
        if self._running is not None:
            await asyncio.wait([self._running])
        for task in self.tasks.values():
            task.close()

    def _begin_beside(self, work: Awaitable[None]) -> None:
        beside = asyncio.ensure_future(work)
        self._beside.add(beside)
        beside.add_done_callback(self._beside.discard)

    def _offer(self, task: Task) -> None:
        if task.can_judge and not task.is_offered:
            task.is_offered = True
            self._ready.append(task)
            self._wake.set()

    async def _restore(self, task: Task) -> None:
        await task.restore()
        self._offer(task)

    async def _run(self) -> None:
        flushed = None
        while not self._is_closing:
            if self._ready:
                flushed = await self._transaction(self._ready.popleft(), next(self._outboxes), flushed)
            else:
                await self._something()
        await self._decided()

    async def _transaction(self, first: Task, outbox: Outbox, flushed: asyncio.Event | None) -> asyncio.Event:
        """Judge what waits, task by task, until idle or the interval has passed; then commit it, beside the next one."""
        began = time.monotonic()
        touched: dict[int, Task] = {}
        await outbox.begin(flushed)
        task: Task | None = first
        while task is not None:
            if await self._judge(task, outbox):
                touched[task.partition] = task
            task = await self._following(began + self._commit_interval_s)
        await self._decided()
        offsets = {at: offset for task in touched.values() for at, offset in task.seal().items()}
        self._committing = asyncio.ensure_future(self._commit(outbox, offsets, list(touched.values()), began))
        self._committing.add_done_callback(lambda _: self._wake.set())
        return outbox.is_flushed

    async def _commit(self, outbox: Outbox, offsets: Mapping[TopicPartition, int], touched: Sequence[Task], began: float) -> None:
        ends = await outbox.commit(offsets)
        for task in touched:
            task.keep(ends)
        failpoints.hit("after_keep")
        self._committed_at = time.monotonic()
        self._meter.transaction(self._committed_at - began)

    async def _decided(self) -> None:
        """Return when the transaction that commits has committed; raises what it raised."""
        if self._committing is not None:
            await self._committing
            self._committing = None

    async def _something(self, patience_s: float | None = None) -> None:
        """Return when a task has a chunk, when a commit is over, when we close, or when the patience is; raises what a commit raised."""
        if self._committing is None or not self._committing.done():  # one that is over has set the event already
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), patience_s)
        if self._committing is not None and self._committing.done():
            await self._decided()

    async def _following(self, deadline: float) -> Task | None:
        """The next task of this transaction: one that waits, or one that comes while the transaction before this one commits and until
        COMMIT_GAP_S after it.
        """
        await asyncio.sleep(0)  # what was handed over is sent, and what came is seen
        while not self._is_closing and (now := time.monotonic()) < deadline:
            if self._ready:
                return self._ready.popleft()
            quiet_at = deadline if self._committing else min(deadline, self._committed_at + COMMIT_GAP_S)
            if quiet_at <= now:
                break
            await self._something(quiet_at - now)
        return None

    async def _judge(self, task: Task, outbox: Outbox) -> bool:
        """Judge the next chunk of a task; False if it must wait."""
        task.is_offered = False
        chunk = task.take()
        try:
            out, changes = task.judge(chunk)
        except MustWait as wait:
            task.give_back(chunk)
            self._begin_beside(self._wait(task, wait))
            return False
        if out.batches:
            await outbox.send(out)
        if changes:
            await outbox.send_changes(*task.changelog, changes)
        self._on_drained(chunk.at)
        self._offer(task)
        return True

    async def _wait(self, task: Task, wait: MustWait) -> None:
        deadline = time.monotonic() + LONGEST_WAIT_S
        while not (has_come := wait.ready()) and time.monotonic() < deadline:  # noqa: ASYNC110  a stage knows no event to wait for
            await asyncio.sleep(ASK_S)
        task.release(has_come=has_come)
        self._offer(task)


async def _guarded(work: Awaitable[None], on_failure: Failure) -> None:
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001  whatever it is, this process must not go on
        await on_failure(error)
