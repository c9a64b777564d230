"""Load on ingest: acknowledged requests per second and their latency, then bulk payloads per second.

    python -m bench.ingest_load                      broker, ingest (one process) and load on this machine, then all ended
    python -m bench.ingest_load --url http://host:8700/in/<source_id>   against an ingest that runs

The client is a bare asyncio protocol (one request under way per connection): an HTTP client library would cost more than the server that it
measures. On two cores the client, the broker and ingest share the machine; CPU seconds of ingest are printed, because they hardly depend
on who else runs.
"""

import argparse
import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]
import uvloop

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from streams.ingest import role
from streams.runtime import logs, topics
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Change, SettingsStore

PROPERTY = Change("property", "shop", {"id": "shop", "name": "Shop"})
SOURCE = Change("source", "bench", {"id": "bench", "name": "Bench", "kind": "postback", "property_id": "shop"})


class Sender(asyncio.Protocol):
    """One connection that sends its next request when the last was answered; with a pace, not before its time."""

    def __init__(self, target: str, host: str, until: float, pace_s: float) -> None:
        self._head = f"GET {target}?cid=".encode()
        self._tail = f"&txid=t%d&amount=12.50&currency=USD&status=approved HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._until = until
        self._pace_s = pace_s
        self._due = 0.0
        self.began = 0.0
        self.waits_s: list[float] = []
        self.statuses: dict[bytes, int] = {}
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._due = time.perf_counter()
        self._send()

    def _send(self) -> None:
        self.began = time.perf_counter()
        number = len(self.waits_s)
        self._transport.write(self._head + b"%x%x" % (id(self), number) + self._tail % number)

    def data_received(self, data: bytes) -> None:
        """Take the answer (they come whole: 300 bytes) and send the next."""
        now = time.perf_counter()
        self.waits_s.append(now - (self._due if self._pace_s else self.began))  # with a pace, waiting for one's turn counts
        status = data[9:12]
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if now >= self._until:
            self._transport.close()
            self.done.set_result(None)
            return
        self._due += self._pace_s
        wait_s = self._due - now if self._pace_s else 0.0
        if wait_s > 0:
            asyncio.get_running_loop().call_later(wait_s, self._send)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """End early when the server hangs up."""
        if not self.done.done():
            self.done.set_result(None)


async def single(url: str, seconds: float, connections: int, rate: float) -> None:
    """Send single requests and print what came of them."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    pace_s = connections / rate if rate else 0.0
    senders = []
    for _ in range(connections):
        sender = Sender(parts.path, parts.netloc, began + seconds, pace_s)
        await loop.create_connection(lambda made=sender: made, parts.hostname, parts.port)  # type: ignore[misc, arg-type]
        senders.append(sender)
    _, unanswered = await asyncio.wait({sender.done for sender in senders}, timeout=seconds + 20)
    took_s = time.perf_counter() - began
    waits = sorted(wait for sender in senders for wait in sender.waits_s)
    statuses: dict[str, int] = {}
    for sender in senders:
        for status, count in sender.statuses.items():
            statuses[status.decode()] = statuses.get(status.decode(), 0) + count
    at = {share: 1000 * waits[int(len(waits) * share)] for share in (0.5, 0.9, 0.99)}
    print(
        f"single  {statuses.get('202', 0) / took_s:9,.0f} acked/s  p50 {at[0.5]:.1f} ms  p90 {at[0.9]:.1f}  p99 {at[0.99]:.1f}  "
        f"max {1000 * waits[-1]:.0f}  {connections} connections  statuses {statuses}  unanswered {len(unanswered)}"
    )


async def bulk(url: str, uploads: int, lines: int) -> None:
    """Upload NDJSON in several requests, two at a time, and print payloads per second."""
    parts = urlsplit(url)
    body = b"".join(
        b'{"click_id":"c%d","transaction_id":"t%d","value":"12.50","currency":"USD","status":"approved"}\n' % (n, n) for n in range(lines)
    )
    request = (
        f"POST {parts.path}/bulk HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    )
    places = asyncio.Semaphore(2)

    async def upload() -> bytes:
        async with places:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(request + body)
            answer = await reader.read()
            writer.close()
            return answer

    began = time.perf_counter()
    answers = await asyncio.gather(*(upload() for _ in range(uploads)))
    took_s = time.perf_counter() - began
    accepted = sum(lines for answer in answers if b'"accepted":%d' % lines in answer)
    print(f"bulk    {accepted / took_s:9,.0f} payloads/s  {accepted:,} of {uploads * lines:,} accepted in {took_s:.1f} s")


def serve(settings: Settings, pipe: Connection) -> None:
    """Run ingest in a process of its own."""

    async def main() -> None:
        ready = asyncio.Event()
        running = asyncio.create_task(role.run(settings, ready=ready))
        await ready.wait()
        pipe.send("ready")
        await running

    logs.configure("ingest", "warning")
    uvloop.run(main())


@contextmanager
def everything() -> Iterator[tuple[str, int]]:
    """Start a broker and ingest in a temporary folder; yields the source's URL and the process id of ingest."""
    with tempfile.TemporaryDirectory() as folder, Kafka(Path(folder) / "kafka", port=free_port()) as kafka:
        settings = Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
                "ingest": {"port": free_port()},
                "data_dir": Path(folder),
                "pii_key": "bench",
                "metrics_port": free_port(),
            }
        )
        asyncio.run(_set_up(settings))
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(settings, theirs), daemon=True)
        process.start()
        try:
            assert ours.poll(30), "ingest did not start"
            assert process.pid
            yield f"{settings.ingest_url()}/in/bench", process.pid
        finally:
            process.kill()
            process.join()


async def _set_up(settings: Settings) -> None:
    await topics.create_missing(settings)
    feed = SettingsFeed(settings)
    await feed.start()
    await SettingsStore(settings, feed).apply([PROPERTY, SOURCE], "bench", "load")
    await feed.stop()


def measure(url: str, arguments: argparse.Namespace, pid: int | None) -> None:
    """Run both parts and print the CPU time of ingest beside them."""
    for part in (
        partial(single, url, arguments.seconds, arguments.connections, arguments.rate),
        partial(bulk, url, arguments.uploads, arguments.lines),
    ):
        before = psutil.Process(pid).cpu_times() if pid else None
        uvloop.run(part())
        if pid and before:
            after = psutil.Process(pid).cpu_times()
            spent = after.user + after.system - before.user - before.system
            print(f"        ingest: {spent:.1f} CPU-s, RSS {psutil.Process(pid).memory_info().rss >> 20} MiB")
    print(f"        client: {resource.getrusage(resource.RUSAGE_SELF).ru_utime:.1f} CPU-s; load average {psutil.getloadavg()[0]:.1f}")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="URL of a source; without it, everything is started here")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0, help="requests per second; 0: as fast as it goes")
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--lines", type=int, default=20_000, help="lines of each bulk upload")
    arguments = parser.parse_args()
    if arguments.url:
        measure(arguments.url, arguments, None)
        return
    with everything() as (url, pid):
        measure(url, arguments, pid)


if __name__ == "__main__":
    main()
