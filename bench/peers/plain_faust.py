"""The reference workload as Faust's manual would have it: agents, tables, one event at a time.

PHASE=A fills the click table and its changelog, then ends; the measured run recovers the table from there before its first conversion.
"""

import asyncio
import os

import faust
import orjson

ENV = os.environ
STATUSES = {"approved": "conversion"}
EVENTS = {"Purchase": "sale", "Lead": "lead"}

app = faust.App(
    ENV["APPID"], broker=f"kafka://{ENV['BOOTSTRAP']}", datadir=ENV["STATE"], store="memory://", topic_partitions=4, web_enabled=False,
    topic_replication_factor=1, topic_disable_leader=True, stream_wait_empty=False, consumer_auto_offset_reset="earliest",
    producer_linger_ms=20, producer_max_batch_size=1 << 18, broker_max_poll_records=2_000, consumer_max_fetch_size=1 << 20,
    stream_buffer_maxsize=4_096, key_serializer="raw", value_serializer="raw",
)  # fmt: skip
raw, index, log = (app.topic(ENV[name], key_serializer="raw", value_serializer="raw") for name in ("RAW", "INDEX", "LOG"))
probes = app.topic(f"{ENV['APPID']}-probes", partitions=4, internal=True, key_serializer="raw", value_serializer="raw")
seen = app.Table("seen", partitions=4, key_type=bytes, value_type=int)
clicks = app.Table("clicks", partitions=4, key_type=bytes, value_type=bytes)
counts = {"indexed": 0, "rows": 0}


def say(word: str) -> None:
    """Tell the driver."""
    os.write(1, word.encode() + b"\n")


async def emit(row: dict) -> None:
    """Send a log record."""
    await log.send(key=row["transaction_id"].encode(), value=orjson.dumps(row))
    counts["rows"] += 1
    if counts["rows"] == int(ENV["N"]):
        await app.producer.flush()
        say("DONE")


@app.agent(index)
async def keep_clicks(stream) -> None:
    """Fill the click table."""
    async for event in stream.events():
        clicks[event.key] = event.value
        counts["indexed"] += 1
        if counts["indexed"] == int(ENV["N_INDEX"]) and ENV.get("PHASE") == "A":
            await asyncio.sleep(1)
            await app.commit(None)
            await app.producer.flush()
            os._exit(0)


async def dedup(stream) -> None:
    """First of its transaction id? Wanted at all? Then ask for its click."""
    is_first = True
    async for event in stream.events():
        if is_first:
            say("FIRST")
            is_first = False
        payload, message = orjson.loads(event.value), event.message
        row = {
            "status": None, "reason": None, "transaction_id": payload["transaction_id"], "click_id": None, "campaign": None,
            "amount": payload["amount"], "lineage": {"topic": message.topic, "partition": message.partition, "offset": message.offset},
        }  # fmt: skip
        first = seen.get(event.key)
        if first is not None:
            row |= {"status": "DEDUPLICATED", "reason": "duplicate", "duplicate_of": first}
            await emit(row)
            continue
        seen[event.key] = message.offset
        if payload["status"] not in STATUSES:
            row |= {"status": "DISCARDED", "reason": "status:" + payload["status"]}
        elif payload["event"] not in EVENTS:
            row |= {"status": "DISCARDED", "reason": "event:" + payload["event"]}
        elif "cid" in payload or "email" in payload:
            key = "c:" + payload["cid"] if "cid" in payload else "e:" + payload["email"]
            await probes.send(key=key.encode(), value=orjson.dumps(row))
            continue
        else:
            row |= {"status": "ERROR", "reason": "no_identity"}
        await emit(row)


@app.agent(probes)
async def attribute(stream) -> None:
    """Find the click."""
    async for event in stream.events():
        row, found = orjson.loads(event.value), clicks.get(event.key)
        if found is None:
            row |= {"status": "ERROR", "reason": "unknown_click"}
        else:
            click = orjson.loads(found)
            row |= {"status": "OK", "reason": "cid" if event.key[:1] == b"c" else "email", "click_id": click["click_id"], "campaign": click["campaign"]}
        await emit(row)


if ENV.get("PHASE") != "A":
    app.agent(raw)(dedup)

if __name__ == "__main__":
    app.main()
