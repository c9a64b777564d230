"""What of the log is a person's: which clicks and events, which records name them, and which of these have been replaced already.

Two readings. The first finds the closure (`closure.py`): clicks that were seen under the person's e-mail, phone or external id, and events that
name them or belong to such a click. The second finds the records of all that.

A record that has been replaced, by an erasure that was interrupted, is still in the log beside what took its place, under the same key: it
counts for the closure, and is only waited for. So an erasure that is run again finds what the first run found.
Memory: some 100 bytes for each record of one partition, to make sure that no key is there twice.
"""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from xxhash import xxh3_64_intdigest

from console.erasure.closure import QUEUED, SAME, Closure, Rule, read
from streams import redaction
from streams.runtime.store import ERASURE
from streams.runtime.unique import LOGS
from streams.topology import ATTRIBUTION_STATE, DELIVERY_STATE, EVENTS, LEDGER_STATE, PAYLOADS, VISITS

STATES = (LEDGER_STATE.name, ATTRIBUTION_STATE.name, DELIVERY_STATE.name)


class Replacement(NamedTuple):
    """A record and what must take its place. `now` is the one that did, where there is one."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]
    now: Any = None


class Found(NamedTuple):
    """What there is to do in the log. `doubled` partitions have keys twice and cannot be compacted without harm."""

    replacements: list[Replacement]
    replaced: list[Replacement]  # by an earlier run; the old record is still there
    doubled: list[tuple[str, int]]


class Reader:
    """Reads topics from their beginning to the end that they have when it comes to them."""

    def __init__(self, kafka: dict[str, Any], counts: dict[str, int]) -> None:
        self._consumer = AIOKafkaConsumer(
            **kafka, group_id=None, isolation_level="read_committed", enable_auto_commit=False, max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=50,
        )  # fmt: skip
        self._counts = counts

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Let go."""
        await self._consumer.stop()

    def places(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic."""
        return [TopicPartition(topic, number) for number in range(self._counts[topic])]

    async def records(self, at: TopicPartition) -> AsyncIterator[Any]:
        """Every record of a partition, in order."""
        consumer = self._consumer
        consumer.assign([at])
        position, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
        consumer.seek(at, position)
        while position < end:
            for record in (await consumer.getmany(at, timeout_ms=200, max_records=20_000)).get(at, ()):
                yield record
            position = await consumer.position(at)

    async def is_there(self, at: TopicPartition, offset: int) -> bool:
        """Whether a partition still has the record of this offset."""
        consumer = self._consumer
        consumer.assign([at])
        if (await consumer.beginning_offsets([at]))[at] > offset:
            return False
        consumer.seek(at, offset)
        while await consumer.position(at) <= offset:
            for record in (await consumer.getmany(at, timeout_ms=200, max_records=1)).get(at, ()):
                return bool(record.offset == offset)
        return False


async def closure(reader: Reader, found: Closure) -> None:
    """Fill the closure from the log: clicks first, then what belongs to them."""
    async for seen in _all_of(reader, VISITS.name):
        found.visit(seen)
    found.settle()
    for at in reader.places(PAYLOADS.name):
        async for record in reader.records(at):
            found.payload(record)
    async for row in _all_of(reader, EVENTS.name):
        found.row(row)
    for at in reader.places(DELIVERY_STATE.name):
        live: dict[bytes, bytes | None] = {}
        async for record in reader.records(at):
            live[record.key] = record.value if record.key[:2] in QUEUED else None
        for value in live.values():
            if value is not None:
                found.queued(value)


async def _all_of(reader: Reader, topic: str) -> AsyncIterator[dict[str, Any]]:
    for at in reader.places(topic):
        async for record in reader.records(at):
            if (value := read(record.value)) is not None:
                yield value


async def records(reader: Reader, found: Closure, topic: str) -> Found:
    """What there is to do in a topic."""
    all_of = Found([], [], [])
    for at in reader.places(topic):
        await _partition(reader, found.rule(topic), at, all_of)
    return all_of


async def _partition(reader: Reader, rule: Rule, at: TopicPartition, found: Found) -> None:
    """Collect the records of a partition that must go, with what took their place or must take it."""
    theirs: dict[bytes, list[tuple[Any, bytes | None]]] = {}
    last: dict[bytes, Any] = {}
    keys: set[int] = set()
    is_log, is_doubled = at.topic in LOGS, False
    async for record in reader.records(at):
        key = record.key or b""
        is_erasure = record.value is None or redaction.ERASED in dict(record.headers)
        if is_log and not is_erasure:
            digest = xxh3_64_intdigest(key)
            is_doubled = is_doubled or digest in keys
            keys.add(digest)
        if key in theirs:
            last[key] = record
        if record.value is not None and key != ERASURE and (left := rule(record)) != SAME:
            theirs.setdefault(key, []).append((record, left))
            last[key] = record
    for key, olds in theirs.items():
        final = last[key]
        for old, left in olds:
            one = Replacement(
                at.topic, at.partition, old.offset, old.timestamp, key, left, list(old.headers), None if old is final else final
            )
            (found.replacements if old is final else found.replaced).append(one)
    if is_doubled and theirs:
        found.doubled.append((at.topic, at.partition))
