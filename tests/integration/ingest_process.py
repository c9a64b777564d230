"""Runs ingest as a process of its own, with settings from the environment, for tests that kill it."""

import asyncio
import sys

from streams.ingest import role
from streams.runtime import logs, settings


async def main() -> None:
    ready = asyncio.Event()
    running = asyncio.create_task(role.run(settings.load(), ready=ready))
    await asyncio.wait({running, asyncio.create_task(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if not running.done():
        print("ready", flush=True)
    await running


if __name__ == "__main__":
    logs.configure("ingest", "warning")
    sys.exit(asyncio.run(main()))
