"""/livez, /readyz and /metrics of a role, on metrics_port + n.

Two questions with two answers. *Alive*: the loop turns; a role that restores its state or waits through a rebalance is alive, and must
not be restarted for it. *Ready*: assigned, restored, its services reachable; a deployment goes on to the next worker only then. A health
page that says "restart me" while state is being restored turns a slow start into an endless one.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.runtime.metrics import gauge
from streams.runtime.role_ports import port_of
from streams.runtime.settings import Settings


class Check(NamedTuple):
    """The answer of one check: `text` says what is the case, in a few words."""

    is_ready: bool
    text: str


Checks = Mapping[str, Callable[[], Check | Awaitable[Check]]]


async def _asked(check: Callable[[], Check | Awaitable[Check]]) -> Check:
    found = check()
    return await found if isawaitable(found) else found


def routes(checks: Checks) -> list[web.RouteDef]:
    """Return the three routes, for a server of one's own; `serve` brings one.

    Checks are asked at each request, side by side: they are cheap, or remember their answer (probes.py).
    """

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(request: web.Request) -> web.Response:
        answers = dict(zip(checks, await asyncio.gather(*map(_asked, checks.values())), strict=True))
        status = 200 if all(answer.is_ready for answer in answers.values()) else 503
        if "verbose" not in request.query:
            return web.Response(text="ok\n" if status == 200 else "not ready\n", status=status)
        lines = [f"[{'+' if answer.is_ready else '-'}]{name} {answer.text}\n" for name, answer in answers.items()]
        return web.Response(text="".join(lines), status=status)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)]


def free_ratio(folder: Path) -> float:
    """Return the free part of the disk that the folder, or the nearest of its parents that is there, is on."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    disk = shutil.disk_usage(there)
    return disk.free / disk.total


async def serve(settings: Settings, role: str, checks: Checks) -> web.AppRunner:
    """Listen in the running loop; call `cleanup()` of what is returned at the end. OSError when the port is taken."""
    gauge("clicktrail_disk_free_ratio").labels(role).set_function(lambda: free_ratio(settings.data_dir))
    app = web.Application()
    app.add_routes(routes(checks))
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, settings.metrics_host, port_of(settings, role)).start()
    return runner
