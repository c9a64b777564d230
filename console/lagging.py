"""How far each role is behind the log, per partition: committed offsets of its group against the ends of its inputs."""

from collections.abc import Iterable, Mapping
from typing import Any

from streams.runtime import topics
from streams.runtime.settings import Settings
from streams.topology import PAYLOADS, ROLES, VISITS, Topic

GROUP_PREFIX = "clicktrail."
WRITTEN_PLAINLY = {PAYLOADS.name, VISITS.name}  # by ingest, without transactions

Place = tuple[str, int]  # topic, partition


async def measure(settings: Settings) -> list[dict[str, Any]]:
    """Return {role, topic, partition, committed, end, lag} for every input of every role that reads; committed None: never."""
    admin = await topics.connected(settings)
    try:
        counts = {state.topic.name: state.partitions for state in await topics.states(admin, settings)}
        found = await committed_by_role(admin)
    finally:
        await admin.close()
    wanted = list(dict.fromkeys(place for role in ROLES for place in places(role.inputs, counts)))
    return rows(counts, found, await end_offsets(settings, wanted))


async def committed_by_role(admin: Any) -> dict[str, dict[Place, int]]:
    """Return role -> what its group has committed, of every role that reads."""
    return {role.name: await committed(admin, role.name) for role in ROLES if role.inputs}


def rows(counts: Mapping[str, int], found: Mapping[str, Mapping[Place, int]], ends: Mapping[Place, int]) -> list[dict[str, Any]]:
    """Return the lines of what was found: `counts` are the partitions of the topics."""
    wanted = [(role.name, place) for role in ROLES for place in places(role.inputs, counts)]
    return [row(name, place, found[name].get(place), ends[place]) for name, place in wanted]


def places(inputs: Iterable[Topic], counts: Mapping[str, int]) -> list[Place]:
    """Return every partition of the topics."""
    return [(topic.name, number) for topic in inputs for number in range(counts.get(topic.name, 0))]


def reader(settings: Settings) -> Any:
    """Return a consumer without a group that sees committed records, not started."""
    from aiokafka import AIOKafkaConsumer

    # The client learns of one unknown topic per try and waits the backoff in between: at 100 ms that made 0.7 s.
    return AIOKafkaConsumer(
        **settings.kafka.client_args(), group_id=None, enable_auto_commit=False, isolation_level="read_committed", retry_backoff_ms=2
    )


async def end_offsets(settings: Settings, wanted: list[Place]) -> dict[Place, int]:
    """Return where each partition ends for a reader of committed records."""
    consumer = reader(settings)
    await consumer.start()
    try:
        return await ends_of(consumer, wanted)
    finally:
        await consumer.stop()


async def ends_of(consumer: Any, wanted: list[Place]) -> dict[Place, int]:
    """Return the same from a consumer that has started."""
    from aiokafka import TopicPartition

    ends = await consumer.end_offsets([TopicPartition(*place) for place in wanted])
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
