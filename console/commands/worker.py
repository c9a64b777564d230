"""`clicktrail worker ROLE`: the process that production runs N times, and that `up` runs once per role."""

import asyncio
import contextlib
import importlib
import signal
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from console import context
from streams.runtime import logs
from streams.runtime.errors import BadSettings, near_match
from streams.runtime.settings import Settings

STAGE_ROLES = ("ledger", "attribution")
ROLES = ("ingest", *STAGE_ROLES, "sink")


def run(role: str, settings: Settings) -> int:
    """Run a role until it ends and return its exit code. Modules are imported here: a role loads only what is its own."""
    if role in STAGE_ROLES:
        from streams.runtime.roles import run_role

        run_role(role, settings)
        return 0
    import uvloop

    module = importlib.import_module("streams.ingest.role" if role == "ingest" else "sinks.role")
    return int(uvloop.run(until_signal(module.run(settings))))


async def until_signal(role: Coroutine[Any, Any, None]) -> int:
    """Run a role; SIGTERM and SIGINT cancel it, and it ends in its own order."""
    running, loop = asyncio.ensure_future(role), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return 0


def worker(role: Annotated[str, typer.Argument(help=f"One of {', '.join(ROLES)}.")]) -> None:
    """Run one role in this process until it is stopped."""
    if role not in ROLES:
        raise BadSettings(f"{role} is not a role.", near_match(role, list(ROLES)) or f"Roles: {', '.join(ROLES)}.")
    settings = context.load()
    logs.configure(role, settings.log_level, settings.log_format)
    sys.exit(run(role, settings))
