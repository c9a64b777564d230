"""`python -m bench latency`: from ingest's answer to the row in SQL, at a steady 1,000 payloads a second over real HTTP.

Everything runs as in `clicktrail up`, in a folder and on ports of its own. Half of the payloads are decided at once (status, name), the
others ask attribution first, as in the reference workload. For each payload the clock starts when its answer (202, with the event id) has
been read, and stops when a `SELECT` that was sent afterwards has returned its id. The poller asks every POLL_S for the newest rows: so
each figure includes up to one poll, and what a poll itself takes. Nothing is read from timestamps inside the rows.

The first WARM_S seconds are sent at the same rate and not counted: until then a fresh broker's JVM compiles, at half a core of two.
"""

import asyncio
import datetime as dt
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import aiohttp
import orjson
import psutil

from bench import product, workload
from bench.driver import cpu_of, keep, machine_cpu, tree
from deploy.local.ports import free_ports
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import SettingsStore

RATE = 1_000
SECONDS = 30
WARM_S = 20
CONNECTIONS = 20
POLL_S = 0.05
RECENT_S = 3  # how far back a poll looks; what is later than that is found at the end, and counts with the time of then
READY_S = 90
PATIENCE_S = 20  # after the last answer
QUERY = "SELECT event_id FROM clicktrail.event_revisions WHERE received_at > now64(3) - %d SETTINGS max_threads = 1 FORMAT TSV"
TARGET = {"p50_ms": 400, "p99_ms": 1_000}


def measure(rounds: int = 1, size_name: str = "50k") -> list[dict[str, Any]]:  # noqa: ARG001  every bench takes the same arguments
    """Start everything, send, poll, print."""
    results = []
    for _ in range(rounds):
        with everything() as (settings, pid):
            results.append(asyncio.run(_run(settings, pid)))
        print(results[-1], flush=True)
    print(f"written to {keep('latency', results)}")
    return results


@contextmanager
def everything() -> Iterator[tuple[Settings, int]]:
    """`clicktrail up` in a folder of its own; ended with all it started."""
    workload.CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="up-", dir=workload.CACHE))
    port = free_ports(16)[0]
    environment = {
        "CLICKTRAIL_DATA_DIR": str(folder), "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": "", "CLICKTRAIL_CLICKHOUSE__URL": "", "SEED": "0",
        "CLICKTRAIL_INGEST__PORT": str(port + 2), "CLICKTRAIL_CONSOLE__PORT": str(port + 3), "CLICKTRAIL_METRICS_PORT": str(port + 4),
    }  # fmt: skip
    command = [sys.executable, "-m", "console.cli", "up", "--kafka-port", str(port), "--clickhouse-port", str(port + 1)]
    with (folder / "bench.log").open("w") as log:
        up = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        _await_ready(up, folder)
        settings = Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": f"127.0.0.1:{port}"},
                "clickhouse": {"url": f"http://127.0.0.1:{port + 1}"},
                "ingest": {"port": port + 2},
                "data_dir": folder,
            }
        )
        yield settings, up.pid
    finally:
        up.send_signal(signal.SIGTERM)
        try:
            up.wait(30)
        except subprocess.TimeoutExpired:
            up.kill()  # its children die with it
        shutil.rmtree(folder, ignore_errors=True)


def _await_ready(up: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            if json.loads((folder / "up.json").read_text()).get("state") == "running":
                return
        except (OSError, ValueError):
            pass
        if up.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"`clicktrail up` did not get ready:\n{(folder / 'bench.log').read_text()[-2000:]}")
        time.sleep(0.2)


class Clock:
    """When each event was answered, and when it was first seen in SQL."""

    def __init__(self, counts_from: float) -> None:
        """`counts_from`: monotonic seconds."""
        self.counts_from = counts_from
        self.answered: dict[str, float] = {}
        self.seen: dict[str, float] = {}
        self.refused = 0
        self.poll_s: list[float] = []

    def is_complete(self) -> bool:
        """Say whether every answered event was seen."""
        return self.answered.keys() <= self.seen.keys()

    def waits_ms(self) -> list[float]:
        """Sorted; an event that was seen before its answer was read counts as 0."""
        return sorted(max(0.0, self.seen[event] - at) * 1000 for event, at in self.answered.items() if event in self.seen)


