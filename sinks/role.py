"""The role `sink` as a process runs it: everything from settings."""

from typing import Any

from sinks.writer import Sink
from streams.runtime.settings import Settings


def made(settings: Settings, role: str = "sink") -> Sink:
    """Return the sink that the settings describe."""
    house = settings.clickhouse
    return Sink(settings.kafka.client_args(), address(house), settings.instance_of(role), house.database)


def address(house: Any) -> str:
    """Return ClickHouse's URL with user and password in it, as every function of `sinks` takes it."""
    scheme, _, rest = house.url.partition("://")
    password = house.password.get_secret_value()
    login = f"{house.user}:{password}@" if password or house.user != "default" else ""
    return f"{scheme}://{login}{rest}"


async def run(settings: Settings) -> None:
    """Run until cancelled or broken; raises what ended it."""
    sink = made(settings)
    try:
        await sink.run()
    finally:
        await sink.stop()
