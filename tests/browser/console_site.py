"""What the tests of the console's pages share: the real console, sink and broker, and a story in the log that has a row of every kind.

The story is judged by the real stages on lists (`streams/runtime/memory.py`), and the log that they leave, payloads and visits included, is
written to the broker as it is: every offset is where the rows say it is, so headers, mapping tester and what-if find what they look for.
Some of its senders are hostile: their texts are markup that would set `window.pwned`.
"""

import asyncio
import contextlib
import time
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer
from playwright.async_api import expect

from console import people
from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from schemas.event import CONTENT_TYPE, METHOD
from schemas.permissions import ROLES
from sinks.role import made as sink_of
from streams.identifiers import keys
from streams.runtime import topics
from streams.runtime.memory import Memory
from streams.runtime.settings_store import Change
from streams.topology import ATTEMPTS, EVENTS, PAYLOADS, POSTBACKS, VISITS
from streams.workspace import Workspace
from tests.integration.console_rig import Console

SCREENSHOTS = Path(".cache") / "screenshots"
EVIL = "<img src=x onerror=window.pwned=1>"
SCRIPT = '"><script>window.pwned=1</script>'
MINUTE_MS = 60_000
PARTITIONS = 12
JSON, GET = {CONTENT_TYPE: "application/json"}, {METHOD: "GET"}
expect.set_options(timeout=20_000)


def workspace():
    """A shop with a network, a web shop and a member programme, as changes."""
    return [
        Change("property", "shop", {"id": "shop", "name": f"Shop {EVIL}", "attribution": {"window_days": 30, "ip_matching": True}}),
        Change("property", "blog", {"id": "blog", "name": "Blog"}),
        Change("destination", "ads", {"id": "ads", "name": "Ads", "url": "https://ads.example/pb?id={click_id}&v={payout}"}),
        Change("traffic_source", "social", {"id": "social", "name": "Social"}),
        Change("lander", "page", {"id": "page", "name": "Page", "url": "https://shop.example/"}),
        Change("offer", "trial", {"id": "trial", "name": "Trial", "url": "https://shop.example/trial"}),
        Change("flow", "spring", {"id": "spring", "name": "Spring", "paths": [{"lander_id": "page", "offer_id": "trial"}]}),
        Change("campaign", "sale", {"id": "sale", "name": "Sale", "property_id": "shop", "traffic_source_id": "social", "flow_id": "spring"}),
        Change("source", "net", {"id": "net", "name": "Network", "kind": "postback", "property_id": "shop",
                                 "mapping": {"click_id": ["sub5"], "transaction_id": ["txid"], "value": ["payout"]}}),
        Change("source", "web", {"id": "web", "name": "Web shop", "kind": "webhook", "property_id": "shop",
                                 "mapping": {"transaction_id": ["id"], "event": ["=Purchase"], "value": ["total"], "email": ["email"], "default_status": "approved"}}),
        Change("source", "members", {"id": "members", "name": "Members", "kind": "referral", "property_id": "shop",
                                     "mapping": {"click_id": ["member"], "default_status": "approved"}}),
    ]  # fmt: skip


