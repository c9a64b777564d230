"""Kafka's part of an erasure: put redacted records in the place of a person's, cut off what was handed on, and have the old ones compacted away.

Compaction never touches the segment that is written to, so the partition is made to begin another one: its `segment.ms` is over at once, and a
record that makes it roll is written in a transaction that is aborted, which no reader sees. All of this was tried against Kafka 4.4: of
1,000 records exactly those with a tombstone went, two seconds later, and every other one kept its offset.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from console.erasure.finding import Reader, Replacement
from streams.person import Person
from streams.redaction import ERASED
from streams.runtime import topics
from streams.runtime.errors import BadSettings, Unavailable
from streams.runtime.settings import Settings
from streams.runtime.store import ERASURE
from streams.runtime.topic_plan import Found, look
from streams.stage import Record
from streams.topology import ACTIVITY, ATTRIBUTION, DELIVERIES, DELIVERY, LEDGER, LOOKUPS, MATCHES, ROLES

HANDED_ON = ((LOOKUPS.name, ATTRIBUTION.name), (MATCHES.name, LEDGER.name), (DELIVERIES.name, DELIVERY.name))
"""Topics between stages, with the role that has read them: what it has committed nobody reads again."""
ROLLING = {"segment.ms": "100", "file.delete.delay.ms": "1000"}
COMPACTING = {
    **ROLLING, "cleanup.policy": "compact,delete", "min.cleanable.dirty.ratio": "0.0", "delete.retention.ms": "0", "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "1",
}  # fmt: skip
TRANSACTION_MS = 600_000
PATIENCE_S = 900
LOOK_S = 0.3
ROLL_S = 5.0
GIVEN_HEADERS = ("origin_topic", "origin_partition", "origin_offset", "origin_timestamp", "error", "failed_at_ms", "settings")

Report = Callable[[str], None]


async def opened(settings: Settings) -> AIOKafkaProducer:
    """The producer of an erasure: one at a time, for there is one transactional id; it ends what an interrupted one left open."""
    producer = AIOKafkaProducer(
        **settings.kafka.client_args(), transactional_id="clicktrail.erase", acks="all", max_request_size=8 << 20,
        transaction_timeout_ms=TRANSACTION_MS,
    )  # fmt: skip
    await producer.start()
    return producer


async def replace(
    producer: Any, replacements: list[Replacement], who: Person, counts: dict[str, int], activity: dict[str, Any]
) -> list[Record]:
    """Write what takes the records' places, and the activity row, in one transaction; returns the new records with a value."""
    sent: list[tuple[asyncio.Future[Any], Record]] = []
    async with producer.transaction():
        for one in replacements:
            names_key = who.is_in_bytes(one.key)
            if names_key or one.value is None:
                await producer.send(one.topic, None, one.key, partition=one.partition, timestamp_ms=one.timestamp, headers=[(ERASED, b"1")])
            if one.value is not None:
                key = who.scrubbed(one.key.decode("utf-8", "replace")).encode() if names_key else one.key
                headers = [*((name, value) for name, value in one.headers if name in GIVEN_HEADERS), (ERASED, b"1")]
                record = Record(one.topic, one.partition, -1, one.timestamp, key, one.value, headers)
                sent.append((await producer.send(*_arguments(record)), record))
        for role in ROLES:
            if role.changelog is not None:
                for number in range(counts[role.changelog.name]):
                    await producer.send(role.changelog.name, b"%d" % activity["changed_at_ms"], ERASURE, partition=number)
        key = f"person/{activity['entity_id']}".encode()
        await producer.send(ACTIVITY.name, orjson.dumps(activity), key, partition=0, timestamp_ms=activity["changed_at_ms"])
    return [record._replace(offset=(await future).offset) for future, record in sent]


def _arguments(record: Record) -> tuple[Any, ...]:
    return record.topic, record.value, record.key, record.partition, record.timestamp, record.headers


async def cut_off(settings: Settings, admin: AIOKafkaAdminClient, producer: Any, counts: dict[str, int]) -> None:
    """Delete what the topics between the stages have handed on."""
    wanted: dict[TopicPartition, RecordsToDelete] = {}
    for topic, role in HANDED_ON:
        committed = await admin.list_consumer_group_offsets(f"clicktrail.{role}")
        for number in range(counts[topic]):
            at = TopicPartition(topic, number)
            if at in committed and committed[at].offset > 0:
                wanted[at] = RecordsToDelete(committed[at].offset)
    if wanted:
        async with changed(settings, admin, {at.topic for at in wanted}, ROLLING):
            await roll(producer, wanted)
            await admin.delete_records(wanted)