async def _run(settings: Settings, up_pid: int) -> dict[str, Any]:
    feed = SettingsFeed(settings)
    await feed.start()
    await SettingsStore(settings, feed).apply(product.CHANGES, "bench", "latency")
    await feed.stop()
    await asyncio.sleep(2)  # ingest follows the settings
    clock = Clock(time.monotonic() + WARM_S)
    count = RATE * (WARM_S + SECONDS)
    rows = workload.conversions(count, 20_000)
    async with aiohttp.ClientSession() as session:
        polling = asyncio.create_task(_poll(session, settings.clickhouse.url, clock))
        shares = [[orjson.dumps(row) for row in islice(rows, count // CONNECTIONS)] for _ in range(CONNECTIONS)]
        sending = asyncio.gather(*(_send(settings.ingest.port, share, number, clock) for number, share in enumerate(shares)))
        await asyncio.sleep(clock.counts_from - time.monotonic())
        before = Usage.of(up_pid, settings.data_dir)
        await sending
        used = Usage.of(up_pid, settings.data_dir).since(before)
        await asyncio.sleep(RECENT_S)
        polling.cancel()
        deadline = time.monotonic() + PATIENCE_S
        while not clock.is_complete() and time.monotonic() < deadline:
            await _look(session, settings.clickhouse.url, clock, 3_600)
            await asyncio.sleep(0.1)  # the rows come from another process
    return _result(clock, used)


class Usage(NamedTuple):
    """Seconds so far: on the clock, and of CPU by process, of all of the product, of the machine."""

    at: float
    by_name: dict[str, float]
    own: float
    machine: float

    @classmethod
    def of(cls, up_pid: int, folder: Path) -> Self:
        """Read them."""
        processes = json.loads((folder / "up.json").read_text())["processes"]
        by_name = {name: cpu_of(tree(process["pid"])) for name, process in processes.items()}
        return cls(time.monotonic(), by_name | {"client": cpu_of([psutil.Process()])}, cpu_of(tree(up_pid)), machine_cpu())

    def since(self, before: "Usage") -> "Usage":
        """What was used in between."""
        by_name = {name: seconds - before.by_name.get(name, 0.0) for name, seconds in self.by_name.items()}
        return Usage(self.at - before.at, by_name, self.own - before.own, self.machine - before.machine)


async def _send(port: int, bodies: list[bytes], number: int, clock: Clock) -> None:
    """Send on one connection at its share of the rate; behind schedule, it does not wait."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /in/{product.SOURCE} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "
    pace_s = CONNECTIONS / RATE
    due = time.monotonic() + pace_s * number / CONNECTIONS
    for body in bodies:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due += pace_s
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        content = orjson.loads(await reader.readexactly(length))
        now = time.monotonic()
        if event_id := content.get("event_id"):
            if now >= clock.counts_from:
                clock.answered[event_id] = now
        else:
            clock.refused += 1
    writer.close()


async def _poll(session: aiohttp.ClientSession, url: str, clock: Clock) -> None:
    while True:
        took_s = await _look(session, url, clock, RECENT_S)
        clock.poll_s.append(took_s)
        await asyncio.sleep(max(0.0, POLL_S - took_s))


async def _look(session: aiohttp.ClientSession, url: str, clock: Clock, recent_s: int) -> float:
    began = time.monotonic()
    async with session.post(url, data=QUERY % recent_s) as answer:
        text = await answer.text()
        if answer.status != 200:
            raise RuntimeError(f"ClickHouse: {text[:500]}")
    now = time.monotonic()
    for event_id in text.split():
        clock.seen.setdefault(event_id, now)
    return now - began


def _result(clock: Clock, used: Usage) -> dict[str, Any]:
    waits = clock.waits_ms()
    if not waits:
        return {"name": "latency", "check": f"WRONG: {len(clock.answered)} answered, none seen"}
    at = {f"p{share:g}_ms": round(waits[min(len(waits) - 1, int(len(waits) * share / 100))]) for share in (50, 90, 99, 99.9)}
    is_ok = len(waits) == len(clock.answered) and not clock.refused
    return {
        "name": "answer -> row in SQL", "check": "ok" if is_ok else f"WRONG: {len(clock.answered) - len(waits)} not seen, {clock.refused} refused",
        **at, "max_ms": round(waits[-1]), "rate": round(len(clock.answered) / used.at), "target": TARGET, "poll_every_ms": POLL_S * 1000,
        "poll_took_ms": round(statistics.median(clock.poll_s) * 1000), "cores": {name: round(seconds / used.at, 2) for name, seconds in used.by_name.items()},
        "others_cpu_share": round((used.machine - used.own) / used.at / (psutil.cpu_count() or 1), 2),  # with the client in it
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


if __name__ == "__main__":
    measure()
