"""The faults of what flows, where it lies, and when it is: poison, settings, gaps, compaction, full disks, clocks, destinations."""

import asyncio
import contextlib
import os
import random
import signal
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from bench.chaos import world
from bench.chaos.faults import Fault, lose_state
from bench.chaos.stack import ChaosStack
from bench.fault_rig import PARTITIONS
from schemas.event import SOURCE
from streams.runtime.settings_store import Change, SettingsStore
from streams.topology import ATTRIBUTION_STATE, EVENTS, LEDGER_STATE, LOOKUPS, MATCHES, PAYLOADS, POSTBACKS, VISITS

CHAOS = [("chaos", b"poison")]  # tells us, and nobody else, that a record is ours
GARBAGE = (
    b"",
    b"\x00\xff\xfe",
    b"{",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b'{"visit_id": {}}',
    b'{"click": 1}',
    b"\xed\xa0\x80",
    b"[" * 5_000,
    b'{"a":' * 3_000,
)
HOSTILE = (
    b"", b"\x00" * 100, b"{", b"[]", b"null", b'{"n": "x"}', b'{"tx": {"a": [1]}, "value": "NaN"}', b"[" * 50_000, b'{"value": 1e999}',
    b'{"tx": "\\ud800"}', b"cid=%FF%FE&tx=%00", b'{"tx": "' + b"x" * 200_000 + b'"}',
)  # fmt: skip


async def poison(stack: ChaosStack, rng: random.Random) -> None:
    """Records that no stage can read, into every topic between roles; and bodies over HTTP that are no sender's."""
    for topic in (VISITS, LOOKUPS, MATCHES, POSTBACKS, EVENTS):
        await stack.producer.send(topic.name, rng.choice(GARBAGE), b"poison", rng.randrange(PARTITIONS), headers=CHAOS)
        stack.poisoned += 1
    headers = {"Content-Type": rng.choice(["application/json", "application/x-www-form-urlencoded", "text/plain"])}
    with contextlib.suppress(OSError):
        async with stack.http.post(
            f"http://127.0.0.1:{stack.ports['ingest']}/in/a-p1", data=rng.choice(HOSTILE), headers=headers
        ) as answer:
            if answer.status >= 500:
                raise RuntimeError(f"a hostile body was answered {answer.status}")


async def flip_settings(stack: ChaosStack, _: random.Random) -> None:
    """A name of one source is mapped, or no more."""
    is_on = not any(flips[-1][1] for flips in stack.flips.values() if flips)
    changes = [
        Change("source", f"flip-{where}", world.source("flip", where, world.FLIPPED if is_on else world.NAMES)) for where in world.POLICIES
    ]
    for done in await SettingsStore(stack.settings, stack.feed).apply(changes, "chaos", "flip"):
        stack.flips[done["entity_id"]].append((done["settings_version"], is_on))


