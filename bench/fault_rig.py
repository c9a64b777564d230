"""The real thing under a fault run: `clicktrail up` in a folder of its own, traffic that is the same in every run, and when it has settled.

Payloads are produced to Kafka as ingest would, with fixed bytes, order and times of receipt, so that two runs have the same event ids and
can be compared row by row.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.ports import free_ports
from schemas.event import SETTINGS_VERSION, SOURCE
from schemas.identity import home_of
from streams.identifiers import key
from streams.partition import partition_of
from streams.runtime.role_ports import ROLES
from streams.topology import LOOKUPS, PAYLOADS, SETTINGS, VISITS

PARTITIONS = 6
PII_KEY = "bench"
RECEIVED_MS = 1_790_000_000_000  # the first payload's time of receipt, in every run
DAY_MS = 86_400_000
WORKSPACE = """
properties: [{id: shop, name: Shop}]
sources:
  - {id: network, name: Network, kind: postback, property_id: shop, mapping: {click_id: cid, events: [Purchase, Lead]}}
  - {id: webhook, name: Webhook, kind: webhook, property_id: shop, mapping: {click_id: cid, events: [Purchase, Lead]}}
destinations: [{id: ads, name: Ads, url: "https://ads.example/?c={click_id}"}]
"""


class Stack:
    """One `clicktrail up` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kafka, clickhouse, ingest, metrics, *_ = free_ports(4 + len(ROLES))  # each role has its metrics on a port behind the first
        self.ports = {"kafka": kafka, "clickhouse": clickhouse, "ingest": ingest, "metrics": metrics}
        self.environment = {
            **os.environ, "CLICKTRAIL_DATA_DIR": str(folder), "CLICKTRAIL_PARTITIONS": str(PARTITIONS), "CLICKTRAIL_PII_KEY": PII_KEY, "SEED": "0",
            "CLICKTRAIL_INGEST__PORT": str(self.ports["ingest"]),
        }  # fmt: skip
        self.environment.pop("CLICKTRAIL_FAILPOINT", None)
        self.bootstrap = f"127.0.0.1:{self.ports['kafka']}"
        self.url = f"http://127.0.0.1:{self.ports['clickhouse']}"

    def clicktrail(self, *words: str, given: str | None = None) -> str:
        """Run a CLI verb against this stack."""
        command = [sys.executable, "-m", "console.cli", *words]
        done = subprocess.run(command, env=self.environment, input=given, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"clicktrail {' '.join(words)} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def start(self) -> None:
        """Bring everything up and set up the workspace."""
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = [word for name, port in self.ports.items() for word in (f"--{name}-port", str(port))]
        self.clicktrail("up", "--detach", "--no-seed", *flags)
        file = self.folder / "workspace.yaml"
        file.write_text(WORKSPACE)
        self.clicktrail("apply", "-f", str(file), "--author", "bench", "--reason", "fault run")

    def stop(self) -> None:
        """Take everything down."""
        self.clicktrail("down")

    def pids(self) -> dict[str, int | None]:
        """Name -> process id of everything that runs."""
        found = json.loads((self.folder / "up.json").read_text())
        return {name: process["pid"] for name, process in found["processes"].items()}

    async def sql(self, query: str) -> str:
        """Ask this stack's ClickHouse; waits while it is being killed."""
        async with aiohttp.ClientSession() as session:
            for _ in range(200):
                try:
                    async with session.post(self.url, params={"database": "clicktrail"}, data=query) as answer:
                        text = await answer.text()
                        if answer.status == 200:
                            return text
                        raise RuntimeError(text)
                except (aiohttp.ClientError, OSError):
                    await asyncio.sleep(0.1)
        raise RuntimeError(f"ClickHouse does not answer at {self.url}")


def payloads(count: int) -> Iterator[dict[str, Any]]:
    """Conversions of every fate: duplicates, wrong status, unmapped, unknown click, late click, refunds, e-mail only, nothing at all."""
    rng = random.Random(20261123)
    for i in range(count):
        tx = rng.randrange(max(1, i)) if rng.random() < 0.15 else i
        body: dict[str, Any] = {
            "transaction_id": f"T{tx}", "amount": f"{rng.random() * 100:.2f}", "currency": "USD",
            "status": rng.choice(("approved", "approved", "approved", "pending", "rejected", "refunded")),
            "event": rng.choice(("Purchase", "Purchase", "Lead", "AddToCart")), "ts": RECEIVED_MS // 1000 + i // 100,
        }  # fmt: skip
        kind = rng.random()
        if kind < 0.6:
            body["cid"] = f"c{rng.randrange(count // 10 + 1)}"
        elif kind < 0.75:
            # One heal per transaction: with two, their order is chance, and with it how many revisions what depends on both goes through.
            body |= {"cid": f"late{tx % (count // 50 + 1)}", "status": "approved", "event": "Purchase"}
        elif kind < 0.9:
            body["email"] = f"u{rng.randrange(count // 10 + 1)}@example.com"
        yield body


def clicks(count: int, *, late: bool) -> Iterator[dict[str, Any]]:
    """The clicks that come before the payloads, or those that come when all is judged."""
    for i in range(count // 50 + 1 if late else count // 10 + 1):
        email = key("email", f"u{i}@example.com", PII_KEY.encode())
        yield {
            "visit_id": f"v{late}{i}", "kind": "click", "account_id": "default", "property_id": "shop", "click_id": f"late{i}" if late else f"c{i}",
            "occurred_ms": RECEIVED_MS - DAY_MS + i, "received_ms": RECEIVED_MS - 1, "campaign_id": f"k{i % 7}", "traffic_source_id": None,
            "identifiers": [] if late or i % 2 else [["email", email]], "lander_id": None, "offer_id": None, "parameters": {}, "device_type": None,
            "browser": None, "os": None, "ip": None, "country": None, "referrer": None, "url": None,
        }  # fmt: skip


async def produce_clicks(stack: Stack, count: int, *, late: bool) -> None:
    """Send clicks and wait until they are in the identifier index."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap, enable_idempotence=True, linger_ms=5)
    await producer.start()
    for visit in clicks(count, late=late):
        to = visit["click_id"].encode()
        await producer.send(VISITS.name, orjson.dumps(visit), to, partition_of(to, PARTITIONS), timestamp_ms=RECEIVED_MS - 1)
    await producer.stop()
    await drained(stack, VISITS.name)
    for _hop in ("click id", "its other identifiers"):
        await drained(stack, LOOKUPS.name)


async def produce_payloads(stack: Stack, count: int, seconds: float) -> None:
    """Send payloads as ingest would, spread over the given time; the same bytes, order and times of receipt in every run."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap, enable_idempotence=True, linger_ms=5)
    await producer.start()
    version = await settings_version(stack)
    began = time.monotonic()
    for i, body in enumerate(payloads(count)):
        home = home_of("default", "shop", None, body["transaction_id"], None, "").encode()
        headers = [
            (SOURCE, b"network" if i % 4 else b"webhook"),
            (SETTINGS_VERSION, b"%d" % version),
            ("content-type", b"application/json"),
        ]
        await producer.send(
            PAYLOADS.name, orjson.dumps(body), home, partition_of(home, PARTITIONS), timestamp_ms=RECEIVED_MS + i, headers=headers
        )
        if i % 200 == 0 and (ahead := began + seconds * i / count - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
    await producer.stop()


async def settings_version(stack: Stack) -> int:
    """The offset of the last settings record."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.bootstrap, isolation_level="read_committed", fetch_max_wait_ms=50)
    await consumer.start()
    try:
        return max(record.offset for record in await tail(consumer, TopicPartition(SETTINGS.name, 0)))
    finally:
        await consumer.stop()


async def tail(consumer: AIOKafkaConsumer, at: TopicPartition) -> list[Any]:
    """The last data records of a partition (its end may be transaction markers)."""
    consumer.assign([at])
    end = (await consumer.end_offsets([at]))[at]
    begin = end
    while begin > 0:
        begin = max(0, begin - 200)
        consumer.seek(at, begin)
        found: list[Any] = []
        while await consumer.position(at) < end:
            found += (await consumer.getmany(at, timeout_ms=200)).get(at, [])
        if found:
            return found
    return []


async def drained(stack: Stack, topic: str, group: str = "clicktrail.attribution", timeout_s: float = 180) -> None:
    """Wait until a group has committed past the last data record of every partition of a topic."""
    reader = AIOKafkaConsumer(bootstrap_servers=stack.bootstrap, isolation_level="read_committed", fetch_max_wait_ms=50)
    await reader.start()
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await admin.start()
    deadline = time.monotonic() + timeout_s
    try:
        for partition in range(PARTITIONS):
            at = TopicPartition(topic, partition)
            last = await tail(reader, at)
            while last:
                committed = (await admin.list_consumer_group_offsets(group, partitions=[at]))[at].offset
                if committed > last[-1].offset:
                    break
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{group} stands at {committed} of {at}, its last record is {last[-1].offset}")
                await asyncio.sleep(0.2)
    finally:
        await admin.close()
        await reader.stop()


async def wait_for_rows(stack: Stack, count: int, timeout_s: float = 240) -> None:
    """Wait until every payload has its row."""
    deadline = time.monotonic() + timeout_s
    while True:
        now = int(await stack.sql("SELECT uniqExact(event_id) FROM event_revisions"))
        if now >= count:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{now} of {count} payloads have a row after {timeout_s:.0f} s")
        await asyncio.sleep(0.3)
