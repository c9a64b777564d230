"""`clicktrail lag`: how far each role is behind the log, per partition."""

import asyncio
from typing import Any

from aiokafka.structs import TopicPartition

from console import context, output
from streams.runtime.settings import Settings

GROUP_PREFIX = "clicktrail-"


async def measure(settings: Settings) -> list[dict[str, Any]]:
    """Return {group, topic, partition, committed, end, lag} for every input of every role that reads; committed None: never."""
    from aiokafka import AIOKafkaConsumer

    from streams.runtime import topics
    from streams.topology import ROLES

    admin = await topics.connected(settings)
    consumer = AIOKafkaConsumer(**settings.kafka.client_args(), group_id=None, enable_auto_commit=False, isolation_level="read_committed")
    await consumer.start()
    try:
        counts = {state.topic.name: state.partitions for state in await topics.states(admin, settings)}
        wanted = [
            (role.name, TopicPartition(topic.name, number))
            for role in ROLES
            for topic in role.inputs
            for number in range(counts.get(topic.name, 0))
        ]
        ends = await consumer.end_offsets(list({at for _, at in wanted}))
        found = {name: await committed(admin, name) for name in {name for name, _ in wanted}}
    finally:
        await consumer.stop()
        await admin.close()
    return [row(name, at, found[name].get(at), ends[at]) for name, at in wanted]


async def committed(admin: Any, role: str) -> dict[TopicPartition, int]:
    """Return the committed offsets of a role's group; a group that never committed has none."""
    offsets = await admin.list_consumer_group_offsets(f"{GROUP_PREFIX}{role}")
    return {at: meta.offset for at, meta in offsets.items() if meta.offset >= 0}


def row(role: str, at: TopicPartition, committed_to: int | None, end: int) -> dict[str, Any]:
    """Return one line; what was never committed counts from the beginning."""
    lag_records = end - (committed_to or 0)
    return {"role": role, "topic": at.topic, "partition": at.partition, "committed": committed_to, "end": end, "lag": lag_records}


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lag per role and topic."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for line in rows:
        total = found.setdefault((line["role"], line["topic"]), {"role": line["role"], "topic": line["topic"], "partitions": 0, "lag": 0})
        total["partitions"] += 1
        total["lag"] += line["lag"]
    return list(found.values())


def lag(as_json: output.AsJson = False, partitions: bool = False) -> None:
    """Show how far each role is behind (its committed offsets against the end of its inputs)."""
    rows = asyncio.run(measure(context.load()))
    output.show(rows if partitions or as_json else summary(rows), as_json)
