"""The way of every record: to the broker, or behind the spool. `accept` returns when one of the two has it for good.

    direct    requests ──gather 2 ms──> batches ──acks=all──> answer with the offset
              │ no ack within 0.5 s, or a failed batch
              v
    spooling  requests ──one fsync for all──> spool ──> answer with the receipt        (new ones go behind the old: order is kept)
              spool ──> producer ──> position;  empty again ──> direct

At the change, records under way are spooled too, and answered; their producer keeps trying. Draining starts when their fate is known,
and leaves out what was acknowledged after all: a broker that is killed and comes back, or freezes for a minute, doubles nothing. Only
records of a producer that had to be replaced can be sent twice (same receipt header), and those under way when ingest itself is killed.

One pump for all requests, one round at a time: while a round is under way the next one gathers, so load makes batches larger, not
queues longer. 0.5 s, because a visitor on a tracking link waits at most two of them.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

from streams.ingest import metrics
from streams.ingest.drainer import Drainer
from streams.ingest.producer import Producer, Shipment
from streams.ingest.record import Record
from streams.ingest.spool import Spool, SpoolFull
from streams.runtime import logs

LINGER_S = 0.002
ACK_S = 0.5
START_S = 2.0
SLICE_S = 0.05
ROUND_BYTES = 4 << 20
ROUND_RECORDS = 8_000
LAST_BYTES = 1 << 20
LOG = logs.get(__name__)


class TooLarge(Exception):  # noqa: N818 - an answer (413), not a fault of ours
    """The topic's max.message.bytes refuses the record."""


class Accepted(NamedTuple):
    """Where a request's first record went. Spooled: no partition yet. Offset -1: in the log, the broker no longer knows where."""

    partition: int
    offset: int
    is_spooled: bool = False


SPOOLED = Accepted(-1, -1, is_spooled=True)


class Ticket:
    """The records of one request, and who waits for them."""

    __slots__ = ("accepted", "future", "left", "records", "size")

    def __init__(self, records: Sequence[Record], future: asyncio.Future[Accepted]) -> None:
        self.records = records
        self.future = future
        self.left = len(records)
        self.size = sum(len(record.value) for record in records)
        self.accepted: Accepted | None = None  # of the first record that became safe

    def stored(self) -> None:
        """Take note that one more record is safe; the last one answers with what became of the first."""
        self.left -= 1
        if not self.left and self.accepted and not self.future.done():
            self.future.set_result(self.accepted)

    def failed(self, error: Exception) -> None:
        """Answer with an error; records of the same request that are safe already stay."""
        if not self.future.done():
            self.future.set_exception(error)


