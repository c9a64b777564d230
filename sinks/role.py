"""The role `sink` as a process runs it: everything from settings."""

import asyncio

from sinks.superseding import Superseding
from sinks.writer import Sink
from streams.runtime import probes
from streams.runtime.outside import Outside
from streams.runtime.settings import Settings


def made(settings: Settings) -> Sink:
    """Return the sink that the settings describe."""
    house = settings.clickhouse
    outside = Outside(lambda: probes.answers(settings.kafka))
    return Sink(
        settings.kafka.client_args(), house.dsn(), settings.instance_of("sink"), house.database, cluster=house.cluster, outside=outside
    )


async def run(settings: Settings) -> None:
    """Run until cancelled or broken; raises what ended it."""
    superseding = asyncio.create_task(Superseding(settings.clickhouse.dsn(), settings.clickhouse.database).run())
    try:
        await made(settings).run()
    finally:
        superseding.cancel()