async def compact(
    settings: Settings,
    admin: AIOKafkaAdminClient,
    producer: Any,
    reader: Reader,
    gone: list[tuple[TopicPartition, int]],
    who: Person,
    report: Report,
) -> None:
    """Return when the records at these places are gone, and no key of their partitions names the person. Unavailable after PATIENCE_S."""
    left: dict[TopicPartition, set[int]] = defaultdict(set)
    for at, offset in gone:
        left[at].add(offset)
    unclean, total = set(left), len(gone)
    deadline, rolled = time.monotonic() + PATIENCE_S, 0.0
    async with changed(settings, admin, {at.topic for at in left}, COMPACTING):
        await asyncio.sleep(0.2)
        while unclean:
            if time.monotonic() - rolled > ROLL_S:
                await roll(producer, unclean)
                rolled = time.monotonic()
            for at in list(unclean):
                left[at] = {offset for offset in left[at] if await reader.is_there(at, offset)}
                if not left[at] and not await _names(reader, at, who):
                    unclean.discard(at)
            report(f"compacting: {total - sum(map(len, left.values()))} of {total} records are gone, {len(unclean)} partitions to go")
            if unclean and time.monotonic() > deadline:
                raise Unavailable(f"Kafka has not compacted {min(unclean)} in {PATIENCE_S} s.", "Run it again: it goes on from here.")
            await asyncio.sleep(LOOK_S if unclean else 0)


async def _names(reader: Reader, at: TopicPartition, who: Person) -> bool:
    """Whether a key of the partition names the person; only then has it to be read."""
    if who.kind not in ("click_id", "external_id", "email", "phone"):
        return False
    async for record in reader.records(at):
        if who.is_in_bytes(record.key):
            return True
    return False


async def roll(producer: Any, places: Iterable[TopicPartition]) -> None:
    """Make these partitions begin another segment, with a record that nobody ever sees."""
    await producer.begin_transaction()
    for at in places:
        await producer.send_and_wait(at.topic, b"", b"roll", partition=at.partition)
    await producer.abort_transaction()


async def refuse_tiered(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    """BadSettings where a topic lies in tiered storage: Kafka does not compact such a topic, so nothing can be taken out of it."""
    tiered = [each.state.topic.name for each in await look(admin, settings) if each.values.get("remote.storage.enable") == "true"]
    if tiered:
        raise BadSettings(
            f"{tiered[0]} is in tiered storage, which Kafka cannot compact.",
            "Nothing was changed. Set CLICKTRAIL_RETENTION__LOG_DAYS to how long a person may wait: what is older is deleted.",
        )


async def put_right(settings: Settings, admin: AIOKafkaAdminClient) -> None:
    """Take back what an erasure that was killed left set on topics."""
    left = [each for each in await look(admin, settings) if ROLLING.items() <= each.own.items()]
    await _set(admin, {each.state.topic.name: _own(each, settings) for each in left})


@contextlib.asynccontextmanager
async def changed(settings: Settings, admin: AIOKafkaAdminClient, names: set[str], values: dict[str, str]) -> Any:
    """Set values on topics for a while."""
    own = {each.state.topic.name: _own(each, settings) for each in await look(admin, settings) if each.state.topic.name in names}
    await _set(admin, {name: values_of | values for name, values_of in own.items()})
    try:
        yield
    finally:
        await _set(admin, own)


def _own(found: Found, settings: Settings) -> dict[str, str]:
    """What a topic has of its own when no erasure is under way: the topology says it, so nothing has to be remembered."""
    return {key: value for key, value in found.own.items() if key not in COMPACTING} | topics.configuration(found.state.topic, settings)


async def _set(admin: AIOKafkaAdminClient, values: dict[str, dict[str, str]]) -> None:
    if not values:
        return
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, each) for name, each in values.items()]
    for response in await admin.alter_configs(resources):
        for code, message, _, name in response.resources:
            if code:
                raise BadSettings(
                    f"Kafka refused to change {name}: {message or for_code(code).__name__}.", "An erasure needs AlterConfigs."
                )
