"""The role `sink` as a process runs it: everything from settings."""

from sinks.writer import Sink
from streams.runtime.settings import Settings


def made(settings: Settings) -> Sink:
    """Return the sink that the settings describe."""
    return Sink(settings.kafka.client_args(), settings.clickhouse.dsn(), settings.instance_of("sink"), settings.clickhouse.database)


async def run(settings: Settings) -> None:
    """Run until cancelled or broken; raises what ended it."""
    await made(settings).run()
