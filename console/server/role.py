"""The role `console`: builds its parts, listens, and runs until it is cancelled.

It listens before anything else answers: a page that says "Kafka does not answer" is worth more than a connection refused.
"""

import asyncio
import contextlib
from ipaddress import ip_address

from aiohttp import web

from console import context as surroundings
from console.asking import Asker
from console.listing import Question
from console.server import app
from console.server.context import Context
from console.server.following import Following
from console.server.limits import Limits
from console.server.sessions import Sessions
from streams.runtime import health, logs
from streams.runtime.errors import BadSettings, ClicktrailError
from streams.runtime.settings import Settings

LOG = logs.get(__name__)
LOOK_S = 2.0
LINE_BYTES = 32 << 10  # of the request line: a filter with many values is long


class Reachable:
    """Whether ClickHouse answered when it was last asked; health pages must not wait for it."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self.check = health.Check(False, "not asked yet")

    async def watch(self) -> None:
        """Ask again and again until cancelled."""
        while True:
            try:
                await self._asker.rows(Question("SELECT 1", {}), LOOK_S)
                self.check = health.Check(True, "answers")
            except ClicktrailError as error:
                self.check = health.Check(False, error.what)
            await asyncio.sleep(LOOK_S)


def context_of(settings: Settings) -> Context:
    """Return the parts. BadSettings when no login is wanted on an address that others reach."""
    return Context(
        settings=settings,
        asker=Asker(settings.clickhouse),
        following=Following(settings),
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
    reachable = Reachable(context.asker)
    checks = {
        "settings": lambda: health.Check(context.following.read.is_set(), f"version {context.following.version}"),
        "clickhouse": lambda: reachable.check,
    }
    async with contextlib.AsyncExitStack() as down:
        down.push_async_callback(context.asker.close)
        tasks = [asyncio.create_task(context.following.follow()), asyncio.create_task(reachable.watch())]
        for task in tasks:
            down.callback(task.cancel)
        runner = web.AppRunner(
            app.made(context, health.routes(checks)),
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,  # who goes away ends the question
            max_line_size=LINE_BYTES,
            shutdown_timeout=2.0,
        )
        await runner.setup()
        down.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, settings.console.host, settings.console.port, reuse_address=True).start()
        pages = await health.serve(settings, "console", checks)
        down.push_async_callback(pages.cleanup)
        LOG.info("listening", address=settings.console_url(), login=settings.console.login)
        if ready is not None:
            await context.following.read.wait()
            ready.set()
        await asyncio.gather(*tasks)
