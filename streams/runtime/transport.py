"""The seam in Faust: its aiokafka transport, fetching whole chunks, committing nothing.

Faust hands records to streams one by one, at 110 to 125 us each. Here each partition's fetched records become *one* Faust message whose
value is a Chunk; flow control, generations and the agents' streams stay Faust's own. What differs from Faust's transport, and why:

- A fetch comes as slices of at most CLICKTRAIL_CHUNK_RECORDS (`fetched.py`), each a Chunk; `_to_message` makes the ConsumerMessage of it.
- The consumer is `read_committed` (the inputs are written in transactions) and polls for 100 ms, not 1.5 s.
- Nothing is committed by Faust: offsets go into the tasks' transactions. Its gap bookkeeping would commit past an unfinished chunk
  (`_add_gap` covers the message's own offset), so it is a no-op; acknowledgements are off.
- Tasks are closed before Faust hears of a revocation, and opened (the old owner's transactions decided) before Faust seeks to the
  committed offsets.
- Each chunk knows where its fetch began, so that a task notices if one before it never arrived.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import aiokafka
from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.runtime.fetched import Fetched
from streams.runtime.membership import Member
from streams.runtime.task import Chunk
from streams.stage import Record

MAX_FETCH_BYTES = 512 << 10  # per partition and fetch: 4 MiB of each at once made everybody wait half a second for the next
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

    def member(self, generation: int) -> Member:
        """Who we are in this generation of the group."""
        conf = self.app.conf
        return Member(conf.id, generation, self._consumer._coordinator.member_id, conf.consumer_group_instance_id)  # noqa: SLF001

    def stable_end(self, at: TopicPartition) -> int | None:
        """The last stable offset of an assigned partition, None when it is not known."""
        consumer = self._consumer
        return consumer.last_stable_offset(at) if consumer is not None and at in consumer.assignment() else None

    async def on_start(self) -> None:
        """Start the consumer; what it fetches comes as slices of at most CLICKTRAIL_CHUNK_RECORDS."""
        await super().on_start()
        self._consumer._fetcher._records = Fetched(self.app.chunk_records)  # noqa: SLF001  aiokafka has no seam between bytes and records

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
        return {at: [self._chunk(at, part.records, part.next) for part in slices] for at, slices in fetched.items()} | self._markers(
            consumer, fetched
        )

    def _chunk(self, at: TopicPartition, records: Sequence[Record], behind: int) -> Chunk:
        begin, self._next[at] = self._next.get(at), behind
        return Chunk(at, records, begin, behind)

    def _markers(self, consumer: Any, fetched: Mapping[TP, Any]) -> dict[TP, list[Chunk]]:
        """Empty chunks for partitions whose position moved over markers and aborted batches only: else a task would seem to lag for ever."""
        subscription = consumer._subscription.subscription  # noqa: SLF001  aiokafka has no way to ask for it without awaiting
        if subscription is None or subscription.assignment is None:
            return {}
        chunks: dict[TP, list[Chunk]] = {}
        for at in subscription.assignment.tps - fetched.keys():
            state = subscription.assignment.state_value(at)
            if state.has_valid_position and state.position > self._next.get(at, state.position):
                chunks[at] = [self._chunk(at, (), state.position)]
        return chunks


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, for chunks; Faust commits nothing."""

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Chunk) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic, tp.partition, record.next - 1, record.records[-1].timestamp / 1000 if record.records else 0, 0, (), None, record, None, 0, 0, tp,
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
        """Wait until the former owners' transactions are decided, then let Faust seek to the offsets they committed."""
        await self.app.tasks.assign(assigned, self._thread.member(generation_id))
        await super().on_partitions_assigned(assigned, generation_id)


class NoProducer(driver.Producer):  # type: ignore[misc]
    """Faust's producer, which connects to nothing: all that is sent goes through the outboxes. (It knows neither our TLS nor our SASL, and
    a worker that starts it does not start on a cluster that asks for them.)
    """

    async def on_start(self) -> None:
        """Do nothing."""

    async def on_stop(self) -> None:
        """Do nothing."""

    async def flush(self) -> None:
        """Do nothing."""


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust's transport with our consumer, and without a producer."""

    Consumer: ClassVar[type] = ChunkConsumer
    Producer: ClassVar[type] = NoProducer
