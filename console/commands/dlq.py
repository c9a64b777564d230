"""`clicktrail dlq`: the records that no stage could process, read from Kafka where their bytes are kept."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from console import context, output
from streams.runtime.errors import BadSettings, NotFound
from streams.runtime.settings import Settings
from streams.topology import DEAD_LETTERS

Place = tuple[str, int]  # topic, partition


async def ends_of(settings: Settings) -> dict[Place, int]:
    """Return where each partition of the dead letters ends."""
    from console.lagging import end_offsets, places
    from streams.runtime import topics

    admin = await topics.connected(settings)
    try:
        counts = {state.topic.name: state.partitions for state in await topics.states(admin, settings)}
    finally:
        await admin.close()
    return await end_offsets(settings, places(DEAD_LETTERS, counts))


async def newest(settings: Settings, limit: int) -> list[dict[str, Any]]:
    """Return up to `limit` dead letters of each partition, the newest ones."""
    ends = await ends_of(settings)
    return await read(settings, {place: (max(0, end - limit), end) for place, end in ends.items() if end})


async def exact(settings: Settings, place: Place, offset: int) -> list[dict[str, Any]]:
    """Return the dead letter at these coordinates, or nothing."""
    is_there = offset < (await ends_of(settings)).get(place, 0)
    return await read(settings, {place: (offset, offset + 1)}) if is_there else []


async def read(settings: Settings, spans: dict[Place, tuple[int, int]]) -> list[dict[str, Any]]:
    """Return the records from the first offset up to, without, the second one, of each partition."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    if not spans:
        return []
    consumer = AIOKafkaConsumer(**settings.kafka.client_args(), group_id=None, enable_auto_commit=False, isolation_level="read_committed")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(*place) for place in spans])
        for place, (first, _) in spans.items():
            consumer.seek(TopicPartition(*place), first)
        return await _until(consumer, {TopicPartition(*place): end for place, (_, end) in spans.items()})
    finally:
        await consumer.stop()


async def _until(consumer: Any, ends: dict[Any, int]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while ends:
        fetched = await consumer.getmany(timeout_ms=200)
        found += [described(record) for place, records in fetched.items() for record in records if record.offset < ends.get(place, 0)]
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
    rows = asyncio.run(newest(context.load(), limit))
    for row in rows:
        row.pop("value")
    output.show(sorted(rows, key=lambda row: row["at"]), as_json, empty="No dead letters.")
    output.finding(bool(rows))


def show(
    dead_letter: Annotated[str, typer.Argument(metavar="ID", help="dlq.<topic>/<partition>/<offset>, from `dlq ls`.")],
    as_json: output.AsJson = False,
) -> None:
    """Show a dead letter with its bytes and why it is one."""
    settings, hint = context.load(), "`clicktrail dlq ls` lists them."
    topic, _, coordinates = dead_letter.partition("/")
    partition, _, offset = coordinates.partition("/")
    if topic not in {found.name for found in DEAD_LETTERS} or not (partition.isdigit() and offset.isdigit()):
        raise BadSettings(f"{dead_letter} is no id of a dead letter.", hint)
    rows = asyncio.run(exact(settings, (topic, int(partition)), int(offset)))
    if not rows:
        raise NotFound(f"There is no dead letter {dead_letter}.", hint)
    (row,) = rows
    row["value"] = _as_text(row["value"])
    if as_json:
        output.show_json(row)
    else:
        output.show_table([{"field": name, "content": output.as_text(value)} for name, value in row.items()])
