"""`python -m bench console`: every page and filter of the console on 10 million events, as a browser and a program ask for them.

The real server over a real engine (embedded, in a process of its own), filled by the engine itself (`console_rows.py`); one reader, one request
at a time, because the question is how long a person waits. Kafka is not there: what is asked of it (lag, headers) is no part of this. A page
that cannot count within its patience sends the counter and the histogram later, in a request of its own; that one is measured, too ("numbers").
What it leaves out, because it reads every id there is: a search by an id's beginning (`e1-7-4*`) without a range, 2 CPU-seconds. Each request is made ROUNDS times after one that is not counted; every figure stands beside the load of all else, and beside the CPU time of the engine.
"""

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import clickhouse_connect
from aiohttp import web

from bench import console_rows
from bench.driver import keep
from bench.workload import CACHE
from console.server import app, role
from deploy.local.ports import free_ports
from sinks import migrations
from sinks.embedded import ClickHouse
from sinks.superseding import Superseding
from streams.runtime import health
from streams.runtime.settings import ClickHouseSettings, ConsoleSettings, KafkaSettings, Settings

DATABASE = "clicktrail"
SHARES = {"1m": 1.0, "200k": 0.2, "50k": 0.05}
ROUNDS = 12
ONE = "e1-7-400003"  # an event in the middle
NUMBERS = {"HX-Request": "true", "HX-Target": "numbers"}
FILTERS = (
    "", "status=error", "from=24h&status=error", "from=24h", "from=7d&status=discarded", "reason=duplicate", "source=source-3", "campaign=campaign-7",
    "type=webhook", "property=default-b", "view_status=failure&source=source-3", f"q={ONE}", "q=T-4800036", "q=no-such-id", "from=24h&q=e1-7-40000*", "conversion=Lead&match=click_id",
    "is_test=1", "from=2h",
)  # fmt: skip
PAGES = (
    "/", "/?from=7d", "/problems?from=24h", "/problems?from=7d", f"/events/{ONE}", "/integration-events", "/integration-events?view_status=failure", "/visits",
    "/visits?event_type=Conversions", "/visits?campaign=campaign-7", "/postbacks", "/postbacks?is_error=1", "/postbacks?destination=ads-3", "/activity",
    "/activity?author=ann", "/settings", "/sql", "/whatif",
)  # fmt: skip


def requests() -> list[tuple[str, str, dict[str, str]]]:
    """Return (name, path, headers) of all that is asked for."""
    made = [(f"page /events?{each}" if each else "page /events (first)", f"/events?{each}", dict[str, str]()) for each in FILTERS]
    made += [(f"numbers /events?{each}", f"/events?{each}", NUMBERS) for each in FILTERS]
    made += [(f"api /events?{each}", f"/api/v1/events?{each}", {}) for each in FILTERS]
    made += [(f"page {each}", each, {}) for each in PAGES]
    return [
        *made,
        *((f"numbers {each}", each, NUMBERS) for each in PAGES if each.startswith(("/integration", "/visits", "/postbacks", "/activity"))),
    ]


def measure(rounds: int = ROUNDS, size_name: str = "1m") -> None:
    """Fill an engine (once, it is kept in the cache) and ask."""
    folder = CACHE / f"console-{size_name}"
    port, console_port = free_ports(2)
    with ClickHouse(folder, port=port) as clickhouse:
        fill(clickhouse, SHARES[size_name])
        asyncio.run(superseded(clickhouse))
        results = asyncio.run(asked(clickhouse, console_port, max(rounds, 3), folder, SHARES[size_name]))
    for line in results:
        print(f"{line['p50_ms']:>8} {line['p95_ms']:>8}  cpu {line['cpu_ms']:>5}  load {line['load']:<5} {line['what']}")
    print(f"written to {keep('console', results)}")


def fill(clickhouse: ClickHouse, share: float) -> None:
    """Make tables and rows, unless they are there; the newest rows are then as old as the first run."""
    migrations.migrate(clickhouse.url, DATABASE)
    if share == 1.0:
        print(f"{console_rows.EVENTS:,} events: the first run fills the engine, which takes minutes", flush=True)
    client = clickhouse_connect.get_client(
        host=clickhouse.host, port=clickhouse.port, database=DATABASE, send_receive_timeout=3600, autogenerate_session_id=False
    )
    if not int(str(client.command("SELECT count() FROM event_revisions WHERE revision > 1"))):
        for statement in console_rows.statements(share):
            client.command(statement)
    client.close()


async def superseded(clickhouse: ClickHouse) -> None:
    """Do what the sink does beside its inserts."""
    superseding = Superseding(clickhouse.url, DATABASE)
    await superseding.look()
    await superseding.close()


async def asked(clickhouse: ClickHouse, port: int, rounds: int, folder: Path, share: float) -> list[dict[str, Any]]:
    """Ask each request `rounds` times."""
    results = []
    async with console(clickhouse, port, folder) as http:
        for what, path, headers in requests():
            times, before = [], 0.0
            for round_ in range(rounds + 1):
                before = before if round_ > 1 else cpu_ms(clickhouse.pid)
                began = time.perf_counter()
                async with http.get(path, headers=headers) as response:
                    body = await response.read()
                if response.status != 200:
                    print(f"{path}: {response.status} {body[:300]!r}", flush=True)
                times += [(time.perf_counter() - began) * 1000] if round_ else []
            results.append({
                "what": what, "p50_ms": round(statistics.median(times)), "p95_ms": round(sorted(times)[int(len(times) * 0.95) - 1]), "cpu_ms": round((cpu_ms(clickhouse.pid) - before) / rounds), "rounds": rounds, "status": response.status,
                "events": int(console_rows.EVENTS * share), "load": round(os.getloadavg()[0], 1), "date": datetime.now(UTC).isoformat(timespec="seconds"),
            })  # fmt: skip
            print(*results[-1].values(), flush=True)
    return results


def cpu_ms(pid: int | None) -> float:
    """Return what the engine has used until now: on a busy machine the time that a person waits says little about the question."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def console(clickhouse: ClickHouse, port: int, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Run the real server in this process, nobody needs to log in."""
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"), clickhouse=ClickHouseSettings(url=clickhouse.url, database=DATABASE),
        console=ConsoleSettings(port=port, login="local", requests_per_s=10_000), data_dir=folder, pii_key="bench",
    )  # fmt: skip
    context = role.context_of(settings)
    runner = web.AppRunner(app.made(context, health.routes({})), access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with aiohttp.ClientSession(settings.console_url()) as http:
            yield http
    finally:
        await runner.cleanup()
        await context.close()
