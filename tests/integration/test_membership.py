"""The fence of a worker against a real broker: who is of an old generation commits nothing, and a new owner waits for what is undecided."""

import asyncio
from itertools import count

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from streams.runtime.membership import Member, commit_as, until_stable

INSTANCE = "worker-a"
numbers = count()


class Worker:
    """A real member of a group, and a transactional producer."""

    def __init__(self, kafka, topic):
        self.group = f"{topic}-group"
        self.at = TopicPartition(topic, 0)
        self.servers = {"bootstrap_servers": kafka.bootstrap_servers}

    def consumer(self):
        return AIOKafkaConsumer(self.at.topic, **self.servers, group_id=self.group, group_instance_id=INSTANCE, enable_auto_commit=False)

    async def start(self):
        self.member_of_group = self.consumer()
        await self.member_of_group.start()
        self.producer = await self.producer_of("a")
        self.heir = await self.producer_of("b")
        return self

    async def producer_of(self, name):
        producer = AIOKafkaProducer(**self.servers, transactional_id=f"{self.group}-{name}", transaction_timeout_ms=3_000)
        await producer.start()
        return producer

    @property
    def member(self):
        coordinator = self.member_of_group._coordinator
        return Member(self.group, coordinator.generation, coordinator.member_id, INSTANCE)

    async def commit(self, member, offset):
        commit_as(self.producer, member)
        await self.producer.begin_transaction()
        await self.producer.send(self.at.topic, b"output", partition=0)
        await self.offsets(offset)
        await self.producer.commit_transaction()

    async def offsets(self, offset):
        await self.producer.send_offsets_to_transaction({self.at: OffsetAndMetadata(offset, "")}, self.group)

    async def committed(self):
        """What is committed: a transaction's offsets are the group's only a moment after its commit."""
        await until_stable(self.heir, self.group, [self.at])
        return await self.member_of_group.committed(self.at)

    async def stop(self):
        for part in (self.producer, self.heir, self.member_of_group):
            with_errors = asyncio.ensure_future(part.stop())
            await asyncio.wait([with_errors], timeout=5)


@pytest.fixture
async def worker(kafka):
    topic = f"membership-{next(numbers)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    made = await Worker(kafka, topic).start()
    yield made
    await made.stop()


async def test_the_member_of_this_generation_commits(worker):
    await worker.commit(worker.member, 7)
    assert await worker.committed() == 7


@pytest.mark.parametrize(
    "change", [{"generation": 0}, {"generation": 999}, {"member_id": "somebody-else"}, {"instance": "worker-z"}], ids=str
)
async def test_anybody_else_commits_nothing(worker, change):
    """And its producer is done for: the process ends with that error."""
    await worker.commit(worker.member, 7)
    with pytest.raises(KafkaError):
        await worker.commit(worker.member._replace(**change), 9)
    assert await worker.committed() == 7


async def test_a_process_that_was_replaced_under_its_own_name_commits_nothing(worker):
    """Static membership: the successor has a new member id, and the zombie's is refused, although the generation may be the same."""
    zombie = worker.member
    successor = worker.consumer()
    await successor.start()
    try:
        assert successor._coordinator.member_id != zombie.member_id
        with pytest.raises(KafkaError):
            await worker.commit(zombie, 9)
        await until_stable(worker.heir, worker.group, [worker.at])
        assert await successor.committed(worker.at) is None
    finally:
        await successor.stop()


async def test_a_new_owner_waits_until_the_old_ones_offsets_are_decided(worker):
    await until_stable(worker.heir, worker.group, [worker.at])  # nothing is open
    commit_as(worker.producer, worker.member)
    await worker.producer.begin_transaction()
    await worker.producer.send(worker.at.topic, b"output", partition=0)
    await worker.offsets(5)
    waiting = asyncio.create_task(until_stable(worker.heir, worker.group, [worker.at]))
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    await worker.producer.commit_transaction()
    await asyncio.wait_for(waiting, 5)
    assert await worker.committed() == 5


async def test_a_new_owner_gets_what_a_dead_one_left_open_after_its_timeout(worker):
    """The offsets of a transaction that nobody will decide are dropped by the broker; a group that does not exist has none to wait for."""
    await until_stable(worker.heir, "a-group-that-is-not-there", [worker.at])
    await worker.commit(worker.member, 3)
    await worker.producer.begin_transaction()
    await worker.producer.send(worker.at.topic, b"output", partition=0)
    await worker.offsets(5)
    await asyncio.wait_for(until_stable(worker.heir, worker.group, [worker.at]), 15)
    assert await worker.committed() == 3
