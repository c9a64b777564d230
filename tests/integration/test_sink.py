"""The sink against a real broker and a real engine: exact bytes, each record once whatever dies, dead letters for what cannot be stored."""

import asyncio
import hashlib
import random

import orjson
import pytest
from aiokafka import AIOKafkaConsumer

from deploy.local.ports import free_port
from sinks.embedded import ClickHouse
from sinks.feeds import FEEDS
from sinks.store import Store
from tests.integration.sink_rig import EVENTS, VISITS, Rig, row, visit

COUNT = "SELECT count() FROM event_revisions"
PLACES = "SELECT count(), uniqExact(log_partition, log_offset), uniqExact(event_id) FROM event_revisions"  # without FINAL


@pytest.fixture
async def rig(kafka, clickhouse, request):
    async with Rig(kafka, clickhouse, request.node.name.replace("[", "_").rstrip("]")) as rig:
        yield rig


async def test_rows_arrive_with_exact_bytes_and_every_field(rig):
    """A03: the payload is what was received, also when it is no text."""
    payloads = [b"a=1&b=%20", "ключ=значение 🙂".encode(), bytes(range(256)), b"", b'{"a": "\\u0000\\ud800"}', b"line\nline\r\n\x00"]
    async with rig.running():
        await rig.send(
            EVENTS, [row(number, payload=payload, value=None if number == 1 else "0.00005") for number, payload in enumerate(payloads)]
        )
        await rig.send(VISITS, [visit(1), visit(2)])
        await rig.wait_for(COUNT, len(payloads))
        await rig.wait_for("SELECT count() FROM visits", 2)
    hexes = rig.query("SELECT hex(payload) FROM events ORDER BY offset")
    assert [bytes.fromhex(text) for (text,) in hexes] == payloads
    assert rig.query("SELECT count() FROM events WHERE hex(SHA256(payload)) != upper(payload_sha256)") == [(0,)]
    (found,) = rig.query(
        "SELECT toUnixTimestamp64Milli(received_at), toUnixTimestamp64Milli(event_time), toString(value), trace, evidence, parameters, sub_reason,"
        " is_test, topic, partition, offset, abs(dateDiff('second', judged_at, now64())) < 60 FROM events WHERE event_id = 'e1-0-2'"
    )
    sent = orjson.loads(row(2))
    assert found[:3] == (sent["received_ms"], sent["event_ms"], "0.00005")
    assert [orjson.loads(found[3]), orjson.loads(found[4])] == [sent["trace"], sent["evidence"]]
    assert found[5:] == (sent["parameters"], None, False, "clicktrail.payloads.v1", 0, 2, True)
    assert rig.query("SELECT value FROM events WHERE offset = 1") == [(None,)]
    assert rig.query("SELECT identifiers FROM visits LIMIT 1")[0][0][0] == {"kind": "email", "key": "9f2c"}
    assert hashlib.sha256(payloads[2]).hexdigest() == rig.query("SELECT payload_sha256 FROM events WHERE offset = 2")[0][0]


async def stream(rig, count, rate=20_000):
    """Send rows 0 … count-1 over two months of receipt (so inserts make several parts), while the test does other things."""
    for start in range(0, count, 1_000):
        rows = [
            row(number, received_ms=1_790_000_000_000 + number % 2 * 40 * 86_400_000) for number in range(start, min(count, start + 1_000))
        ]
        await rig.send(EVENTS, rows)
        await asyncio.sleep(1_000 / rate)


async def test_killed_at_random_points_nothing_is_lost_or_doubled(rig):
    """C02. kill -9 of the sink while rows stream in; counted without FINAL. The failpoints below hit the exact steps."""
    chance, count = random.Random(7), 30_000
    process, sending = rig.spawn(), asyncio.create_task(stream(rig, count))
    for kill in range(4):
        await rig.wait_until(COUNT, lambda found, kill=kill: found > kill * 5_000)
        await asyncio.sleep(chance.uniform(0, 0.15))
        process.kill()
        process.wait()
        process = rig.spawn()
    await sending
    await rig.wait_for(COUNT, count, 30)
    process.terminate()
    process.wait()
    assert rig.query(PLACES) == [(count, count, count)]


