"""One idempotent Kafka producer at a time, and what becomes of the batches handed to it.

Records are packed into whole batches per partition (1 to 2 us a record; aiokafka's `send` costs 10 us and a future each). A batch's
fate is one of three: acknowledged (its offset is known), failed, or not known yet. An idempotent aiokafka producer retries for ever, so
"not known yet" lasts as long as the broker is away; when it is back, the retry is recognised by the broker and nothing doubles.

A failed batch leaves a gap in the sequence numbers of its partition: everything behind it would be OutOfOrderSequence until a restart
(aiokafka #1017). So a failure makes the producer *broken*: it is replaced, never healed. What it had under way has an unknown fate and
is sent again by whoever holds the records.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import DuplicateSequenceNumber, KafkaError, MessageSizeTooLargeError

from streams.ingest import metrics
from streams.ingest.record import Record
from streams.partition import partition_of
from streams.runtime import logs
from streams.runtime.unique import unique
from streams.topology import PAYLOADS, VISITS

BATCH_BYTES = 512 << 10
ROUTED = (PAYLOADS, VISITS)
START_S = 5.0  # a broker that does not answer within this is away
CLOSE_S = 5.0
LOG = logs.get(__name__)


class Shipment:
    """One batch for one partition. `items` are whatever the caller gave beside each record, in the order of their offsets."""

    __slots__ = ("batch", "error", "items", "offset", "partition", "topic")

    def __init__(self, batch: Any, topic: str, partition: int) -> None:
        self.batch = batch
        self.topic = topic
        self.partition = partition
        self.items: list[Any] = []
        self.offset: int | None = None  # of the first record; -1: it is in the log, the broker no longer knows where
        self.error: BaseException | None = None

    def settle(self, future: asyncio.Future[Any]) -> None:
        """Take the fate from aiokafka's future; a cancelled one says nothing."""
        if future.cancelled():
            return
        error = future.exception()
        if error is None or isinstance(error, DuplicateSequenceNumber):
            self.offset = future.result().offset if error is None else -1
        else:
            self.error = error

    @property
    def is_acked(self) -> bool:
        """Say whether the broker has it."""
        return self.offset is not None

    @property
    def is_too_large(self) -> bool:
        """Say whether its topic's max.message.bytes refuses it."""
        return isinstance(self.error, MessageSizeTooLargeError)


class Producer:
    """The current producer. `kafka` are the arguments that reach the cluster, `partitions` how many each topic has."""

    def __init__(self, kafka: Mapping[str, Any], partitions: int) -> None:
        self._kafka = dict(kafka)
        self._partitions = partitions
        self._current: AIOKafkaProducer | None = None
        self._voyages: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self.is_broken = True  # until the first one stands

    async def try_fresh(self) -> AIOKafkaProducer | None:
        """Return a started producer, or None when the broker does not answer now, or has other topics than we route for."""
        fresh = AIOKafkaProducer(
            **self._kafka,
            enable_idempotence=True,
            acks="all",
            compression_type="lz4",
            linger_ms=0,  # the intake lingers for all partitions at once
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=15_000,
            retry_backoff_ms=50,
        )
        try:
            async with asyncio.timeout(START_S):
                await fresh.start()
                found = {topic.name: len(await fresh.partitions_for(topic.name)) for topic in ROUTED}
        except (KafkaError, TimeoutError, OSError) as error:
            LOG.debug("broker_away", error=repr(error))
            await _abandon(fresh)
            return None
        if set(found.values()) != {self._partitions}:  # a key in the wrong partition never meets what was recorded for it: rather wait
            LOG.error("topics_differ", wanted_partitions=self._partitions, **found)
            await _abandon(fresh)
            return None
        return fresh

    def adopt(self, fresh: AIOKafkaProducer) -> None:
        """Go on with `fresh`: what the old one had under way ends without a fate."""
        old, self._current, self.is_broken = self._current, fresh, False
        if old is not None:
            metrics.PRODUCERS.inc()
            LOG.warning("producer_replaced")
            for voyage in self._voyages:
                voyage.cancel()
            self._in_background(_abandon(old))

    async def discard(self, fresh: AIOKafkaProducer) -> None:
        """Close a producer that turned out not to be needed."""
        await _abandon(fresh)

    def pack(self, pairs: Iterable[tuple[Record, Any]]) -> list[Shipment]:
        """Build the batches for records, each given with an item of the caller's; order is kept per partition."""
        assert self._current
        count, create = self._partitions, self._current.create_batch
        open_: dict[tuple[str, int], Shipment] = {}
        shipments: list[Shipment] = []
        for (topic, key, value, timestamp_ms, headers), item in pairs:
            at = (topic, partition_of(key, count))
            key = unique(key)  # noqa: PLW2901  routed by what it is keyed by
            shipment = open_.get(at)
            if shipment is None or shipment.batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
                shipment = open_[at] = Shipment(create(), *at)
                shipments.append(shipment)
                shipment.batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)  # the first always fits
            shipment.items.append(item)
        return shipments

    def ship(self, shipments: list[Shipment]) -> asyncio.Task[None]:
        """Hand the batches over; the task ends when every fate is known, or when the producer is replaced. It never raises."""
        voyage = asyncio.get_running_loop().create_task(self._ship(shipments))
        self._voyages.add(voyage)
        voyage.add_done_callback(self._voyages.discard)
        return voyage

    async def _ship(self, shipments: list[Shipment]) -> None:
        assert self._current
        futures = []
        for shipment in shipments:
            try:
                future = await self._current.send_batch(shipment.batch, shipment.topic, partition=shipment.partition)
            except (KafkaError, AssertionError) as error:  # aiokafka asserts that the partition exists
                shipment.error = error
            else:
                future.add_done_callback(shipment.settle)
                futures.append(future)
        if futures:
            await asyncio.wait(futures)
        for shipment in shipments:
            if shipment.error is not None:
                self.is_broken = True
                LOG.warning("batch_failed", topic=shipment.topic, partition=shipment.partition, error=repr(shipment.error))

    def _in_background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Let go of the broker. Batches whose fate is not known stay unknown."""
        for voyage in list(self._voyages):
            voyage.cancel()
        if self._current is not None:
            await _abandon(self._current)
            self._current, self.is_broken = None, True
        await asyncio.gather(*self._closing)


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Stop a producer without waiting for its batches. aiokafka's `stop` flushes first, which lasts as long as the broker is away, and a
    sender that is left alone could still deliver an old batch behind our back: so its task is cancelled first, by its private name.
    """
    sender = producer._sender.sender_task  # noqa: SLF001
    producer._closed = True  # noqa: SLF001  else __del__ complains
    if sender is not None:
        sender.cancel()
    with contextlib.suppress(TimeoutError, KafkaError, OSError, asyncio.CancelledError):
        async with asyncio.timeout(CLOSE_S):
            await producer.client.close()
            if sender is not None:
                await asyncio.wait({sender})