def story(now_ms):
    """(the topology on lists after the story, the ids of its payloads by name)."""
    made = Workspace()
    for change in workspace():
        made.apply(made.version + 1, change.entity, change.entity_id, change.value)
    memory, ids = Memory(made, partitions=PARTITIONS, pii_key=b"test"), {}
    clicked = now_ms - 40 * MINUTE_MS

    def visit(click_id, at=clicked, kind="click", **more):
        identifiers = [("email", key) for key in keys("email", more.pop("email"), b"test", False)] if "email" in more else []
        memory.visit({
            "visit_id": f"v-{click_id}-{kind}-{at}", "kind": kind, "account_id": "default", "property_id": "shop", "click_id": click_id, "occurred_ms": at,
            "received_ms": at, "identifiers": identifiers, "campaign_id": "sale", "traffic_source_id": "social", "lander_id": "page", "offer_id": "trial",
            "parameters": {"utm_source": "social"}, "device_type": "mobile", "browser": "Firefox", "os": "Android", "is_bot": False, "user_agent": "Mozilla/5.0",
            "language": "de-DE", "ip": "203.0.113.7", "country": "DE", "referrer": None, "url": "https://shop.example/",
        } | more)  # fmt: skip

    def payload(name, source, value, headers, minutes_ago):
        record = memory.payload(source, value, received_ms=now_ms - round(minutes_ago * MINUTE_MS), headers=headers)
        ids[name] = f"e1-{record.partition}-{record.offset}"
        memory.run()

    visit("ann", email="ann@customers.example")
    visit("ann", clicked + MINUTE_MS, "lander_click")
    visit(
        "bob",
        parameters={"utm": EVIL},
        url=f"https://shop.example/?q={SCRIPT}",
        user_agent=EVIL,
        referrer=f"https://x.example/{EVIL}",
        browser=EVIL,
    )
    visit(EVIL)
    memory.run()
    payload("ok", "net", b"sub5=ann&txid=N-1&payout=49.90&status=approved", GET, 30)
    payload("duplicate", "net", b"sub5=ann&txid=N-1&payout=49.90&status=approved", GET, 29)
    payload(
        "email", "web", orjson.dumps({"id": "W-1", "total": 79, "email": "ann@customers.example", "customer": {"name": "Ann"}}), JSON, 28
    )
    payload("pending", "net", b"sub5=ann&txid=N-2&payout=20&status=pending", GET, 27)
    payload("no_click", "net", b"txid=N-3&payout=20&status=approved", GET, 26)
    payload("unknown", "net", b"sub5=typo&txid=N-4&payout=20&status=approved", GET, 25)
    payload("refid", "web", orjson.dumps({"id": "W-2", "total": 5, "email": "nobody@customers.example"}), JSON, 24)
    payload("member", "members", b"member=nobody&status=approved", GET, 23)
    payload("broken", "web", b'{"id": "W-3", "tot', JSON, 22)
    evil = {"id": SCRIPT, "total": 3, "event": EVIL, "note": EVIL, EVIL: SCRIPT, "deep": {EVIL: [EVIL, {"x": SCRIPT}]}}
    payload("evil", "web", orjson.dumps(evil), JSON, 21)
    payload(
        "evil_click",
        "net",
        b"sub5=%3Cimg+src%3Dx+onerror%3Dwindow.pwned%3D1%3E&txid=%22%3E%3Cscript%3Ewindow.pwned%3D1%3C%2Fscript%3E&payout=1&status=approved",
        GET,
        20,
    )
    payload("evil_status", "net", b"sub5=ann&txid=N-9&payout=1&status=%3Cimg+src%3Dx+onerror%3Dwindow.pwned%3D1%3E", GET, 19)
    return memory, ids


def attempt(event_id, now_ms, **changes):
    """A record of attempts.v1."""
    known = {
        "postback_id": f"{event_id}.ads.1", "attempt": 1, "account_id": "default", "property_id": "shop", "event_id": event_id, "click_id": "ann",
        "destination_id": "ads", "integration_id": None, "postback_ms": now_ms - 20 * MINUTE_MS, "sent_ms": now_ms - 20 * MINUTE_MS, "duration_ms": 12,
        "is_error": 0, "error_message": None, "status_code": 200, "postback_url": "https://ads.example/pb?id=ann&v=49.90", "ct": "sale", "request": "GET",
        "response": "OK", "next_attempt_ms": None, "state": "delivered", "request_offset": 0,
    }  # fmt: skip
    return orjson.dumps(known | changes)


