"""A role as a Faust app: membership, assignment, agent and lifecycle are Faust's; what happens to a chunk is the shell's.

Faust's tables, serializers, offset commits, exactly-once setting and web view stay off: each was measured to lose or expose data.
"""

import asyncio
import gc
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import faust
import structlog
from aiokafka import TopicPartition

from streams.runtime import folders
from streams.runtime.membership import Member
from streams.runtime.meter import Meter
from streams.runtime.outbox import Outbox
from streams.runtime.shell import Shell
from streams.runtime.store import Store
from streams.runtime.task import Chunk, Follower, Task
from streams.runtime.transport import ChunkTransport
from streams.runtime.worker import fail_at_once
from streams.stage import Stage
from streams.topology import Role

log = structlog.get_logger(__name__)

SLICES_PER_POLL = 1_000  # more partitions than a worker has: each trip to the consumer's thread brings a chunk of every one (fetched.py)
HIGH_RECORDS_CHUNKS = 3  # so many chunks may wait in a task before fetching its partition pauses

# The collector of cycles, as set while a role runs. A chunk makes thousands of tuples and dicts that are in no cycle, and Python's
# defaults (700, 10, 10) walk over all of them, and over every module's objects, again and again: 3 of 20 CPU-seconds per million.
GC_THRESHOLD = (500_000, 20, 100)

StageFactory = Callable[[], Stage]
FollowerFactory = Callable[[int], Follower]


class Tasks:
    """The tasks of this worker, one per assigned partition number; a new shell for each assignment, the same outboxes for all of them."""

    def __init__(
        self,
        app: "RoleApp",
        role: Role,
        stage: StageFactory,
        *,
        state_dir: Path,
        keep_s: int,
        commit_interval_s: float,
        follow: FollowerFactory | None,
    ) -> None:
        self._follow = follow
        self._app = app
        self._role = role
        self._stage = stage
        self._state_dir = state_dir
        self._keep_s = keep_s
        self._commit_interval_s = commit_interval_s
        instance = app.conf.consumer_group_instance_id
        self._outboxes = tuple(Outbox(app.kafka, app.conf.id, f"{instance}-{number}") for number in range(2))
        self._meter = Meter(role.name)
        self._shell: Shell | None = None

    @property
    def by_partition(self) -> Mapping[int, Task]:
        """The tasks by their partition."""
        return self._shell.tasks if self._shell else {}

    @property
    def is_member(self) -> bool:
        """Whether partitions, or none, were assigned to us in the group's current generation."""
        return self._shell is not None

    def put(self, chunk: Chunk) -> int:
        """Give a chunk to its task; returns how many wait there."""
        return self._shell.put(chunk) if self._shell else 0

    def _new(self, partition: int) -> Task:
        assert self._role.changelog is not None, "a role of stages keeps state"
        store = Store(self._state_dir / self._role.name / str(partition), self._keep_s)
        return Task(
            self._app.kafka,
            partition,
            self._stage(),
            store=store,
            changelog_topic=self._role.changelog.name,
            meter=self._meter,
            follower=self._follow(partition) if self._follow else None,
        )

    async def revoke(self) -> None:
        """Close all tasks: every rebalance takes all partitions away and gives them anew."""
        shell, self._shell = self._shell, None
        if shell is not None:
            await shell.close()

    async def assign(self, inputs: Iterable[TopicPartition], member: Member) -> None:
        """A task per partition number; returns when every former owner's transactions are decided."""
        await self.revoke()
        ours = {TopicPartition(*at) for at in inputs}
        await asyncio.gather(*(outbox.open() for outbox in self._outboxes))
        if ours:
            for outbox in self._outboxes:
                await outbox.settle(member, ours)
        tasks = [self._new(partition) for partition in sorted({at.partition for at in ours})]
        self._shell = Shell(
            tasks, self._outboxes, commit_interval_s=self._commit_interval_s, meter=self._meter, on_drained=self._app.resume
        )
        self._shell.start(self._app.fail)
        log.info("assigned", role=self._role.name, partitions=[task.partition for task in tasks])

    async def close(self) -> None:
        """Let the running transaction end, for good."""
        await self.revoke()
        await asyncio.gather(*(outbox.close() for outbox in self._outboxes))


class RoleApp(faust.App):  # type: ignore[misc]
    """One role in this process."""

    def __init__(
        self,
        role: Role,
        stage: StageFactory,
        kafka: dict[str, Any],
        *,
        group: str,
        instance: str,
        state_dir: Path,
        keep_s: int,
        commit_interval_s: float,
        chunk_records: int,
        follow: FollowerFactory | None = None,
    ) -> None:
        """`kafka` are aiokafka's connection settings; `instance` names this worker for ever: its static membership and state folder; `keep_s` is how
        long a key of state stays after it was last written. `follow` makes what acts on a partition's committed state.
        """
        self.kafka = kafka
        self.chunk_records = chunk_records
        folders.made(state_dir / instance)
        super().__init__(
            group,
            broker=[f"kafka://{server}" for server in kafka["bootstrap_servers"].split(",")],
            transport=None,
            consumer_group_instance_id=instance,
            broker_max_poll_records=SLICES_PER_POLL,
            broker_session_timeout=10.0,
            broker_heartbeat_interval=1.0,
            broker_commit_interval=3600.0,
            stream_buffer_maxsize=64,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            stream_publish_on_commit=False,
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            table_standby_replicas=1,  # only so that Faust uses its own assignor
            key_serializer="raw",
            value_serializer="raw",
            datadir=str(state_dir / instance / "faust"),
            store="memory://",
        )
        self.tasks = Tasks(
            self, role, stage, state_dir=state_dir / instance, keep_s=keep_s, commit_interval_s=commit_interval_s, follow=follow
        )
        topics = self.topic(*(topic.name for topic in role.inputs), acks=False)
        self.agent(topics, name=f"{group}.judge")(self._judge)

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)

    async def _judge(self, stream: Any) -> None:
        """The agent: gives each chunk to its partition's task and never raises."""
        async for event in stream.events():
            if self.tasks.put(event.message.value) >= HIGH_RECORDS_CHUNKS:
                self.consumer.on_buffer_full(event.message.tp)

    def resume(self, at: TopicPartition) -> None:
        """Fetch a partition again whose task has taken a chunk."""
        self.consumer.on_buffer_drop(faust.types.TP(*at))

    def stable_end(self, at: TopicPartition) -> int | None:
        """The end of an input as a read_committed consumer last saw it; None before it did."""
        end: int | None = self.consumer.stable_end(at)
        return end

    async def fail(self, error: BaseException) -> None:
        """End this process: the supervisor starts a successor, which reads from what is committed."""
        fail_at_once(self.conf.id, error)

    async def on_start(self) -> None:
        """Set what exists by now aside from the collector, then start."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        await super().on_start()

    async def on_stop(self) -> None:
        """Let the running transaction end before Faust stops its services."""
        await self.tasks.close()
        await super().on_stop()

    async def crash(self, reason: BaseException) -> None:
        """Faust's own failures end the process as ours do."""
        fail_at_once(self.conf.id, reason)
