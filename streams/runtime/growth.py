"""More partitions for the keyed topics, without an identity losing its order or its memory: `clicktrail topics grow --to N`.

Adding partitions alone moves keys away from their state: a retry of yesterday's sale would meet a ledger that never heard of it. So
partitions are added while nothing is under way, and state moves with its keys:

    1. stop ingest (senders retry; keep it short); ledger, attribution and delivery finish what is in the topics, then stop them, too
    2. `clicktrail topics grow --to N`: makes sure of 1, adds partitions to the states' changelogs, moves every key that belongs
       elsewhere now (`streams/rehoming.py`), then adds partitions to all other topics
    3. set CLICKTRAIL_PARTITIONS=N for every role, and start them

Order within an identity holds, because all of its old payloads are judged before its first new one can be sent. Killed half way it is
run again: a move is a Kafka transaction (the value there, a tombstone here), and what is in its place already stays. Until it is through
no role starts, with the old count or the new: the changelogs are grown first, the inputs last, and roles refuse unequal counts. Local
state folders need no care: they follow their changelogs, tombstones too.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import GroupCoordinatorNotAvailableError, for_code
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3

from streams import topology
from streams.redaction import ERASED
from streams.rehoming import RULES, Rule
from streams.runtime import failpoints, topics
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings

LEAVE_S = 30.0  # a worker with a static id leaves its group when its session is over: 10 s after it stopped
MOVES = 5_000  # keys in one transaction
STATEFUL = tuple(role for role in topology.ROLES if role.changelog is not None)

DescribeGroupsRequest_v3.RESPONSE_TYPE = DescribeGroupsResponse_v3  # aiokafka 0.14 reads it as v2 and drops the connection

Report = Callable[[str], None]


async def grow(settings: Settings, count: int, report: Report = lambda _: None) -> int:
    """Bring every topic that has CLICKTRAIL_PARTITIONS to `count` of them; returns how many keys moved. BadSettings says why not."""
    admin = await topics.connected(settings)
    try:
        states = [state for state in await topics.states(admin, settings) if state.topic.partitions is None and state.partitions]
        _refuse(states, count)
        await nobody_runs(admin)
        await nothing_waits(settings, admin)
        changelogs = [state.topic.name for state in states if state.topic.name in RULES]
        await _add(admin, [s for s in states if s.topic.name in changelogs], count)
        moved = 0
        for name in changelogs:
            moved += await _move_all(settings, name, RULES[name], count, report)
        await nothing_waits(settings, admin)
        await _add(admin, [s for s in states if s.topic.name not in changelogs], count)
        return moved
    finally:
        await admin.close()


def _refuse(states: list[topics.TopicState], count: int) -> None:
    if not states:
        raise BadSettings("There are no topics yet.", "Set CLICKTRAIL_PARTITIONS and run `clicktrail topics apply`.")
    if (most := max(state.partitions for state in states if state.is_keyed)) > count:
        raise BadSettings(f"There are {most} partitions, and Kafka cannot take any away.", f"Name {most} or more.")
    unruled = [role.changelog.name for role in STATEFUL if role.changelog and role.changelog.name not in RULES]
    if unruled:
        raise BadSettings(f"Nobody knows where the keys of {unruled[0]} belong.", "streams/rehoming.py needs a rule for it.")


async def members_of(admin: AIOKafkaAdminClient, roles: list[str]) -> dict[str, int]:
    """Return how many workers of each role are in its group; roles without any are left out."""
    described = await admin.describe_consumer_groups([f"clicktrail.{role}" for role in roles])
    return {group[1].removeprefix("clicktrail."): len(group[5]) for response in described for group in response.groups if group[5]}


async def nobody_runs(admin: AIOKafkaAdminClient, *more: str) -> None:
    """Wait until the groups of the roles with state, and of `more`, have no members."""
    deadline = time.monotonic() + LEAVE_S
    roles, members = [*(role.name for role in STATEFUL), *more], {"?": 0}
    while True:
        with contextlib.suppress(GroupCoordinatorNotAvailableError):  # a cluster without any group makes their topic when asked first
            members = await members_of(admin, roles)
        if not members:
            return
        if time.monotonic() > deadline:
            raise BadSettings(f"Workers still run: {members}.", "Stop ingest and the workers of these groups, then run it again.")
        await asyncio.sleep(0.5)


async def nothing_waits(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    """BadSettings when an input has a record that its role has not finished. Markers of transactions are no records: so it reads."""
    for role in STATEFUL:
        offsets = await admin.list_consumer_group_offsets(f"clicktrail.{role.name}")
        consumer = AIOKafkaConsumer(**settings.kafka.client_args(), group_id=None, isolation_level="read_committed")
        await consumer.start()
        try:
            for topic in (topic for topic in role.inputs if topic.partitions is None):
                for at in await _places(admin, topic.name):
                    begin = (await consumer.beginning_offsets([at]))[at]
                    done = max(begin, offsets[at].offset if at in offsets else 0)
                    end = (await consumer.end_offsets([at]))[at]
                    if await _first_record(consumer, at, done, end) is not None:
                        what = f"{topic.name}/{at.partition} has records from {done} on that the {role.name} has not judged."
                        raise BadSettings(
                            what, f"Stop ingest, start the {role.name}, wait until `clicktrail lag` shows none, stop it, run it again."
                        )
        finally:
            await consumer.stop()


async def _first_record(consumer: Any, at: TopicPartition, position: int, end: int) -> Any:
    if position >= end:
        return None
    consumer.assign([at])
    consumer.seek(at, position)
    while await consumer.position(at) < end:
        for record in (await consumer.getmany(at, timeout_ms=200)).get(at, ()):
            if record.value is not None and ERASED not in dict(record.headers):  # what an erasure leaves, no stage has to judge
                return record
    return None


async def _places(admin: AIOKafkaAdminClient, topic: str) -> list[TopicPartition]:
    (described,) = await admin.describe_topics([topic])
    return [TopicPartition(topic, number) for number in sorted(p["partition"] for p in described["partitions"])]


async def _add(admin: AIOKafkaAdminClient, states: list[topics.TopicState], count: int) -> None:
    wanted = {state.topic.name: NewPartitions(count) for state in states if state.partitions < count}
    if not wanted:
        return
    response = await admin.create_partitions(wanted)
    for name, code, message in response.topic_errors:
        if code:
            raise BadSettings(f"Kafka refused more partitions for {name}: {message or for_code(code).__name__}.")
    while any([len(await _places(admin, name)) < count for name in wanted]):  # noqa: ASYNC110  the broker answers before its metadata has them
        await asyncio.sleep(0.1)


async def _move_all(settings: Settings, changelog: str, rule: Rule, count: int, report: Report) -> int:
    """Move the keys of a changelog, partition by partition: one partition's live keys are in memory at a time."""
    kafka, moved = settings.kafka.client_args(), 0
    producer = AIOKafkaProducer(**kafka, transactional_id=f"clicktrail.grow-{changelog}", acks="all", max_request_size=8 << 20)
    consumer = AIOKafkaConsumer(**kafka, group_id=None, isolation_level="read_committed", max_partition_fetch_bytes=4 << 20)
    await producer.start()  # ends what an interrupted run left open
    await consumer.start()
    try:
        for number in range(count):
            held = await _live(consumer, TopicPartition(changelog, number))
            moved += await _move(producer, changelog, number, _misplaced(held, number, rule, count))
            report(f"{changelog}: {number + 1} of {count} partitions, {moved} keys moved")
    finally:
        await consumer.stop()
        await producer.stop()
    return moved


