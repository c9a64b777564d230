"""`clicktrail lag`: how far each role is behind the log, per partition."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from console import context, output
from streams.runtime.settings import Settings
from streams.topology import PAYLOADS, VISITS, Topic

GROUP_PREFIX = "clicktrail."
WRITTEN_PLAINLY = {PAYLOADS.name, VISITS.name}  # by ingest, without transactions


Place = tuple[str, int]  # topic, partition


async def measure(settings: Settings) -> list[dict[str, Any]]:
    """Return {role, topic, partition, committed, end, lag} for every input of every role that reads; committed None: never."""
    from streams.runtime import topics
    from streams.topology import ROLES

    admin = await topics.connected(settings)
    try:
        counts = {state.topic.name: state.partitions for state in await topics.states(admin, settings)}
        wanted = [(role.name, place) for role in ROLES for place in places(role.inputs, counts)]
        found = {name: await committed(admin, name) for name in dict.fromkeys(name for name, _ in wanted)}
    finally:
        await admin.close()
    ends = await end_offsets(settings, list(dict.fromkeys(place for _, place in wanted)))
    return [row(name, place, found[name].get(place), ends[place]) for name, place in wanted]


def places(inputs: Iterable[Topic], counts: Mapping[str, int]) -> list[Place]:
    """Return every partition of the topics."""
    return [(topic.name, number) for topic in inputs for number in range(counts.get(topic.name, 0))]


async def end_offsets(settings: Settings, wanted: list[Place]) -> dict[Place, int]:
    """Return where each partition ends for a reader of committed records."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    # The client learns of one unknown topic per try and waits the backoff in between: at 100 ms that made 0.7 s.
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_args(), group_id=None, enable_auto_commit=False, isolation_level="read_committed", retry_backoff_ms=2
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(*place) for place in wanted])
    finally:
        await consumer.stop()
    return {(at.topic, at.partition): offset for at, offset in ends.items()}


async def committed(admin: Any, role: str) -> dict[Place, int]:
    """Return the committed offsets of a role's group; a group that never committed has none."""
    offsets = await admin.list_consumer_group_offsets(f"{GROUP_PREFIX}{role}")
    return {(at.topic, at.partition): meta.offset for at, meta in offsets.items() if meta.offset >= 0}


def row(role: str, place: Place, committed_to: int | None, end: int) -> dict[str, Any]:
    """Return one line; what was never committed counts from the beginning.

    A transaction ends with a marker that has an offset of its own. In a topic that is written by transactions only, one record is
    therefore at least two offsets, and a distance of one is a marker and nothing to do.
    """
    topic, partition = place
    lag_records = end - (committed_to or 0)
    if lag_records == 1 and topic not in WRITTEN_PLAINLY:
        lag_records = 0
    return {"role": role, "topic": topic, "partition": partition, "committed": committed_to, "end": end, "lag": lag_records}


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