async def test_killed_between_two_steps_nothing_is_lost_or_doubled(rig):
    """After the insert and before the commit, after the read-back, once per step and twice in a row."""
    sent = 0
    for failpoint in ("after_insert", "after_readback", "before_offset_commit", "after_insert:2"):
        await rig.send(EVENTS, [row(number) for number in range(sent, sent + 100)])
        sent += 100
        process = rig.spawn(failpoint)
        if failpoint.endswith(":2"):
            await rig.wait_for(COUNT, sent)
            await rig.send(EVENTS, [row(number) for number in range(sent, sent + 100)])
            sent += 100
        assert await asyncio.to_thread(process.wait, 120) == 99, failpoint
    async with rig.running():
        await rig.wait_for(COUNT, sent)
    assert rig.query(PLACES) == [(sent, sent, sent)]


async def test_an_insert_that_arrived_in_part_is_completed(rig):
    """A killed insert can leave some parts in and others out, the highest offset among the former: each offset is asked for."""
    await rig.send(EVENTS, [row(number) for number in range(90)])
    topic = f"{rig.name}.{EVENTS}"
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=rig.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    records = []
    while len(records) < 90:
        records += [record for part in (await consumer.getmany(timeout_ms=1_000)).values() for record in part]
    await consumer.stop()
    store = Store(rig.clickhouse.url, rig.name)
    await store.insert(
        FEEDS[0], [record for record in records if record.offset % 3 == 2 and record.partition != 1]
    )  # 29 is the last offset
    await store.close()
    async with rig.running():
        await rig.wait_until(COUNT, lambda found: found >= 90)
    assert rig.query(PLACES) == [(90, 90, 90)]


async def test_a_second_sink_joins_while_rows_stream_in(rig):
    """Partitions change hands with inserts on their way; the new owner reads back what arrived."""
    async with rig.running("0") as first:
        sending = asyncio.create_task(stream(rig, 20_000))
        await rig.wait_until(COUNT, lambda found: found > 2_000)
        async with rig.running("1") as second:
            await rig.wait_for(COUNT, 20_000, 30)
            assert first.is_ready
            assert second.is_ready
        await sending
    assert rig.query(PLACES) == [(20_000, 20_000, 20_000)]


async def test_engine_killed_while_inserting_then_away(kafka, tmp_path, request):
    """The engine dies with an insert half done (two partitions), stays away, and comes back: the sink waits and sends what is missing."""
    with ClickHouse(tmp_path, port=free_port()) as engine:
        async with Rig(kafka, engine, "engine_killed") as rig, rig.running():
            sending = asyncio.create_task(stream(rig, 20_000))
            for away_s in (0.1, 2.0):
                before = rig.query(COUNT)[0][0]
                await rig.wait_until(COUNT, lambda found, before=before: found > before)
                engine.kill()
                await asyncio.sleep(away_s)
                await asyncio.to_thread(engine.start)
            await sending
            await rig.wait_for(COUNT, 20_000, 30)
            assert rig.query(PLACES) == [(20_000, 20_000, 20_000)]


async def test_a_row_that_cannot_be_stored_goes_to_dead_letters_alone(rig):
    """Halving finds them among good ones; the dead letter keeps bytes, coordinates and reason, and is itself a row."""
    values = [row(number) for number in range(50)]
    values[7] = row(7, value="no number")
    values[20] = b'{"event_id": "e1-0-20", "broken'
    values[33] = b"\xff\x00 no JSON at all"
    values[41] = b'{"click": 1}'  # seen: the engine takes it for a row in which everything is a default
    async with rig.running():
        await rig.send(EVENTS, values, partition=1)
        await rig.wait_for(COUNT, 46)
        await rig.wait_for("SELECT count() FROM dead_letters", 4)
    assert rig.query(PLACES) == [(46, 46, 46)]
    letters = rig.query("SELECT origin_offset, hex(value), reason, error, origin_topic FROM dead_letters ORDER BY origin_offset")
    assert [letter[0] for letter in letters] == [7, 20, 33, 41]
    assert [bytes.fromhex(letter[1]) for letter in letters] == [values[7], values[20], values[33], values[41]]
    assert "field value" in letters[0][2]
    assert "no number" not in letters[0][2]
    assert {letter[3:] for letter in letters} == {("RefusedError", f"{rig.name}.{EVENTS}")}


async def test_topic_made_anew_its_offsets_are_not_taken_for_the_old_ones(rig):
    """Kafka's data was deleted, ClickHouse's not: same partition and offset, another record, told apart by its time."""
    async with rig.running():
        await rig.send(EVENTS, [row(0)], partition=0)
        await rig.wait_for(COUNT, 1)
    await rig.recreate(EVENTS)
    async with rig.running():
        await rig.send(EVENTS, [row(1, event_id="e2-0-0")], partition=0)
        await rig.wait_for(COUNT, 2)