class Intake:
    """Call `start` once; `accept` from any number of requests; `close` when no request is left."""

    def __init__(self, producer: Producer, spool: Spool, *, ack_s: float = ACK_S, linger_s: float = LINGER_S) -> None:
        self._producer = producer
        self._spool = spool
        self._drainer = Drainer(producer, spool)
        self._ack_s = ack_s
        self._linger_s = linger_s
        self._waiting: deque[Ticket] = deque()
        self._wake = asyncio.Event()
        self._is_appending = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._direct = asyncio.Event()
        self._gate = asyncio.Event()
        self._gate.set()
        self.is_spooling = True
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Begin behind the spool; returns when the broker was reached and the spool is empty, or after START_S without."""
        self._begin(self._pump())
        self._begin(self._drain([]))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._direct.wait()

    async def accept(self, records: Sequence[Record]) -> Accepted:
        """Return when all records are in the log or in the spool. SpoolFull when neither takes them, TooLarge when the topic does not."""
        ticket = Ticket(records, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        self._wake.set()
        return await ticket.future

    async def close(self) -> None:
        """Stop; what the spool holds is drained by the next start."""
        while (self._waiting or self._is_appending) and not self.broken.done():  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(self._linger_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._producer.close()

    async def _pump(self) -> None:
        while True:
            await self._wake.wait()
            await self._gate.wait()
            if not self.is_spooling:
                await asyncio.sleep(self._linger_s)
            tickets = self._take()
            self._is_appending = True
            if self.is_spooling:
                await self._append([(record, ticket) for ticket in tickets for record in ticket.records])
            else:
                await self._round(tickets)
            self._is_appending = False

    def _take(self) -> list[Ticket]:
        taken, size, count = [], 0, 0
        while self._waiting and size < ROUND_BYTES and count < ROUND_RECORDS:
            ticket = self._waiting.popleft()
            taken.append(ticket)
            size += ticket.size
            count += len(ticket.records)
        if not self._waiting:
            self._wake.clear()
        return taken

    async def _round(self, tickets: list[Ticket]) -> None:
        """Send one round of batches and answer; without an ack in time, change over to the spool."""
        shipments = self._producer.pack((record, (record, ticket)) for ticket in tickets for record in ticket.records)
        voyage = self._producer.ship(shipments)
        for _ in range(round(self._ack_s / SLICE_S)):  # slices: time in which our own loop was busy is not the broker's silence
            await asyncio.wait({voyage}, timeout=SLICE_S)
            if voyage.done():
                break
        for shipment in shipments:
            if shipment.is_acked:
                self._answer(shipment)
        lost = [shipment for shipment in shipments if not shipment.is_acked]
        if self._producer.is_broken or lost:
            await self._change_over(lost, voyage)

    def _answer(self, shipment: Shipment) -> None:
        assert shipment.offset is not None
        first, partition = shipment.offset, shipment.partition
        for index, (_, ticket) in enumerate(shipment.items):
            if ticket.accepted is None:
                ticket.accepted = Accepted(partition, first + index if first >= 0 else -1)
            ticket.stored()
        metrics.IN_LOG.inc(len(shipment.items))

    async def _change_over(self, lost: list[Shipment], voyage: asyncio.Task[None]) -> None:
        """Spool what has no ack, and start to drain once the fate of it is known."""
        LOG.warning("spooling", unacknowledged=sum(len(shipment.items) for shipment in lost), is_broken=self._producer.is_broken)
        self._set_spooling(True)
        refused = [shipment for shipment in lost if shipment.is_too_large and len(shipment.items) == 1]
        for shipment in refused:
            shipment.items[0][1].failed(TooLarge())
        kept = [(pair, shipment) for shipment in lost if shipment not in refused for pair in shipment.items]
        starts = await self._append([pair for pair, _ in kept])
        shipped = [(start, shipment) for start, (_, shipment) in zip(starts, kept, strict=False)]
        self._begin(self._drain(shipped, voyage))

    async def _append(self, pairs: Sequence[tuple[Record, Ticket]]) -> list[int]:
        """Spool and answer; returns the addresses, none when the spool takes no more."""
        try:
            starts = await self._spool.append([record for record, _ in pairs])
        except SpoolFull as error:
            for _, ticket in pairs:
                ticket.failed(error)
            return []
        for _, ticket in pairs:
            ticket.accepted = ticket.accepted or SPOOLED
            ticket.stored()
        metrics.IN_SPOOL.inc(len(pairs))
        metrics.SPOOL_BYTES.set(self._spool.waiting_bytes)
        return starts

    async def _drain(self, shipped: list[tuple[int, Shipment]], voyage: asyncio.Task[None] | None = None) -> None:
        """Send the spool from its front until it is empty, then go direct again. `shipped` are addresses of what is under way already.

        Under load the spool fills while it drains, so the last stretch is made with the gate closed: requests wait for it, and go direct.
        """
        if voyage is not None:
            await self._drainer.settle(voyage)
        acked_late = {start for start, shipment in shipped if shipment.is_acked}
        while not self._spool.is_empty or self._is_appending or self._producer.is_broken:
            opening = asyncio.get_running_loop().call_later(self._ack_s, self._gate.set)  # nobody waits longer for the last stretch
            if self._producer.is_broken:
                await self._drainer.replace()
            found = await self._drainer.read()
            await self._drainer.send_until_acked([item for item in found if item.start not in acked_late])
            opening.cancel()
            if found:
                self._spool.advance(found[-1].end)
                metrics.DRAINED.inc(len(found))
                metrics.SPOOL_BYTES.set(self._spool.waiting_bytes)
            else:
                await asyncio.sleep(self._linger_s)
            if self._spool.waiting_bytes < LAST_BYTES:
                self._gate.clear()
        self._spool.clear()
        self._set_spooling(False)
        self._gate.set()
        LOG.info("direct_again")

    def _set_spooling(self, is_spooling: bool) -> None:
        self.is_spooling = is_spooling
        metrics.SPOOLING.set(is_spooling)
        if is_spooling:
            self._direct.clear()
        else:
            self._direct.set()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self.broken.done():
            LOG.error("intake_broken", error=repr(error), exc_info=error)
            self.broken.set_exception(error)  # a bug: the role exits and is started again

    @property
    def is_open(self) -> bool:
        """Say whether a record would be taken now: the broker is there, or the spool has room."""
        return not self.is_spooling or self._spool.waiting_bytes < self._spool.max_bytes
