"""An erasure from its first reading to its last compaction; `__init__.py` says why it is done like this.

settings ─> who ─> closure (log + rows) ─> what there is to do ─> [ replace ─> rows ─> forget ─> compact ]
"""

import asyncio
import shutil
import time
import uuid
from collections import Counter
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from console.erasure import finding, log
from console.erasure.closure import Closure
from console.erasure.finding import Found, Reader
from console.erasure.log import Report
from console.erasure.rows import TABLES, Place, Row, Rows
from sinks.feeds import FEEDS, Feed
from sinks.insertion import Insertion
from sinks.schema import Table
from sinks.store import Store
from sinks.tables import DEAD_LETTERS
from streams.person import Person
from streams.runtime import failpoints, topics
from streams.runtime.errors import BadSettings
from streams.runtime.growth import nobody_runs, nothing_waits
from streams.runtime.settings import Settings
from streams.runtime.unique import LOGS
from streams.stage import Outputs, Record
from streams.topology import ACTIVITY, SETTINGS, TOPICS

SPOOL_SUFFIXES = (".spool", ".torn", ".damaged")
FEED_OF = {feed.topic: feed for feed in FEEDS}


class Todo(NamedTuple):
    """What was found. `kept` names stores that mention the person and that an erasure leaves alone."""

    closure: Closure
    topics: dict[str, Found]
    rows: dict[str, list[Row]]
    kept: dict[str, int]

    @property
    def counts(self) -> dict[str, int]:
        """Store -> records or rows that have to change; of those that wait for compaction only, too."""
        found = {name: len(each.replacements) + len(each.replaced) for name, each in self.topics.items()}
        found |= {f"ClickHouse {name}": len(rows) for name, rows in self.rows.items()}
        return {name: count for name, count in found.items() if count}


async def look(settings: Settings, who: Person, report: Report) -> Todo:
    """Find everything. Changes nothing, and may be done while everything runs."""
    admin = await topics.connected(settings)
    counts = await _partitions(settings, admin)
    await admin.close()
    reader, rows, found = Reader(settings.kafka.client_args(), counts), Rows(settings, who), Closure(who, settings.kafka.epoch)
    await reader.start()
    try:
        report("reading visits, payloads and events")
        await asyncio.to_thread(rows.visits, found)
        await finding.closure(reader, found)
        await asyncio.to_thread(rows.events, found)
        report(f"{len(found.clicks)} clicks and {len(found.events)} events are theirs")
        by_topic = {}
        for topic in (*sorted(LOGS), *finding.STATES):
            by_topic[topic] = await finding.records(reader, found, topic)
        kept = {topic.name: await _mentions(reader, topic.name, who) for topic in (SETTINGS, ACTIVITY)}
    finally:
        await reader.stop()
    by_table = {table.name: await asyncio.to_thread(rows.theirs, table, found) for table in TABLES}
    return Todo(found, by_topic, by_table, {name: count for name, count in kept.items() if count})


async def erase(settings: Settings, who: Person, author: str, reason: str, report: Report) -> Todo:
    """Do it; returns what was found. BadSettings says what stands in the way, and then nothing was changed."""
    _spool_is_empty(settings)
    admin = await topics.connected(settings)
    try:
        await log.refuse_tiered(settings, admin)
        await log.put_right(settings, admin)
        await nobody_runs(admin, "sink")
        await nothing_waits(settings, admin)
        todo = await look(settings, who, report)
        _refuse(todo)
        if not todo.counts:
            return todo
        counts = await _partitions(settings, admin)
        producer = await log.opened(settings)
        try:
            await _erase(settings, admin, producer, todo, counts, _activity(todo, author, reason), report)
        finally:
            await producer.stop()
        return todo
    finally:
        await admin.close()