class Site(Console):
    """The console with the story; `open` gives a page of a logged-in person."""

    def __init__(self, chromium, clickhouse, folder):
        self.broker = Kafka(folder / "kafka", port=free_port())
        self.chromium, self.folder = chromium, folder
        super().__init__(clickhouse, "console_pages", folder, bootstrap=self.broker.bootstrap_servers, logins_per_minute=10_000)
        self._down = contextlib.AsyncExitStack()

    async def __aenter__(self):
        await asyncio.to_thread(self.broker.start)
        self._down.callback(self.broker.kill)
        await topics.create_missing(self.settings)
        await super().__aenter__()
        self._down.push_async_callback(super().__aexit__)
        following = asyncio.create_task(self.context.following.follow())
        self._down.callback(following.cancel)
        await self.context.following.read.wait()
        self.producer = AIOKafkaProducer(bootstrap_servers=self.broker.bootstrap_servers, acks="all")
        await self.producer.start()
        self._down.push_async_callback(self.producer.stop)
        sink = sink_of(self.settings)
        running = asyncio.create_task(sink.run())
        self._down.push_async_callback(_ended, sink, running)
        await self._begin()
        return self

    async def __aexit__(self, *_):
        await self._down.aclose()

    async def _begin(self):
        """Settings, users with tokens, and the story, all the way into ClickHouse."""
        await self.context.following.change(workspace(), "setup", f"begin {EVIL}")
        users = [Change("user", name, {"id": name, "name": name.title(), "email": f"{name}@x.example", "role": name}) for name in ROLES]
        await self.context.following.change(users, "setup", "people")
        for name in ROLES:
            self.tokens[name], changes = people.minted(self.context.following.entities, name, f"{name}-token")
            await self.context.following.change(changes, "setup", "tokens")
        self.now_ms = int(time.time() * 1000)
        self.memory, self.ids = await asyncio.to_thread(story, self.now_ms)
        for (topic, partition), records in self.memory.log.items():
            if topic in {PAYLOADS.name, VISITS.name, EVENTS.name, POSTBACKS.name}:
                for record in records:
                    await self.send(topic, record.value, partition, record.timestamp, record.key, record.headers)
        evil = {"postback_url": f"https://ads.example/{SCRIPT}", "error_message": EVIL, "response": SCRIPT, "request": EVIL, "is_error": 1, "status_code": 500,
                "state": "waiting", "next_attempt_ms": self.now_ms + 9 * MINUTE_MS}  # fmt: skip
        failed = {"is_error": 1, "status_code": 404, "error_message": "404 Not Found", "state": "failed"}
        self.postbacks = [self.ids["ok"], self.ids["email"], self.ids["evil_click"]]
        await self.send(ATTEMPTS.name, attempt(self.postbacks[0], self.now_ms), 0, self.now_ms)
        await self.send(ATTEMPTS.name, attempt(self.postbacks[1], self.now_ms, **evil), 0, self.now_ms)
        await self.send(ATTEMPTS.name, attempt(self.postbacks[2], self.now_ms, **failed), 0, self.now_ms)
        await self.until("SELECT count() FROM events", len(self.ids))
        await self.until("SELECT count() FROM postbacks", len(self.postbacks))

    async def send(self, topic, value, partition, at_ms, key=None, headers=()):
        """Write one record."""
        await self.producer.send_and_wait(topic, value, key=key, partition=partition, timestamp_ms=at_ms, headers=list(headers))

    async def fall(self, count, **changes):
        """Verdicts fall now: rows like the first error, with other ids."""
        model = next(row for row in self.memory.rows() if row["event_id"] == self.ids["unknown"])
        for number in range(count):
            self.fallen = getattr(self, "fallen", 0) + 1
            row = {
                **model,
                "event_id": f"e1-0-{5000 + self.fallen}",
                "partition": 0,
                "offset": 5000 + self.fallen,
                "received_ms": int(time.time() * 1000),
            }
            await self.send(EVENTS.name, orjson.dumps(row | changes), number % PARTITIONS, row["received_ms"])

    async def until(self, sql, wanted):
        """Wait until a question's first value is at least what is wanted."""
        ends_at = time.monotonic() + 60
        while (found := next(iter((await self.context.asker.rows(_question(sql)))[0].values()))) < wanted:
            assert time.monotonic() < ends_at, f"{found} instead of {wanted}: {sql}"
            await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def open(self, path="/", who="owner", width=1280, theme="light", **options):
        """A page of a person who is logged in. An error of a script, or a breach of the content security policy, fails the test."""
        context = await self.chromium.new_context(
            viewport={"width": width, "height": 860}, color_scheme=theme, base_url=self.url, **options
        )
        try:
            if who:
                answer = await context.request.post("/api/v1/session", data={"token": self.tokens[who]})
                assert answer.ok, await answer.text()
            page = await context.new_page()
            wrong = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
            await page.goto(path)
            yield page
            assert not wrong, wrong
            assert await page.evaluate("window.pwned") is None
        finally:
            await context.close()


def _question(sql):
    from console.listing import Question

    return Question(sql, {})


async def _ended(sink, running):
    await sink.stop()
    await running
