"""A transaction that nobody will ever decide: made as Kafka's own faults make it, found, ended; and one that is only slow is left alone."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import CoordinationType
from aiokafka.structs import OffsetAndMetadata

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from streams.runtime import hanging, membership
from streams.runtime.membership import Member, _Commit, until_stable

AT = TopicPartition("hanging", 0)
GROUP = "hanging-group"


@pytest.fixture
async def servers(tmp_path):
    """A broker that takes offsets of transactions that its coordinator does not know, as brokers before KIP-890 did."""
    with_hole = {"transaction.partition.verification.enable": "false"}
    broker = Kafka(tmp_path / "kafka", port=free_port(), settings=with_hole)
    await asyncio.to_thread(broker.start)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(AT.topic, 1, 1)])
    await admin.close()
    yield {"bootstrap_servers": broker.bootstrap_servers}
    await asyncio.to_thread(broker.kill)


async def producer_of(servers, name):
    producer = AIOKafkaProducer(**servers, transactional_id=f"{GROUP}-{name}", transaction_timeout_ms=60_000)
    await producer.start()
    return producer


async def test_what_hangs_is_ended_and_what_is_slow_is_not(servers, monkeypatch):
    monkeypatch.setattr(membership, "TELL_S", 0.5)
    monkeypatch.setattr(hanging, "LONGEST_MS", 0)
    consumer = AIOKafkaConsumer(AT.topic, **servers, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    coordinator = consumer._coordinator
    member = Member(GROUP, coordinator.generation, coordinator.member_id, None)
    lost, heir = await producer_of(servers, "lost"), await producer_of(servers, "heir")
    offsets = {AT: OffsetAndMetadata(7, "")}

    membership.commit_as(heir, member)
    await heir.begin_transaction()
    await heir.send_offsets_to_transaction(offsets, GROUP)  # begun as it should be, and not decided yet
    node = await heir._sender._find_coordinator(CoordinationType.GROUP, GROUP)
    assert await hanging.end(heir.client, node, 0) == []
    await heir.abort_transaction()

    await heir.client.send(node, _Commit(lost._txn_manager, member, offsets))  # offsets of a transaction that was never announced
    open_ones = await hanging._open(heir.client, node, list(range(50)), 0)
    assert lost._txn_manager.producer_id in [one.producer_id for one in open_ones]
    await asyncio.wait_for(until_stable(heir, GROUP, [AT]), 60)
    assert await consumer.committed(AT) is None, "aborted: what it would have committed is judged again"
    assert await hanging.end(heir.client, node, 0) == []
    for part in (consumer, lost, heir):
        await part.stop()
