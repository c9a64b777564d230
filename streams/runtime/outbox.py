"""A worker's transactional producer: whole batches to explicit partitions, and the transaction around them.

aiokafka's `send()` costs 10 us a record, `BatchBuilder.append` 0.9 us, and the compiled builder inside it 0.4: outputs are appended there,
to one open batch per partition that grows over all chunks of the transaction, and is handed over at 512 KiB or at the commit. (A batch per
chunk made three times as many requests.) `commit` waits for every batch first: aiokafka's own flush does not raise for a batch that failed, and a commit
behind a failed batch is a lost record.

Opening the outbox ends or aborts what the last process of this instance left open (`InitProducerId`), and fences it. `settle` waits until
no other owner's transaction holds offsets of our inputs. Both must be done *before* the consumer asks for its committed offsets: done
lazily at the first chunk, 35 of 213,560 records came twice. Who may commit is checked by the group's generation (`membership.py`).
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.runtime import failpoints
from streams.runtime.membership import Member, commit_as, until_stable
from streams.runtime.unique import LOGS, unique
from streams.stage import NO_HEADERS, Outputs

BATCH_BYTES = 512 << 10
TRANSACTION_TIMEOUT_MS = 10_000  # as the session: when a dead worker's partitions are given away, its transaction is over, too
MAX_REQUEST_BYTES = 8 << 20  # one output (a payload of 1 MiB, with its row) must fit


class Outbox:
    """One transactional producer, `transactional_id = <group>-<instance>`. A worker has two, which take turns (`shell.py`)."""

    def __init__(self, kafka: Mapping[str, Any], group: str, instance: str) -> None:
        self.group = group
        self._kafka = kafka
        self._instance = instance
        self._producer: Any = None
        self._batches: dict[tuple[str, int], Any] = {}  # batches that still grow
        self._sent: list[tuple[asyncio.Future[Any], int]] = []  # batches on their way, with their record counts
        self._before: asyncio.Event | None = None
        self.is_flushed = asyncio.Event()  # every batch of the transaction is in the log

    async def open(self) -> None:
        """Fence the last process of this instance and finish what it left; once in a process."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **self._kafka,
                transactional_id=f"{self.group}-{self._instance}",
                enable_idempotence=True,
                acks="all",
                linger_ms=0,
                max_batch_size=BATCH_BYTES,
                max_request_size=MAX_REQUEST_BYTES,
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                request_timeout_ms=15_000,
            )
            await self._producer.start()

    async def settle(self, member: Member, inputs: Iterable[TopicPartition]) -> None:
        """From now on commit as this member; returns when no former owner's transaction holds offsets of these inputs."""
        commit_as(self._producer, member)
        await until_stable(self._producer, self.group, inputs)

    async def begin(self, before: asyncio.Event | None = None) -> None:
        """Begin a transaction. Nothing of it is sent until `before`, the flush of the one before it: so each partition has the records of
        one transaction in front of those of the next, and a store that stands behind the first has missed nothing of the second.
        """
        self._before, self.is_flushed = before, asyncio.Event()
        await self._producer.begin_transaction()

    async def send(self, out: Outputs) -> None:
        """Take a chunk's outputs."""
        for (topic, partition), records in out.batches.items():
            await self._append(topic, partition, records)

    async def send_changes(self, topic: str, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        """Take a chunk's state changes for the changelog; None is a tombstone."""
        await self._append(topic, partition, zip(changes.keys(), changes.values(), repeat(NO_HEADERS)))

    async def _append(
        self, topic: str, partition: int, records: Iterable[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]
    ) -> None:
        now_ms = time.time_ns() // 1_000_000
        batch = self._batches.pop((topic, partition), None) or self._producer.create_batch()
        append, count = batch._builder.append, batch.record_count()  # noqa: SLF001  the compiled part of aiokafka's BatchBuilder
        if topic in LOGS:
            records = ((unique(key), value, headers) for key, value, headers in records)
        for key, value, headers in records:
            if append(count, now_ms, key, value, headers) is None:  # the batch is full
                batch._relative_offset = count  # noqa: SLF001
                await self._hand_over(batch, topic, partition)
                batch = self._producer.create_batch()
                append, count = batch._builder.append, 0  # noqa: SLF001
                append(count, now_ms, key, value, headers)  # the first record of a batch always fits
            count += 1
        batch._relative_offset = count  # noqa: SLF001
        self._batches[topic, partition] = batch

    async def _hand_over(self, batch: Any, topic: str, partition: int) -> None:
        if batch.record_count():
            if self._before is not None:
                await self._before.wait()
            self._sent.append((await self._producer.send_batch(batch, topic, partition=partition), batch.record_count()))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> dict[tuple[str, int], int]:
        """Wait for every batch, then commit them with the input's offsets; returns the next offset behind what each partition got."""
        for (topic, partition), batch in self._batches.items():
            await self._hand_over(batch, topic, partition)
        self._batches.clear()
        ends: dict[tuple[str, int], int] = {}
        for future, count in self._sent:
            meta = await future
            ends[meta.topic, meta.partition] = meta.offset + count
        self._sent.clear()
        self.is_flushed.set()
        failpoints.hit("after_produce")
        if offsets:
            ours = {at: OffsetAndMetadata(offset, "") for at, offset in offsets.items()}
            await self._producer.send_offsets_to_transaction(ours, self.group)
        failpoints.hit("before_commit")
        await self._producer.commit_transaction()
        failpoints.hit("after_commit")
        return ends

    async def close(self) -> None:
        """Stop; an open transaction is aborted by the next process of this instance, or by the broker at its timeout."""
        if self._producer is not None:
            await self._producer.stop()
