"""The seam in Faust: its aiokafka transport, fetching whole chunks, committing nothing.

Faust hands records to streams one by one, at 110 to 125 us each. Here each partition's fetched records become *one* Faust message whose
value is a Chunk; flow control, generations and the agents' streams stay Faust's own. What differs from Faust's transport, and why:

- `_getmany` wraps the records of each partition in a one-element list, `_to_message` makes the ConsumerMessage of it.
- The consumer is `read_committed` (the inputs are written in transactions) and polls for 100 ms, not 1.5 s.
- Nothing is committed by Faust: offsets go into the tasks' transactions. Its gap bookkeeping would commit past an unfinished chunk
  (`_add_gap` covers the message's own offset), so it is a no-op; acknowledgements are off.
- Tasks are closed before Faust hears of a revocation, and opened (the old owner fenced) before Faust seeks to the committed offsets.
- Each chunk knows where its fetch began, so that a task notices if one before it never arrived.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import aiokafka
from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.runtime.shell import Chunk

MAX_FETCH_BYTES = 4 << 20  # per partition and fetch
SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_MS = 1_000


class ChunkThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer: knows at which offset each fetch begins."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._next: dict[TopicPartition, int] = {}

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:  # noqa: ARG002  Faust's signature
        self._assignor = self.app.assignor  # Faust's: sticky, and topics with equal partition counts stay together
        return aiokafka.AIOKafkaConsumer(
            **self.app.kafka,
            client_id=self.app.conf.broker_client_id,
            group_id=self.app.conf.id,
            group_instance_id=self.app.conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=self.app.conf.broker_max_poll_records,
            max_partition_fetch_bytes=MAX_FETCH_BYTES,
            fetch_max_wait_ms=100,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            metadata_max_age_ms=30_000,
        )

    def stable_end(self, at: TopicPartition) -> int | None:
        """The last stable offset of an assigned partition, None when it is not known."""
        consumer = self._consumer
        return consumer.last_stable_offset(at) if consumer is not None and at in consumer.assignment() else None

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the committed offsets and remember them as the beginnings of the next fetches."""
        committed: Mapping[TP, int] = await super().seek_to_committed()
        self._next = {TopicPartition(*tp): offset for tp, offset in committed.items() if offset is not None and offset >= 0}
        return committed

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  Faust's signature
        max_records: int | None = None,
    ) -> dict[TP, list[Chunk]]:
        fetched = await super()._fetch_records(consumer, active_partitions, timeout=timeout, max_records=max_records)
        assignment = consumer._subscription.subscription.assignment  # noqa: SLF001  aiokafka has no way to ask for it without awaiting
        chunks: dict[TP, list[Chunk]] = {}
        for at, records in fetched.items():
            behind = assignment.state_value(at).position
            chunks[at] = [Chunk(at, records, self._next.get(at), behind)]
            self._next[at] = behind
        return chunks


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, for chunks; Faust commits nothing."""

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Chunk) -> ConsumerMessage:
        last = record.records[-1]
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000, last.timestamp_type, (), None, record, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def stable_end(self, at: TopicPartition) -> int | None:
        """The last stable offset of a partition, as of the last fetch."""
        end: int | None = self._thread.stable_end(at)
        return end

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Do nothing: offsets are committed by the tasks, inside their transactions."""
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None: ...

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the tasks finish, then let Faust clear its streams."""
        await self.app.tasks.revoke()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Fence the former owners, then let Faust seek to the offsets they committed."""
        await self.app.tasks.assign({tp.partition for tp in assigned})
        await super().on_partitions_assigned(assigned, generation_id)


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust's transport with our consumer."""

    Consumer: ClassVar[type] = ChunkConsumer
