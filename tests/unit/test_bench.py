"""The reference workload: the seed gives the data that the committed results were made from, and the checker sees every kind of mistake."""

from itertools import islice

import orjson
import pytest
from aiokafka.partitioner import murmur2

from bench import check, product, side_by_side, workload
from bench.check import Read
from bench.reference_stages import Attribution, Dedup
from streams.runtime.memory import MemoryState
from streams.stage import Outputs, Record

SMALL = workload.Size("tiny", 400, 100)


def records_of(size):
    """The conversions with the partition and offset that Kafka would give them."""
    offsets = [0] * workload.PARTITIONS
    for row in workload.conversions(size.conversion_count, size.click_count):
        partition = (murmur2(row["transaction_id"].encode()) & 0x7FFFFFFF) % workload.PARTITIONS
        yield Read(partition, offsets[partition], 0, orjson.dumps(row))
        offsets[partition] += 1


def log_of(size):
    """What our stages make of the conversions, moved by hand: clicks, dedup, attribution."""
    kept, out = [MemoryState() for _ in range(workload.PARTITIONS)], Outputs()
    attribution = Attribution("clicks", "lookups", "log", workload.PARTITIONS, lambda _: None, lambda _: None)
    dedup = Dedup("log", "lookups", workload.PARTITIONS, lambda _: None)
    clicks = [Record("clicks", 0, i, 0, b"", orjson.dumps(row)) for i, row in enumerate(workload.clicks(size.click_count))]
    attribution(clicks, kept[0], out)
    indexes = [MemoryState() for _ in range(workload.PARTITIONS)]
    rows = Outputs()
    for records, state in ((list(records_of(size)), kept),):
        for record in records:
            key = orjson.loads(record.value)["transaction_id"].encode()
            dedup([Record("raw", record.partition, record.offset, 0, key, record.value)], state[record.partition], out)
    for topic, partition, key, value, _ in out:
        if topic == "lookups":
            attribution([Record("lookups", partition, 0, 0, key, value)], indexes[partition], rows)
        else:
            rows.send(topic, partition, key, value)
    return [Read(partition, at, 1_000 * at, value) for at, (_, partition, _, value, _) in enumerate(rows)]


@pytest.fixture(scope="module")
def wanted():
    return check.reference(records_of(SMALL), dict(workload.index(SMALL.click_count)))


def test_the_seed_gives_the_committed_data():
    first, second = islice(workload.conversions(2, 200_000), 2)
    assert first == {
        "transaction_id": "T0", "amount": first["amount"], "currency": "USD", "status": first["status"], "event": first["event"], "ip": first["ip"],
        "sub1": "abc", "sub2": "def", "ua": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "ts": 1_763_910_000,
        **{name: first[name] for name in ("cid", "email") if name in first},
    }  # fmt: skip
    assert second["transaction_id"] == "T1"
    assert sum(1 for _ in workload.index(2_000)) == 2_000 + sum("email" in click for click in workload.clicks(2_000))


def test_the_plain_loop_gives_the_committed_result():
    size = workload.SIZES["50k"]
    assert check.reference(records_of(size), dict(workload.index(size.click_count))) == check.expected("50k")


def test_our_stages_pass_the_checker(wanted):
    assert check.check(log_of(SMALL), wanted).is_ok


@pytest.mark.parametrize("mistake", ["missing", "twice", "other verdict", "other click"])
def test_the_checker_sees_mistakes(wanted, mistake):
    log = log_of(SMALL)
    if mistake == "missing":
        del log[7]
    elif mistake == "twice":
        log.append(log[7])
    else:
        at = next(i for i, record in enumerate(log) if b'"OK"' in record.value)
        row = orjson.loads(log[at].value) | ({"status": "ERROR"} if mistake == "other verdict" else {"click_id": "c0"})
        log[at] = log[at]._replace(value=orjson.dumps(row))
    found = check.check(log, wanted)
    assert not found.is_ok
    assert str(found).startswith("WRONG")


def test_the_real_rules_know_a_duplicate_only_of_a_recorded_conversion():
    known = {"c:c1": {}}
    row = {"transaction_id": "T1", "event": "Lead", "status": "approved"}
    counts = product.expected(
        [row | {"cid": "nobody"}, row | {"cid": "c1"}, row | {"cid": "c1"}, row | {"cid": "c1", "event": "Purchase"}], known
    )
    assert counts == {"error/unknown_click_id/": 1, "ok/recorded/click_id": 2, "deduplicated/duplicate/": 1}


def test_the_table_compares_medians_of_good_runs():
    run = {"guarantee": "", "size": "1m", "broker_cpu_s_per_million": 1.0, "rss_mb": 1, "others_cpu_share": 0.0}
    ours = [{**run, "name": "clicktrail", "check": "ok", "events_per_s": speed, "cpu_s_per_million": 10.0} for speed in (100, 200)]
    peer = {**run, "name": "peer", "check": "ok", "events_per_s": 50, "cpu_s_per_million": 30.0}
    bad = {**peer, "check": "WRONG", "events_per_s": 1_000_000}
    lines = side_by_side.summarise([*ours, peer, bad])
    assert [line["speed_ratio"] for line in lines] == [1.0, 3.0]
    assert lines[1]["efficiency_ratio"] == 3.0
    assert "1/2 ok" in side_by_side.table(lines)
