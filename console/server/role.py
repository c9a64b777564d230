"""The role `console`: builds its parts, listens, and runs until it is cancelled.

It listens before anything else answers: a page that says "Kafka does not answer" is worth more than a connection refused.
"""

import asyncio
import contextlib
from ipaddress import ip_address

from aiohttp import web

from console import context as surroundings
from console.asking import Asker
from console.pipe import Pipe
from console.records import Records
from console.server import app
from console.server.audit import Audit
from console.server.census import Census
from console.server.context import Context
from console.server.following import Following
from console.server.jobs import Jobs
from console.server.limits import Limits
from console.server.sessions import Sessions
from console.server.tail import Tail
from console.sql import SqlDesk
from streams.runtime import health, logs, probes
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings

LOG = logs.get(__name__)
LINE_BYTES = 64 << 10  # of the request line: a filter with many values is long


def context_of(settings: Settings) -> Context:
    """Return the parts. BadSettings when no login is wanted on an address that others reach."""
    asker, clickhouse = Asker(settings.clickhouse), settings.clickhouse
    restricted = clickhouse.model_copy(update={"user": clickhouse.query_user, "password": clickhouse.query_password})
    following = Following(settings)
    return Context(
        settings=settings,
        asker=asker,
        audit=Audit(settings),
        records=Records(settings),
        pipe=Pipe(settings, asker, Records(settings)),
        desk=SqlDesk(asker, Asker(restricted) if clickhouse.query_user else asker, clickhouse.database),
        tail=Tail(settings),
        jobs=Jobs(),
        census=Census(asker, following),
        following=following,
        sessions=Sessions(settings.pii_secret(), is_secure=settings.console_url().startswith("https://")),
        limits=Limits(settings.console.requests_per_s, settings.console.logins_per_minute),
        local_user=local_user(settings),
    )


def local_user(settings: Settings) -> str:
    """Return who the person in front of the machine is, empty where everybody has to log in."""
    if settings.console.login != "local":
        return ""
    host = settings.console.host
    try:
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise BadSettings(
            f"CLICKTRAIL_CONSOLE__LOGIN=local lets everybody in who reaches the console, and {host} is no loopback address.",
            "Set CLICKTRAIL_CONSOLE__LOGIN=required, or CLICKTRAIL_CONSOLE__HOST=127.0.0.1.",
        )
    return surroundings.user()


async def run(settings: Settings, *, ready: asyncio.Event | None = None) -> None:
    """Run the console until cancelled. `ready` is set when it listens and has read the settings. OSError when a port is taken."""
    context = context_of(settings)
    checks: health.Checks = {
        "settings": lambda: health.Check(context.following.read.is_set(), f"version {context.following.version}"),
        "kafka": probes.watch_kafka(settings.kafka),
        "clickhouse": probes.watch_clickhouse(settings.clickhouse),
    }
    async with contextlib.AsyncExitStack() as down:
        down.push_async_callback(context.close)
        following = asyncio.create_task(context.following.follow())
        down.callback(following.cancel)
        runner = runner_of(app.made(context, health.routes(checks)))
        await runner.setup()
        down.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, settings.console.host, settings.console.port, reuse_address=True).start()
        pages = await health.serve(settings, "console", checks)
        down.push_async_callback(pages.cleanup)
        LOG.info("listening", address=settings.console_url(), login=settings.console.login)
        if ready is not None:
            await context.following.read.wait()
            ready.set()
        await following


def runner_of(made: web.Application) -> web.AppRunner:
    """Return what serves the application."""
    return web.AppRunner(
        made,
        access_log=None,
        handle_signals=False,
        handler_cancellation=True,  # who goes away ends the question
        max_line_size=LINE_BYTES,
        max_field_size=LINE_BYTES,
        shutdown_timeout=2.0,
    )