async def gap(stack: ChaosStack, rng: random.Random) -> None:
    """Aborted and committed transactions leave offsets without records; what was judged is deleted by retention; the ledger starts anew."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap, transactional_id=f"chaos-{rng.random()}")
    await producer.start()
    try:
        for is_kept in (False, True, False):
            await producer.begin_transaction()
            for topic in (PAYLOADS, VISITS, LOOKUPS, MATCHES, EVENTS, POSTBACKS):
                for number in range(0 if is_kept else PARTITIONS):
                    await producer.send(topic.name, b"never seen", b"gap", number, headers=[(SOURCE, b"a-p1"), *CHAOS])
            await (producer.commit_transaction() if is_kept else producer.abort_transaction())
    finally:
        await producer.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await admin.start()
    try:
        old = {TopicPartition(PAYLOADS.name, n): RecordsToDelete(before_offset=end) for n, end in stack.begin[PAYLOADS.name].items() if end}
        if old:
            await admin.delete_records(old)
    finally:
        await admin.close()
    os.kill(await stack.alive("ledger"), signal.SIGKILL)


async def compact(stack: ChaosStack, rng: random.Random) -> None:
    """The changelogs are compacted, then a role loses its state and is killed: what is left must rebuild it."""
    before = await _changes(stack)
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    quick = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.001", "min.compaction.lag.ms": "0"}
    wanted = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in quick.items()]
    resources = [
        ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=wanted) for topic in (LEDGER_STATE, ATTRIBUTION_STATE)
    ]
    for done in admin.incremental_alter_configs(resources).values():
        await asyncio.to_thread(done.result, 10)
    ends_at = time.monotonic() + 40
    while (after := await _changes(stack)) >= before and time.monotonic() < ends_at:
        before = max(before, after)  # traffic goes on
        await asyncio.sleep(1)
    stack.notes["compaction"] = f"of {before:,} changes {after:,} were left"
    await lose_state(stack, rng)


async def _changes(stack: ChaosStack) -> int:
    """How many records the changelogs of ledger and attribution hold."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.bootstrap, fetch_max_wait_ms=50)
    await consumer.start()
    try:
        places = [TopicPartition(topic.name, n) for topic in (LEDGER_STATE, ATTRIBUTION_STATE) for n in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends, count = await consumer.end_offsets(places), 0
        while any([await consumer.position(at) < ends[at] for at in places]):
            count += sum(map(len, (await consumer.getmany(timeout_ms=200)).values()))
        return count
    finally:
        await consumer.stop()


async def fill(folder: Path, seconds: float) -> None:
    """No byte is free on this file system for so long."""
    path = folder / "filler"

    def write() -> None:
        with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\x00" * size)

    await asyncio.to_thread(write)
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:  # what is freed meanwhile is taken, too
        await asyncio.sleep(1)
        await asyncio.to_thread(_append, path)
    path.unlink()


def _append(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(b"\x00" * 4096):
            pass


async def full_engine(stack: ChaosStack, _: random.Random) -> None:
    """ClickHouse's disk is full for 8 s."""
    await fill(stack.folder / "clickhouse", 8)


async def full_state(stack: ChaosStack, _: random.Random) -> None:
    """The disk of all state folders is full for 8 s."""
    await fill(stack.folder / "state", 8)


async def full_spool(stack: ChaosStack, _: random.Random) -> None:
    """The broker is away and the spool's disk is full: senders are told 503, and come again."""
    stack.network.cut()
    await fill(stack.folder / "spool", 6)
    stack.network.clear()


async def trouble(stack: ChaosStack, _: random.Random) -> None:
    """One of three destinations answers 500 and 503, hangs, resets and breaks off for 8 s."""
    stack.destinations.is_troubled = True
    await asyncio.sleep(8)
    stack.destinations.is_troubled = False


async def clocks(stack: ChaosStack, rng: random.Random) -> None:
    """The clocks of half of the processes go ahead, of the others back, by up to two hours; then all are right again."""
    stack.clock.write_text(str(rng.choice([-1, 1]) * rng.uniform(600, 7_200)))
    await asyncio.sleep(5)
    stack.clock.write_text("0")


def troubled(stack: ChaosStack) -> str:
    """How many tries met trouble."""
    return f"{stack.destinations.troubles} tries met trouble"


def compacted(stack: ChaosStack) -> str:
    """What compaction did."""
    return stack.notes.get("compaction", "")


OF_DATA = (
    Fault("poison into every topic, hostile bodies", "poison stops and takes along nothing", poison, 40, pause_s=0.1, expected_s=0.4),
    Fault("settings changed mid-stream", "a payload is judged by its version", flip_settings, 20, pause_s=0.3, expected_s=1),
    Fault("a destination fails in every way", "each postback arrives, once if the record says so", trouble, 2, expected_s=9, note=troubled),
    Fault("gaps: markers, aborts, retention", "a gap is no loss", gap, 3, pause_s=1, expected_s=6),
    Fault("changelog compacted, state gone", "state is a cache", compact, 1, expected_s=30, note=compacted),
    Fault("clocks jump by up to 2 h", "decisions use recorded times", clocks, 2, pause_s=1, expected_s=8),
)
OF_DISKS = (
    Fault("disk full: ClickHouse", "a full disk is waited for", full_engine, 1, expected_s=12),
    Fault("disk full: state", "a full disk is waited for", full_state, 1, expected_s=12),
    Fault("disk full: spool, broker away", "a full disk is waited for", full_spool, 1, expected_s=10),
)
