"""The sink against a real broker and a real engine: exact bytes, each record once whatever dies, dead letters for what cannot be stored."""

import asyncio
import hashlib
import random
import signal

import orjson
import pytest

from tests.integration.sink_rig import EVENTS, PARTITIONS, VISITS, Rig, row, visit

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


async def test_killed_at_random_points_nothing_is_lost_or_doubled(rig):
    """C02. kill -9 of the sink process while it inserts; counted without FINAL."""
    chance, sent = random.Random(7), 0  # noqa: S311
    process = rig.spawn()
    for _ in range(6):
        await rig.send(EVENTS, [row(number) for number in range(sent, sent + 2_000)])
        sent += 2_000
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = rig.spawn()
    await rig.wait_for(COUNT, sent, 30)
    process.terminate()
    process.wait()
    assert rig.query(PLACES) == [(sent, sent, sent)]