async def _live(consumer: Any, at: TopicPartition) -> dict[bytes, bytes]:
    """The keys that a changelog's partition holds, with their last values."""
    consumer.assign([at])
    position, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
    consumer.seek(at, position)
    held: dict[bytes, bytes] = {}
    while position < end:
        for record in (await consumer.getmany(at, timeout_ms=200, max_records=20_000)).get(at, ()):
            if record.value is None:
                held.pop(record.key, None)
            else:
                held[record.key] = record.value
        position = await consumer.position(at)
    return held


def _misplaced(held: Mapping[bytes, bytes], number: int, rule: Rule, count: int) -> list[tuple[bytes, int, bytes]]:
    """(key, partition where it belongs, value as it must be there) of each key that is not as it must be."""
    found = []
    for key, value in held.items():
        if key.startswith(b"\x00"):  # of the partition, not of a stage
            continue
        to, now = rule(key, value, number, count)
        if to != number or now != value:
            found.append((key, to, now))
    return found


async def _move(producer: Any, changelog: str, number: int, moves: list[tuple[bytes, int, bytes]]) -> int:
    for begin in range(0, len(moves), MOVES):
        async with producer.transaction():
            for key, to, value in moves[begin : begin + MOVES]:
                await producer.send(changelog, value, key, partition=to)
                if to != number:
                    await producer.send(changelog, None, key, partition=number)
        failpoints.hit("after_move")
    return len(moves)
