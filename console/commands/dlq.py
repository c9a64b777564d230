"""`clicktrail dlq`: the records that no stage could process, read from Kafka where their bytes are kept."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from console import context, output
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings
from streams.topology import DEAD_LETTERS


async def read(settings: Settings, topic_names: list[str], limit: int) -> list[dict[str, Any]]:
    """Return up to `limit` dead letters per partition, the newest ones."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streams.runtime import topics

    admin = await topics.connected(settings)
    counts = {state.topic.name: state.partitions for state in await topics.states(admin, settings)}
    await admin.close()
    consumer = AIOKafkaConsumer(**settings.kafka.client_args(), group_id=None, enable_auto_commit=False, isolation_level="read_committed")
    await consumer.start()
    try:
        places = [TopicPartition(name, number) for name in topic_names for number in range(counts.get(name, 0))]
        ends = await consumer.end_offsets(places)
        places = [place for place in places if ends[place]]
        if not places:
            return []
        consumer.assign(places)
        for place in places:
            consumer.seek(place, max(0, ends[place] - limit))
        return await _until(consumer, {place: ends[place] for place in places})
    finally:
        await consumer.stop()


async def _until(consumer: Any, ends: dict[Any, int]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while ends:
        fetched = await consumer.getmany(timeout_ms=200)
        found += [described(record) for records in fetched.values() for record in records]
        for place in list(ends):
            if await consumer.position(place) >= ends[place]:
                consumer.pause(place)
                del ends[place]
    return found


def described(record: Any) -> dict[str, Any]:
    """Return a dead letter as a dictionary; its headers say where it came from and why."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    return {
        "id": f"{record.topic}/{record.partition}/{record.offset}",
        "at": datetime.fromtimestamp(record.timestamp / 1000, UTC),
        **headers,
        "bytes": len(record.value or b""),
        "value": record.value,
    }


def _as_text(value: bytes | None) -> str:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value or b"").decode()


def ls(limit: Annotated[int, typer.Option(min=1, help="How many per partition.")] = 20, as_json: output.AsJson = False) -> None:
    """List the newest dead letters; exit code 1 when there are any."""
    rows = asyncio.run(read(context.load(), [topic.name for topic in DEAD_LETTERS], limit))
    for row in rows:
        row.pop("value")
    output.show(sorted(rows, key=lambda row: row["at"]), as_json, empty="No dead letters.")
    output.finding(bool(rows))


def show(
    dead_letter: Annotated[str, typer.Argument(metavar="ID", help="dlq.<topic>/<partition>/<offset>, from `dlq ls`.")],
    as_json: output.AsJson = False,
) -> None:
    """Show a dead letter with its bytes and why it is one."""
    topic = dead_letter.split("/")[0]
    rows = asyncio.run(read(context.load(), [topic], 1_000_000)) if topic in {found.name for found in DEAD_LETTERS} else []
    row = next((found for found in rows if found["id"] == dead_letter), None)
    if row is None:
        raise BadSettings(f"There is no dead letter {dead_letter}.", "`clicktrail dlq ls` lists them.")
    row["value"] = _as_text(row["value"])
    if as_json:
        output.show_json(row)
    else:
        output.show_table([{"field": name, "content": output.as_text(value)} for name, value in row.items()])
