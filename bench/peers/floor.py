"""The floor: one hand-written loop, everything fused, state in a dict. What Python itself allows; nobody could run a business on it.

CLIENT=confluent (no transactions) or aiokafka (one transaction per fetch). No durable state, no changelog, no re-keying through Kafka:
the click index is read into memory before the first conversion.
"""

import asyncio
import os
import time
from typing import Any

import orjson

from bench.check import read_topic

ENV = os.environ
STATUSES = {"approved": "conversion"}
EVENTS = {"Purchase": "sale", "Lead": "lead"}


class Judge:
    """All of it in one function over two dicts."""

    def __init__(self) -> None:
        clicks = (orjson.loads(record.value) for record in read_topic(ENV["BOOTSTRAP"], ENV["CLICKS"]))
        self.index: dict[str, tuple[str, str]] = {}
        for click in clicks:
            found = (click["click_id"], click["campaign"])
            self.index["c:" + click["click_id"]] = found
            if "email" in click:
                self.index["e:" + click["email"]] = found
        self.seen: dict[str, int] = {}

    def row(self, value: bytes, topic: str, partition: int, offset: int) -> bytes:
        """Return the log record of a conversion."""
        payload = orjson.loads(value)
        transaction_id = payload["transaction_id"]
        row: dict[str, Any] = {
            "status": None, "reason": None, "transaction_id": transaction_id, "click_id": None, "campaign": None, "amount": payload["amount"],
            "lineage": {"topic": topic, "partition": partition, "offset": offset},
        }  # fmt: skip
        first = self.seen.setdefault(transaction_id, offset)
        if first != offset:
            row["status"], row["reason"], row["duplicate_of"] = "DEDUPLICATED", "duplicate", first
        elif payload["status"] not in STATUSES:
            row["status"], row["reason"] = "DISCARDED", "status:" + payload["status"]
        elif payload["event"] not in EVENTS:
            row["status"], row["reason"] = "DISCARDED", "event:" + payload["event"]
        else:
            self._attribute(payload, row)
        return orjson.dumps(row)

    def _attribute(self, payload: dict[str, Any], row: dict[str, Any]) -> None:
        key = "c:" + payload["cid"] if "cid" in payload else "e:" + payload["email"] if "email" in payload else None
        if key is None:
            row["status"], row["reason"] = "ERROR", "no_identity"
        elif key not in self.index:
            row["status"], row["reason"] = "ERROR", "unknown_click"
        else:
            row["status"], row["reason"] = "OK", "cid" if key[0] == "c" else "email"
            row["click_id"], row["campaign"] = self.index[key]


def with_confluent(judge: Judge, count: int) -> None:
    """Consume, judge, produce; commit every 5 s."""
    from confluent_kafka import Consumer, Producer

    consumer = Consumer(
        {"bootstrap.servers": ENV["BOOTSTRAP"], "group.id": ENV["APPID"], "auto.offset.reset": "earliest", "enable.auto.commit": False,
         "queued.min.messages": 200_000}
    )  # fmt: skip
    producer = Producer(
        {"bootstrap.servers": ENV["BOOTSTRAP"], "linger.ms": 20, "batch.num.messages": 20_000, "queue.buffering.max.messages": 500_000,
         "partitioner": "murmur2_random", "enable.idempotence": True}
    )  # fmt: skip
    consumer.subscribe([ENV["RAW"]])
    done, committed_at, log = 0, time.monotonic(), ENV["LOG"]
    while done < count:
        messages = consumer.consume(5_000, 1.0)
        if messages and not done:
            print("FIRST", flush=True)
        for message in messages:
            row = judge.row(message.value(), message.topic(), message.partition(), message.offset())
            while True:
                try:
                    producer.produce(log, row, message.key())
                    break
                except BufferError:
                    producer.poll(0.05)
        done += len(messages)
        producer.poll(0)
        if time.monotonic() - committed_at > 5:
            producer.flush()
            consumer.commit(asynchronous=False)
            committed_at = time.monotonic()
    producer.flush()
    consumer.commit(asynchronous=False)
    print("DONE", flush=True)
    consumer.close()


async def with_aiokafka(judge: Judge, count: int) -> None:
    """Fetch, judge, one transaction."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    consumer = AIOKafkaConsumer(
        ENV["RAW"], bootstrap_servers=ENV["BOOTSTRAP"], group_id=ENV["APPID"], auto_offset_reset="earliest", enable_auto_commit=False,
        max_partition_fetch_bytes=1 << 20, check_crcs=False,
    )  # fmt: skip
    producer = AIOKafkaProducer(bootstrap_servers=ENV["BOOTSTRAP"], transactional_id=ENV["APPID"], max_batch_size=1 << 19)
    await consumer.start()
    await producer.start()
    done = 0
    while done < count:
        fetched = await consumer.getmany(timeout_ms=1_000, max_records=20_000)
        if not fetched:
            continue
        if not done:
            print("FIRST", flush=True)
        async with producer.transaction():
            for at, records in fetched.items():
                rows = [(record.key, judge.row(record.value, at.topic, at.partition, record.offset)) for record in records]
                await _send(producer, at.partition, rows)
                done += len(rows)
            await producer.send_offsets_to_transaction({at: records[-1].offset + 1 for at, records in fetched.items()}, ENV["APPID"])
    print("DONE", flush=True)
    await consumer.stop()
    await producer.stop()


async def _send(producer: Any, partition: int, rows: list[tuple[bytes, bytes]]) -> None:
    batch = producer.create_batch()
    for key, value in rows:
        if batch.append(key=key, value=value, timestamp=None) is None:
            await producer.send_batch(batch, ENV["LOG"], partition=partition)
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    await producer.send_batch(batch, ENV["LOG"], partition=partition)


if __name__ == "__main__":
    if ENV.get("CLIENT", "aiokafka") == "aiokafka":
        asyncio.run(with_aiokafka(Judge(), int(ENV["N"])))
    else:
        with_confluent(Judge(), int(ENV["N"]))
