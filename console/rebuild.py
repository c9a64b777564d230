"""All of ClickHouse anew, from the topics alone: into a database of its own, beside the one that is in use.

The sink that fills it is the product's sink, in a group of its own, from the first record on; it is resumed where it stopped. Nothing that is
in use is touched: when the new database has everything, the roles are pointed at it. The group of the sink in use stays where it is,
which is never further than the new database, and what it brings again is found present (`sinks/insertion.py`). That holds only if that
sink does not run past the end of the rebuild: so the comparison, and the word that it is complete, wait until it is stopped.
"""

# ruff: noqa: S608 - all that is pasted into SQL here are names of our own

import asyncio
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from console import lagging
from console.warehouse import Warehouse
from sinks.migrations import migrate
from sinks.tables import TABLES
from sinks.writer import GROUP, Sink
from streams.runtime import topics
from streams.runtime.errors import BadSettings
from streams.runtime.growth import members_of
from streams.runtime.settings import Settings
from streams.topology import DEAD_LETTERS, SINK

LOOK_S = 0.5
NAME = re.compile(r"[A-Za-z_]\w{0,60}")

Report = Callable[[str], None]


class Compared(NamedTuple):
    """A table in both databases. `missing` rows of the one in use are not, or not the same, in the rebuilt one."""

    table: str
    rows: int
    rebuilt: int
    missing: int


async def rebuild(settings: Settings, into: str, report: Report) -> list[Compared]:
    """Fill the database `into` up to the end of the topics as it is now, and compare. BadSettings says what stands in the way."""
    house = settings.clickhouse
    if not NAME.fullmatch(into) or into == house.database:
        raise BadSettings(f"{into!r} is no name for a new database.", "Letters, digits and _; another one than the one in use.")
    await asyncio.to_thread(migrate, house.dsn(), into, house.cluster)
    group = f"{GROUP}.{into}"
    sink = Sink(
        settings.kafka.client_args(), house.dsn(), f"{settings.instance_of('sink')}-{into}", into, group=group, cluster=house.cluster
    )
    running = asyncio.create_task(sink.run())
    try:
        await _until_there(settings, group, running, report)
    finally:
        await sink.stop()
        await running
    await _nobody_writes(settings)
    return await asyncio.to_thread(compared, settings, into)


async def _until_there(settings: Settings, group: str, running: "asyncio.Task[None]", report: Report) -> None:
    """Return when the group has read what the topics hold now; raises what ends the sink."""
    admin = await topics.connected(settings)
    try:
        counts = {state.topic.name: state.partitions for state in await topics.states(admin, settings)}
        ends = await lagging.end_offsets(settings, lagging.places(dict.fromkeys((*SINK.inputs, *DEAD_LETTERS)), counts))
        total, said = sum(ends.values()), -1
        while not running.done():
            done = await lagging.committed(admin, group.removeprefix(lagging.GROUP_PREFIX))
            left = sum(max(0, lagging.row("sink", place, done.get(place), end)["lag"]) for place, end in ends.items())
            if left == 0:
                return
            if (percent := 100 * (total - left) // max(1, total)) != said:
                said = percent
                report(f"{percent} % read, {left} offsets to go")
            await asyncio.wait({running}, timeout=LOOK_S)
        running.result()
    finally:
        await admin.close()


async def _nobody_writes(settings: Settings) -> None:
    admin = await topics.connected(settings)
    try:
        members = await members_of(admin, [SINK.name])
    finally:
        await admin.close()
    if members:
        raise BadSettings(
            "The new database has what the topics held, but a sink still writes to the old one.",
            "Stop the sinks (their session ends 10 s later) and run the same command again: it brings the rest, compares, and takes seconds.",
        )


def compared(settings: Settings, into: str) -> list[Compared]:
    """Return each table's rows in both databases: whole rows are compared, by a hash over all columns.

    Of a tuple, because a hash of several arguments is NULL as soon as one of them is, and NULL is never "not in".
    """
    house, asked = Warehouse(settings), []
    old, new = settings.clickhouse.database, into
    for table in TABLES:
        counts: dict[str, Any] = house.one(
            f"SELECT (SELECT count() FROM {old}.{table.name}) AS rows, (SELECT count() FROM {new}.{table.name}) AS rebuilt, "
            f"(SELECT count() FROM {old}.{table.name} WHERE cityHash64(tuple(*)) GLOBAL NOT IN (SELECT cityHash64(tuple(*)) FROM {new}.{table.name})) AS missing"
        ) or {}  # fmt: skip
        asked.append(Compared(table.name, counts["rows"], counts["rebuilt"], counts["missing"]))
    return asked