async def _erase(
    settings: Settings,
    admin: AIOKafkaAdminClient,
    producer: Any,
    todo: Todo,
    counts: dict[str, int],
    activity: dict[str, Any],
    report: Report,
) -> None:
    who = todo.closure.who
    replacements = [one for found in todo.topics.values() for one in found.replacements]
    replaced = [one for found in todo.topics.values() for one in found.replaced]
    new: list[Record] = [one.now for one in replaced if one.now.value is not None]
    if replacements or (any(todo.rows.values()) and not replaced):  # else this goes on with one that is on record
        report(f"replacing {len(replacements)} records of the log")
        new += await log.replace(producer, replacements, who, counts, activity)
    failpoints.hit("after_replace")
    report("ClickHouse: redacted rows in, old ones out")
    await _insert(settings, new)
    rows = Rows(settings, who)
    gone = {_table(one.topic): set[Place]() for one in (*replacements, *replaced) if one.topic in FEED_OF}
    for one in (*replacements, *replaced):
        if (table := _table(one.topic)) is not None:
            gone[table].add((one.topic if table is DEAD_LETTERS else "", one.partition, one.offset, one.timestamp))
    for table in TABLES:
        places = gone.get(table, set())
        theirs = todo.rows[table.name]
        await asyncio.to_thread(rows.delete, table, sorted(places))
        await asyncio.to_thread(rows.redact, table, [row for row in theirs if row.place not in places])
    await asyncio.to_thread(rows.forget_copies, todo.closure)
    failpoints.hit("after_rows")
    await asyncio.to_thread(rows.purge)
    shutil.rmtree(settings.data_dir / "state", ignore_errors=True)  # a cache; elsewhere the changelog's mark says what to forget
    await log.cut_off(settings, admin, producer, counts)
    reader = Reader(settings.kafka.client_args(), counts)
    await reader.start()
    try:
        olds = [(TopicPartition(one.topic, one.partition), one.offset) for one in (*replacements, *replaced)]
        await log.compact(settings, admin, producer, reader, olds, who, report)
    finally:
        await reader.stop()


async def _insert(settings: Settings, new: list[Record]) -> None:
    """Bring redacted records to ClickHouse as the sink does, which finds them there when it comes to them."""
    house = settings.clickhouse
    store = Store(house.dsn(), house.database, cluster=house.cluster)
    try:
        for topic, feed in FEED_OF.items():
            records = sorted((record for record in new if record.topic == topic), key=lambda record: (record.partition, record.offset))
            if records:
                await Insertion(feed, store, _no_dead_letters).write(records)
    finally:
        await store.close()


async def _no_dead_letters(out: Outputs) -> None:
    raise AssertionError(f"ClickHouse refused a redacted row: {out.batches}")


def _table(topic: str) -> Table | None:
    feed: Feed | None = FEED_OF.get(topic)
    return feed.table if feed is not None else None


async def _partitions(settings: Settings, admin: AIOKafkaAdminClient) -> dict[str, int]:
    found = {state.topic.name: state.partitions for state in await topics.states(admin, settings)}
    if missing := [topic.name for topic in TOPICS if not found.get(topic.name)]:
        raise BadSettings(f"Topics are missing: {', '.join(missing)}.", "Run `clicktrail topics apply`.")
    return found


async def _mentions(reader: Reader, topic: str, who: Person) -> int:
    count = 0
    for at in reader.places(topic):
        async for record in reader.records(at):
            count += who.is_in_bytes(record.value)
    return count


def _spool_is_empty(settings: Settings) -> None:
    folder = settings.ingest.spool_dir or settings.data_dir / "spool"
    if waiting := [path for path in folder.glob("*") if path.suffix in SPOOL_SUFFIXES and path.stat().st_size]:
        raise BadSettings(
            f"Payloads wait in the spool: {waiting[0]}.",
            "Start ingest and let it drain, stop it, run it again. A .torn or .damaged file holds what could not be read: look at it, delete it.",
        )


def _refuse(todo: Todo) -> None:
    if doubled := sorted(at for found in todo.topics.values() for at in found.doubled):
        topic, partition = doubled[0]
        raise BadSettings(
            f"{topic}/{partition} has records with one key, written by a version before this one: compaction would take others with it.",
            "Nothing was changed. They go with the topic's retention (CLICKTRAIL_RETENTION__LOG_DAYS); or rebuild under a raised epoch.",
        )


def _activity(todo: Todo, author: str, reason: str) -> dict[str, Any]:
    who = todo.closure.who
    return {
        "activity_id": uuid.uuid4().hex, "changed_at_ms": int(time.time() * 1000), "author": author, "reason": reason, "entity": "person",
        "entity_id": who.pseudonym, "action": "deleted", "before": None,
        "after": {"kind": who.kind, "events": len(todo.closure.events), "clicks": len(todo.closure.clicks), **Counter(todo.counts)},
        "diff": [], "settings_version": -1,
    }  # fmt: skip
