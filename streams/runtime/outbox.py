"""A partition's transactional producer: whole batches to explicit partitions, and the transaction around them.

aiokafka's `send()` costs 10 us a record, `BatchBuilder.append` 1 to 2 us: outputs of a chunk are built into batches of at most 512 KiB
and handed over whole. `commit` waits for every batch first: aiokafka's own flush does not raise for a batch that failed, and a commit
behind a failed batch is a lost record.

Opening the outbox fences whoever had this partition before (`InitProducerId`), and ends or aborts what that owner left open. This must
be done *before* the consumer asks for its committed offset: opened lazily at the first chunk, 35 of 213,560 records came twice.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.runtime import failpoints
from streams.stage import NO_HEADERS, Outputs

BATCH_BYTES = 512 << 10
MAX_REQUEST_BYTES = 8 << 20  # one output (a payload of 1 MiB, with its row) must fit


class Outbox:
    """One transactional producer, `transactional_id = <group>-<partition>`."""

    def __init__(self, kafka: Mapping[str, Any], group: str, partition: int) -> None:
        self.group = group
        self._producer = AIOKafkaProducer(
            **kafka,
            transactional_id=f"{group}-{partition}",
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            transaction_timeout_ms=30_000,
            request_timeout_ms=15_000,
        )
        self._sent: list[tuple[asyncio.Future[Any], int]] = []  # batches on their way, with their record counts

    async def open(self) -> None:
        """Fence the former owner of this partition and finish what it left."""
        await self._producer.start()

    async def begin(self) -> None:
        """Begin a transaction."""
        await self._producer.begin_transaction()

    async def send(self, out: Outputs) -> None:
        """Hand over a chunk's outputs."""
        for (topic, partition), records in out.batches.items():
            await self._send(topic, partition, records)

    async def send_changes(self, topic: str, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        """Hand over a chunk's state changes to the changelog; None is a tombstone."""
        await self._send(topic, partition, [(key, value, NO_HEADERS) for key, value in changes.items()])

    async def _send(
        self, topic: str, partition: int, records: Iterable[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]
    ) -> None:
        builder = self._producer.create_batch()
        append = builder.append
        for key, value, headers in records:
            if append(timestamp=None, key=key, value=value, headers=headers) is None:  # the batch is full
                await self._hand_over(builder, topic, partition)
                builder = self._producer.create_batch()
                append = builder.append
                append(timestamp=None, key=key, value=value, headers=headers)  # the first record of a batch always fits
        await self._hand_over(builder, topic, partition)

    async def _hand_over(self, builder: Any, topic: str, partition: int) -> None:
        if builder.record_count():
            self._sent.append((await self._producer.send_batch(builder, topic, partition=partition), builder.record_count()))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> dict[tuple[str, int], int]:
        """Wait for every batch, then commit them with the input's offsets; returns the next offset behind what each partition got."""
        ends: dict[tuple[str, int], int] = {}
        for future, count in self._sent:
            meta = await future
            ends[meta.topic, meta.partition] = meta.offset + count
        self._sent.clear()
        failpoints.hit("after_produce")
        await self._producer.send_offsets_to_transaction({tp: OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}, self.group)
        failpoints.hit("before_commit")
        await self._producer.commit_transaction()
        failpoints.hit("after_commit")
        return ends

    async def close(self) -> None:
        """Stop; an open transaction is aborted by the next owner."""
        await self._producer.stop()
