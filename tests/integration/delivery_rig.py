"""What the tests of delivery share: destinations that behave in every way, requests as the ledger makes them, and the role as a process.

The broker is the test's own: topics and groups have the product's names.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from pathlib import Path

import orjson
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.ports import free_ports
from streams.runtime import topics
from streams.runtime.role_ports import ROLES, port_of
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Change, SettingsStore
from streams.topology import ATTEMPTS, POSTBACKS

ROOT = Path(__file__).parents[2]
PARTITIONS = 3
WORKERS = 2


class Receiver:
    """Destination servers on loopback: `/<behaviour>`; what came is in `calls` and `ids` (by behaviour, counted by idempotency key)."""

    def __init__(self):
        self.ids = defaultdict(Counter)
        self.calls = []
        self.statuses = defaultdict(lambda: 200)
        self.is_released = asyncio.Event()

    async def __aenter__(self):
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{behaviour}", self._answer)
        app.router.add_route("*", "/{behaviour}/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self.is_released.set()
        await self._runner.cleanup()

    async def _answer(self, request):
        behaviour = request.match_info["behaviour"]
        key = request.headers.get("Idempotency-Key") or request.headers.get("webhook-id") or ""
        self.ids[behaviour][key] += 1
        self.calls.append((behaviour, key, str(request.rel_url), dict(request.headers), await request.read()))
        return await getattr(self, f"_{behaviour}", self._fast)(request)

    async def _fast(self, request):
        return web.Response(text="OK", status=self.statuses[request.match_info["behaviour"]])

    async def _slow(self, request):
        await asyncio.sleep(0.3)
        return web.Response(text="OK")

    async def _hang(self, request):
        await self.is_released.wait()
        return web.Response(text="late")

    async def _token(self, request):
        """An OAuth token endpoint: a new access token for each call, and none for a refresh token that is not `good`."""
        form = await request.post()
        if form["refresh_token"] != "good" or form["grant_type"] != "refresh_token":
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": f"access-{self.ids['token'].total()}", "expires_in": 3600, "token_type": "Bearer"})

    async def _google(self, request):
        """Knows the newest access token only."""
        if request.headers["Authorization"] != f"Bearer access-{self.ids['token'].total()}" or request.headers["developer-token"] != "dev":
            return web.json_response({"error": {"code": 401, "message": "invalid credentials", "status": "UNAUTHENTICATED"}}, status=401)
        return web.json_response({"results": [{}]})

    async def _broken(self, request):
        return web.Response(status=500, text="boom")

    async def _busy(self, request):
        return (
            web.Response(status=429, headers={"Retry-After": "1"}, text="slow down")
            if self.ids["busy"].total() < 3
            else web.Response(text="OK")
        )

    async def _gone(self, request):
        return web.Response(status=410)

    async def _hidden(self, request):
        return web.Response(text='{"status": "error", "reason": "unknown goal"}')

    async def _redirect(self, request):
        return web.Response(status=302, headers={"Location": f"{self.url}/trap"})

    async def _closing(self, request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        request.transport.close()
        return response

    async def _huge(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000):
                await response.write(b"x" * 10_000)
        return response


class Delivery:
    """A broker, the workspace's destinations, and delivery workers that can be killed."""

    def __init__(self, broker, folder):
        self.folder = folder
        self.settings = Settings(
            kafka={"bootstrap_servers": broker.bootstrap_servers},
            data_dir=folder,
            partitions=PARTITIONS,
            pii_key="test",
            metrics_port=free_ports(WORKERS * len(ROLES))[0],
        )
        self.bootstrap = broker.bootstrap_servers
        self.processes = {}
        self.count = 0

    async def __aenter__(self):
        await topics.create_missing(self.settings)
        self.producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5, acks="all")
        await self.producer.start()
        self.feed = SettingsFeed(self.settings)
        await self.feed.start()
        return self

    async def __aexit__(self, *_):
        for process in self.processes.values():
            process.kill()
            process.wait()
        await self.feed.stop()
        await self.producer.stop()

    async def destinations(self, *values):
        """Save destinations; each with limits that suit a test."""
        changes = [Change("destination", value["id"], {"name": value["id"], **value}) for value in values]
        await SettingsStore(self.settings, self.feed).apply(changes, "test", "test")

    def start(self, name="0", **environment):
        log = (self.folder / f"delivery-{name}.log").open("ab")
        known = {
            "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap, "CLICKTRAIL_DATA_DIR": str(self.folder), "CLICKTRAIL_PARTITIONS": str(PARTITIONS),
            "CLICKTRAIL_PII_KEY": "test", "CLICKTRAIL_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8", "CLICKTRAIL_INSTANCE": f"delivery-{name}",
            "CLICKTRAIL_METRICS_PORT": str(self.settings.metrics_port + len(ROLES) * int(name)), "CLICKTRAIL_COMMIT_INTERVAL_MS": "100",
        }  # fmt: skip
        bare = {key: value for key, value in os.environ.items() if not key.startswith("CLICKTRAIL_")}
        self.environment = bare | known
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "console.cli", "worker", "delivery"], cwd=ROOT, stdout=log, stderr=log, env=bare | known | environment
        )

    def kill(self, name="0", number=signal.SIGKILL):
        process = self.processes.pop(name, None)
        if process is not None:
            process.send_signal(number)
            process.wait(30)

    async def ready(self, name="0", timeout_s=60):
        settings = self.settings.model_copy(update={"metrics_port": self.settings.metrics_port + len(ROLES) * int(name)})
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(urllib.error.URLError, OSError):
                await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port_of(settings, 'delivery')}/readyz", timeout=1)
                return
            assert time.monotonic() < deadline, (self.folder / f"delivery-{name}.log").read_text()[-3000:]
            await asyncio.sleep(0.1)

    def request(self, destination, number=None, **more):
        """A request as the ledger makes it."""
        if number is None:
            number, self.count = self.count, self.count + 1
        event_id = f"e1-{number % PARTITIONS}-{number}"
        return {
            "postback_id": f"{event_id}.{destination}.1", "kind": "conversion", "restates_event_id": None, "follows": None, "event_id": event_id,
            "revision": 1, "destination_id": destination, "integration_id": None, "click_id": f"clk{number}", "ct": "sale", "conversion_name": "Purchase",
            "value": "12.50", "currency": "USD", "transaction_id": f"T{number}", "campaign_id": "c1", "traffic_source_id": "ads", "account_id": "default",
            "property_id": "shop", "event_ms": int(time.time() * 1000), "settings_version": self.feed.version,
        } | more  # fmt: skip

    async def send(self, *requests):
        """Log requests, each on the partition of its event."""
        for request in requests:
            partition = int(request["event_id"].split("-")[1])
            await self.producer.send(POSTBACKS.name, orjson.dumps(request), request["event_id"].encode(), partition)
        await self.producer.flush()

    async def rows(self, topic=ATTEMPTS, partitions=PARTITIONS):
        """Every committed record of a topic, in order per partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, isolation_level="read_committed", fetch_max_wait_ms=50)
        await consumer.start()
        try:
            parts = [TopicPartition(topic.name, n) for n in range(partitions)]
            consumer.assign(parts)
            ends = await consumer.end_offsets(parts)
            for part in parts:
                consumer.seek(part, 0)
            found = []
            for part in parts:
                while await consumer.position(part) < ends[part]:
                    for batch in (await consumer.getmany(part, timeout_ms=500)).values():
                        found += [orjson.loads(record.value) for record in batch]
            return found
        finally:
            await consumer.stop()

    async def last(self):
        """Postback id -> its current row."""
        found = {}
        for row in await self.rows():
            before = found.get(row["postback_id"])
            if before is None or row["attempt"] >= before["attempt"]:
                found[row["postback_id"]] = row
        return found

    async def until(self, reached, timeout_s=120):
        """Wait until `reached(current rows)` is true, and return them."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = await self.last()
            if reached(found):
                return found
            states = Counter((row["destination_id"], row["state"]) for row in found.values())
            assert time.monotonic() < deadline, f"{states}; {self.tail()}"
            await asyncio.sleep(0.2)

    def tail(self):
        return "\n".join(log.read_text()[-1500:] for log in self.folder.glob("delivery-*.log"))


def all_in(state, count):
    return lambda rows: sum(row["state"] == state for row in rows.values()) >= count
