"""The role `ingest`: builds its parts, runs until it is cancelled, and takes them down in the order in which nothing is lost.

Down: stop listening, let the requests under way be answered (their records go to the broker or the spool), then let go of the broker.
With the broker away at the start it does not wait: it goes by the settings of its last run (snapshot.py) and spools. An ingest that has never
read any cannot say what a payload is for: it answers 503 until the broker is there.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from aiokafka.errors import KafkaError

from streams.ingest import country, metrics, server
from streams.ingest.context import Context
from streams.ingest.device import device_of
from streams.ingest.doors import Doors, Networks
from streams.ingest.intake import Intake
from streams.ingest.limits import Meter
from streams.ingest.producer import Producer
from streams.ingest.routes import Routes
from streams.ingest.snapshot import Snapshot
from streams.ingest.spool import Spool
from streams.parse import Parser
from streams.runtime import health, logs, probes, topics
from streams.runtime.errors import BadSettings, Unavailable
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.workspace import Workspace

RETRY_S = 0.5
KEEP_S = 0.5  # so long a change of settings may be younger than the disk's
LOG = logs.get(__name__)


async def run(settings: Settings, *, ready: asyncio.Event | None = None) -> None:
    """Run ingest until cancelled. `ready` is set when it listens, has its settings and would take a payload.

    BadSettings when the spool is taken; OSError when a port is; anything unexpected ends the role, its supervisor starts it again.
    """
    device_of("Mozilla/5.0")  # reads its database (0.1 s) before the first visitor waits for it
    spool = Spool(settings.ingest.spool_dir or settings.data_dir / "spool", settings.ingest.spool_max_bytes)
    spool.open()
    snapshot = Snapshot(spool.folder, settings.kafka)
    metrics.SPOOL_BYTES.set(spool.waiting_bytes)
    intake = Intake(Producer(settings.kafka.client_args(), settings.partitions), spool)
    doors = Doors()
    context = _context(settings, intake, doors)
    async with contextlib.AsyncExitStack() as down:
        down.callback(spool.close)
        down.push_async_callback(intake.close)
        following = asyncio.create_task(_follow(settings, doors, snapshot))
        down.callback(following.cancel)
        await intake.start()
        runner = await server.serve(Routes(context), settings.ingest.host, settings.ingest.port)
        down.push_async_callback(runner.cleanup)
        pages = await health.serve(settings, "ingest", _checks(intake, doors))
        down.push_async_callback(pages.cleanup)
        LOG.info("listening", address=settings.ingest_url())
        ends: set[asyncio.Future[Any]] = {intake.broken, following}
        opened = asyncio.create_task(doors.opened.wait())
        down.callback(opened.cancel)
        await asyncio.wait({opened, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if ready is not None:
            ready.set()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            if end.done():
                end.result()


def _context(settings: Settings, intake: Intake, doors: Doors) -> Context:
    return Context(
        intake=intake,
        doors=doors,
        parser=Parser(doors.workspace, settings.pii_secret(), settings.kafka.epoch),
        meter=Meter(settings.ingest.max_in_flight_requests, settings.ingest.max_in_flight_bytes),
        max_payload_bytes=settings.ingest.max_payload_bytes,
        epoch=settings.kafka.epoch,
        partitions=settings.partitions,
        inspect_url=settings.console_url(),
        pii_key=settings.pii_secret(),
        trusted_proxies=_networks(settings.ingest.trusted_proxies),
        country_of=country.opened(settings.ingest.geoip_database),
    )


def _networks(text: str) -> Networks:
    """Read the setting. BadSettings names the part that is no network."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ip_network(part))
        except ValueError as error:
            raise BadSettings(f"CLICKTRAIL_INGEST__TRUSTED_PROXIES: {part!r} is no network.", "One looks like 10.0.0.0/8.") from error
    return tuple(found)


async def _follow(settings: Settings, doors: Doors, snapshot: Snapshot) -> None:
    """Keep the workspace up to date, here and on disk; while the broker is away the settings as they were stay in force."""
    while True:
        if not doors.opened.is_set() and await probes.kafka(settings.kafka) != probes.ANSWERS and (known := snapshot.read()) is not None:
            doors.open(known, is_remembered=True)
            LOG.warning("settings_of_the_last_run", version=known.version)
        workspace = Workspace()  # a feed reads from the beginning, and a workspace's versions never fall
        feed = SettingsFeed(settings, workspace)
        try:
            await topics.until_there(settings, is_endless=True)
            await feed.start()
            doors.open(workspace)
            LOG.info("settings_read", version=workspace.version)
            await _kept(feed, snapshot)
        except (Unavailable, KafkaError) as error:
            LOG.warning("settings_away", error=str(error))
            await asyncio.sleep(RETRY_S)
        finally:
            await feed.stop()


async def _kept(feed: SettingsFeed, snapshot: Snapshot) -> None:
    """Keep the settings on disk when they have changed, until the feed ends; raises what ended it."""
    assert feed.following is not None
    while not feed.following.done():
        if feed.version != snapshot.kept:
            await asyncio.to_thread(snapshot.write, feed.version, dict(feed.entities))
        await asyncio.wait({feed.following}, timeout=KEEP_S)
    feed.following.result()


def _checks(intake: Intake, doors: Doors) -> Mapping[str, Any]:
    def broker() -> health.Check:
        return health.Check(intake.is_open, "spooling" if intake.is_spooling else "direct")

    def settings_read() -> health.Check:
        return health.Check(doors.opened.is_set(), f"version {doors.version}{', of the last run' if doors.is_remembered else ''}")

    return {"broker": broker, "settings": settings_read}
