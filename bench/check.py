"""The checker: a run counts only if every conversion has exactly one log record, and each says what a plain loop says.

By lineage (partition, offset of the conversion): none twice, none missing; equal counts of status and reason; and an equal checksum,
independent of order, over lineage, status, reason, click id, campaign and amount. `reference` is that plain loop; its results are
committed in `expected/`, so that a run need not repeat it.
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from bench.workload import Row

EXPECTED = Path(__file__).with_name("expected")


class Read(NamedTuple):
    """A record as it stands in Kafka."""

    partition: int
    offset: int
    timestamp: int  # ms
    value: bytes


def expected(size_name: str) -> dict[str, Any]:
    """The committed result of a variant."""
    result: dict[str, Any] = json.loads((EXPECTED / f"{size_name}.json").read_text())
    return result


def reference(records: Iterable[Read], index: Mapping[str, Row]) -> dict[str, Any]:
    """Judge every conversion in a plain loop; `index` maps `c:<click id>` and `e:<e-mail>` to clicks."""
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    checksum = size = 0
    per_partition: Counter[int] = Counter()
    for record in records:
        row = orjson.loads(record.value)
        click: Row = {}
        status, reason = ("DEDUPLICATED", "duplicate") if row["transaction_id"] in seen else _first_of_its_id(row, index)
        seen.add(row["transaction_id"])
        if status == "OK":
            click = index[_lookup_key(row) or ""]
        counts[f"{status}/{reason}"] += 1
        per_partition[record.partition] += 1
        size += len(record.value)
        checksum += _crc(record.partition, record.offset, status, reason, click, row["amount"])
    n = sum(counts.values())
    partitions = [per_partition[p] for p in range(max(per_partition) + 1)]
    return {"n": n, "counts": dict(sorted(counts.items())), "hash": checksum, "per_partition": partitions, "avg_bytes": size / n}


def _first_of_its_id(row: Row, index: Mapping[str, Row]) -> tuple[str, str]:
    if row["status"] != "approved":
        return "DISCARDED", "status:" + row["status"]
    if row["event"] == "AddToCart":
        return "DISCARDED", "event:AddToCart"
    key = _lookup_key(row)
    if key is None:
        return "ERROR", "no_identity"
    if key not in index:
        return "ERROR", "unknown_click"
    return "OK", "cid" if key[0] == "c" else "email"


def _lookup_key(row: Row) -> str | None:
    if "cid" in row:
        return "c:" + row["cid"]
    return "e:" + row["email"] if "email" in row else None


def _crc(partition: int, offset: int, status: str, reason: str, click: Mapping[str, Any], amount: str) -> int:
    where = f"{click.get('click_id') or ''}|{click.get('campaign') or ''}"
    return zlib.crc32(f"{partition}/{offset}|{status}|{reason}|{where}|{amount}".encode())


class Checked(NamedTuple):
    """What the checker found; times are those of the broker, in seconds."""

    is_ok: bool
    count: int
    twice: int
    missing: int
    first_at: float
    last_at: float
    differences: dict[str, tuple[int, int]]  # status/reason -> (found, expected)

    def __str__(self) -> str:
        if self.is_ok:
            return "ok"
        return f"WRONG: {self.count} records, {self.twice} twice, {self.missing} missing, differences (found, expected): {self.differences}"


def check(log: Iterable[Read], wanted: Mapping[str, Any]) -> Checked:
    """Compare a log with the expected result."""
    counts: Counter[str] = Counter()
    checksum = count = twice = 0
    seen = [bytearray(n) for n in wanted["per_partition"]]
    first_at, last_at = float("inf"), 0.0
    for record in log:
        row = orjson.loads(record.value)
        partition, offset = row["lineage"]["partition"], row["lineage"]["offset"]
        count += 1
        twice += seen[partition][offset]
        seen[partition][offset] = 1
        first_at, last_at = min(first_at, record.timestamp / 1000), max(last_at, record.timestamp / 1000)
        counts[f"{row['status']}/{row['reason']}"] += 1
        checksum += _crc(partition, offset, row["status"], row["reason"], row, row["amount"])
    missing = wanted["n"] - sum(map(sum, seen))
    names = counts.keys() | wanted["counts"].keys()
    differences = {n: (counts[n], wanted["counts"].get(n, 0)) for n in sorted(names) if counts[n] != wanted["counts"].get(n, 0)}
    is_ok = count == wanted["n"] and not twice and not missing and not differences and checksum == wanted["hash"]
    return Checked(is_ok, count, twice, missing, first_at, last_at, differences)


def read_topic(bootstrap: str, topic: str) -> Iterator[Read]:
    """Yield every committed record of a topic up to its ends of now, each partition in order."""
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"check-{topic}", "auto.offset.reset": "earliest", "enable.auto.commit": False,
         "enable.partition.eof": True, "queued.min.messages": 200_000, "isolation.level": "read_committed"}
    )  # fmt: skip
    try:
        left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
        while left:
            for message in consumer.consume(10_000, 1.0):
                error = message.error()
                if error is None:
                    yield Read(message.partition(), message.offset(), message.timestamp()[1], message.value())
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  the name that confluent-kafka documents
                    left.discard(message.partition())
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
