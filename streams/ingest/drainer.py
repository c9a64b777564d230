"""Gets records from the spool to the broker, however long the broker is away: waits for fates, replaces producers, sends again.

Nothing here has a deadline: the intake answers requests from the spool meanwhile. A producer is left alone as long as the broker is away,
because its own retry is the only one that cannot double; it is given up when it fails, or when it stalls although another can start.
"""

import asyncio
from collections.abc import Iterable

from streams.ingest.producer import Producer
from streams.ingest.spool import Spool, Spooled
from streams.runtime import logs

STALL_S = 10.0  # a batch that waits longer than this, although a new producer can start, is given up
GRACE_S = 5.0
RETRY_S = 0.25
LOG = logs.get(__name__)


class Drainer:
    """The patient half of the intake."""

    def __init__(self, producer: Producer, spool: Spool) -> None:
        self._producer = producer
        self._spool = spool

    async def read(self) -> list[Spooled]:
        """Return the spool's next records, however often the disk must be asked."""
        while True:
            try:
                return await self._spool.read()
            except OSError as error:  # the disk fails to read; what it holds is still there
                LOG.error("spool_unreadable", error=repr(error))  # noqa: TRY400 - the error is in it
                await asyncio.sleep(RETRY_S)

    async def send_until_acked(self, items: Iterable[Spooled]) -> None:
        """Return when the broker has them all; what failed is sent again by another producer."""
        left = list(items)
        while left:
            if self._producer.is_broken:
                await self.replace()
            shipments = self._producer.pack((item.record, item) for item in left)
            await self.settle(self._producer.ship(shipments))
            left = [item for shipment in shipments if not shipment.is_acked for item in shipment.items]
            if left:
                await asyncio.sleep(RETRY_S)

    async def replace(self) -> None:
        """Go on with a new producer as soon as the broker answers one."""
        while (fresh := await self._producer.try_fresh()) is None:  # noqa: ASYNC110 - nothing tells when a broker is back
            await asyncio.sleep(RETRY_S)
        self._producer.adopt(fresh)

    async def settle(self, voyage: asyncio.Task[None]) -> None:
        """Wait until the fate of every batch is known. A producer that stalls although the broker answers another one is replaced."""
        while not voyage.done():
            await asyncio.wait({voyage}, timeout=STALL_S)
            if voyage.done() or (fresh := await self._producer.try_fresh()) is None:
                continue
            await asyncio.wait({voyage}, timeout=GRACE_S)
            if voyage.done():
                await self._producer.discard(fresh)
            else:
                self._producer.adopt(fresh)
                await asyncio.wait({voyage})
