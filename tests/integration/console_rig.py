"""What the console's tests share: the real server in this process, on a port of its own, over a real engine (and a broker where one is asked
for), with a workspace that has a user of each role.
"""

import asyncio
import contextlib

import aiohttp
from aiohttp import web

from console import people
from console.server import app, role
from deploy.local.ports import free_port
from schemas.permissions import ROLES
from sinks import migrations
from sinks.store import Store
from streams.runtime import health
from streams.runtime.settings import ClickHouseSettings, ConsoleSettings, KafkaSettings, Settings
from streams.runtime.settings_store import Change
from streams.stage import Record

AT = 1_790_000_000_000


class Console:
    """The console under test. `tokens` has one per role; `entities` are put into its workspace directly where there is no broker."""

    def __init__(self, clickhouse, name, folder, *, login="required", bootstrap="127.0.0.1:1", **console):
        self.name, self.clickhouse = name, clickhouse
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=bootstrap),
            clickhouse=ClickHouseSettings(url=clickhouse.url, database=name),
            console=ConsoleSettings(
                **{"port": free_port(), "login": login, "requests_per_s": 10_000, "logins_per_minute": 10_000} | console
            ),
            data_dir=folder,
            pii_key="test",
        )
        self.context = role.context_of(self.settings)
        self.tokens = {}
        self.url = self.settings.console_url()

    async def __aenter__(self):
        await asyncio.to_thread(migrations.migrate, self.clickhouse.url, self.name)
        self._runner = web.AppRunner(
            app.made(self.context, health.routes({})), access_log=None, handler_cancellation=True, shutdown_timeout=1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.settings.console.port).start()
        self.http = aiohttp.ClientSession(self.url, cookie_jar=aiohttp.CookieJar(unsafe=True))
        return self

    async def __aexit__(self, *_):
        await self.http.close()
        await self._runner.cleanup()
        await self.context.close()

    def settle(self, *changes):
        """Put entities into the workspace without a broker."""
        for change in changes:
            self.context.following.entities[change.entity, change.entity_id] = change.value
        self.context.following._tokens = (-2, {})

    def with_people(self, **accounts):
        """A user of each role with a token; `accounts` gives a role's user a limit."""
        for name in ROLES:
            value = {"id": name, "name": name.title(), "email": f"{name}@x.example", "role": name, "account_ids": accounts.get(name, [])}
            self.settle(Change("user", name, value))
            self.tokens[name], changes = people.minted(self.context.following.entities, name, f"{name}-token")
            self.settle(*changes)
        return self

    async def put(self, feed, values, first=0):
        """Rows into ClickHouse, as the sink writes them."""
        store = Store(self.clickhouse.url, self.name)
        await store.insert(feed, [Record(feed.topic, 0, first + n, AT + n, None, value) for n, value in enumerate(values)])
        await store.close()

    @contextlib.asynccontextmanager
    async def asked(self, path, who="owner", method="GET", **kwargs):
        headers = kwargs.pop("headers", {})
        if who:
            headers = {"Authorization": f"Bearer {self.tokens.get(who, who)}"} | headers
        async with self.http.request(method, path, headers=headers, **kwargs) as response:
            yield response

    async def get(self, path, who="owner", status=200, **kwargs):
        async with self.asked(path, who, **kwargs) as response:
            assert response.status == status, f"{path}: {response.status} {await response.text()}"
            return await response.json()
