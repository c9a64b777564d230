"""A role's process: settings, log, patience until its topics are there, then the role until a signal.

Workers are patient because everything starts at once, in `up` as in a cluster: the seconds in which Python loads a role's modules are
those in which the broker starts. Starting a role before its topics exist is what must not happen: it consumed nothing for a minute, in
silence (measured); after a minute it is an error that says so, and the supervisor tries again.
"""

import asyncio
import contextlib
import importlib
import signal
from collections.abc import Coroutine
from typing import Any

from console import context
from streams.runtime import logs, topics, tracing
from streams.runtime.errors import BadSettings, near_match
from streams.runtime.settings import Settings

MODULES = {
    "ingest": "streams.ingest.role",
    "ledger": "streams.runtime.roles",
    "attribution": "streams.runtime.roles",
    "delivery": "streams.delivery.role",
    "sink": "sinks.role",
    "console": "console.server.role",
}
ROLES = tuple(MODULES)


def start(role: str) -> int:
    """Run a role until it ends and return its exit code. BadSettings for an unknown one."""
    if role not in MODULES:
        raise BadSettings(f"{role} is not a role.", near_match(role, list(ROLES)) or f"Roles: {', '.join(ROLES)}.")
    settings = context.load()
    logs.configure(role, settings.log_level, settings.log_format)
    tracing.configure(role, settings)
    module = importlib.import_module(MODULES[role])  # loads while the broker may still be starting
    if role != "ingest":  # that one starts without Kafka: what it takes until then waits on its disk
        asyncio.run(topics.until_there(settings))
    if hasattr(module, "run_role"):  # a role of stages brings its own loop
        module.run_role(role, settings)
        return 0
    import uvloop

    work = run_sink(settings) if role == "sink" else module.run(settings)
    uvloop.run(until_signal(work))
    return 0


async def until_signal(role: Coroutine[Any, Any, None]) -> None:
    """Run a role; SIGTERM and SIGINT cancel it, and it ends in its own order."""
    running, loop = asyncio.ensure_future(role), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def run_sink(settings: Settings) -> None:
    """Run the sink with its health pages; it ends in order when it is cancelled."""
    from sinks.role import made
    from streams.runtime import health, probes

    sink = made(settings)
    checks: health.Checks = {
        "kafka": probes.watch_kafka(settings.kafka),
        "partitions": lambda: health.Check(sink.is_ready, "assigned" if sink.is_ready else "joining"),
        "clickhouse": probes.watch_clickhouse(settings.clickhouse),
    }
    pages = await health.serve(settings, "sink", checks)
    try:
        await sink.run()
    finally:
        await sink.stop()
        await pages.cleanup()
