"""What the sink's tests share: a database and topics of their own, rows to write, and a sink as a process that can be killed.

Run as a program it is that process: `python -m tests.integration.sink_rig BOOTSTRAP URL NAME`.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import subprocess
import sys
import time

import clickhouse_connect
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from sinks.feeds import FEEDS
from sinks.migrations import migrate
from sinks.writer import Sink

PARTITIONS = 3
EVENTS, VISITS = "clicktrail.events.v1", "clicktrail.visits.v1"


def feeds_of(name):
    """The product's feeds over topics whose names begin with `name.` (dlq.name.… for dead letters)."""

    def renamed(topic):
        return f"dlq.{name}.{topic.removeprefix('dlq.')}" if topic.startswith("dlq.") else f"{name}.{topic}"

    return [feed._replace(topic=renamed(feed.topic)) for feed in FEEDS]


class Rig:
    """A namespace on shared services: database `name`, topics `name.*`, group `name`."""

    def __init__(self, kafka, clickhouse, name):
        self.kafka, self.clickhouse, self.name = kafka, clickhouse, name
        self.bootstrap = kafka.bootstrap_servers
        self.group = name
        self._processes = []

    async def __aenter__(self):
        await asyncio.to_thread(migrate, self.clickhouse.url, self.name)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in dict.fromkeys(feed.topic for feed in feeds_of(self.name))])
        await admin.close()
        self.producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5, acks="all")
        await self.producer.start()
        return self

    async def __aexit__(self, *_):
        for process in self._processes:  # of a test that failed
            process.kill()
            process.wait()
        await self.producer.stop()

    def sink(self, instance="0"):
        return Sink(
            {"bootstrap_servers": self.bootstrap}, self.clickhouse.url, f"{self.name}-{instance}", self.name, feeds_of(self.name), self.name
        )

    @contextlib.asynccontextmanager
    async def running(self, instance="0"):
        """A sink in this process."""
        sink = self.sink(instance)
        task = asyncio.create_task(sink.run())
        try:
            yield sink
        finally:
            await sink.stop()
            await task

    def spawn(self, failpoint=""):
        """A sink as a process of its own."""
        command = [sys.executable, "-m", "tests.integration.sink_rig", self.bootstrap, self.clickhouse.url, self.name]
        self._processes.append(subprocess.Popen(command, env=os.environ | {"CLICKTRAIL_FAILPOINT": failpoint}))
        return self._processes[-1]

    async def send(self, topic, values, partition=None):
        """Send values over the partitions in turn; returns when the broker has them."""
        sent = []
        for number, value in enumerate(values):
            sent.append(
                await self.producer.send(f"{self.name}.{topic}", value, partition=number % PARTITIONS if partition is None else partition)
            )
        await asyncio.gather(*sent)

    def query(self, sql, parameters=None):
        with contextlib.closing(self._connect()) as client:
            return client.query(sql, parameters).result_rows

    def command(self, sql):
        with contextlib.closing(self._connect()) as client:
            return client.command(sql)

    def _connect(self):
        return clickhouse_connect.get_client(dsn=f"{self.clickhouse.url}/{self.name}", autogenerate_session_id=False)

    async def wait_for(self, sql, wanted, timeout_s=90):
        """Wait until the query's first value is what is wanted."""
        await self.wait_until(sql, lambda found: found == wanted, timeout_s, wanted)

    async def wait_until(self, sql, is_fine, timeout_s=90, wanted="more"):
        """Wait until the query's first value is fine, also while ClickHouse is away."""
        ends_at, found = time.monotonic() + timeout_s, "no answer"
        while True:
            with contextlib.suppress(clickhouse_connect.driver.exceptions.ClickHouseError):
                found = (await asyncio.to_thread(self.query, sql))[0][0]
                if is_fine(found):
                    return
            assert time.monotonic() < ends_at, f"{found} instead of {wanted} after {timeout_s} s: {sql}"
            await asyncio.sleep(0.05)

    async def recreate(self, topic):
        """Delete a topic and make it again; a new group, as the old one's offsets were deleted with it."""
        name = f"{self.name}.{topic}"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        await admin.delete_topics([name])
        await asyncio.sleep(0.5)
        await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
        await admin.close()
        self.group += ".new"


def row(number, **changes):
    """A row of clicktrail.events.v1 for the payload number (offset number of partition 0)."""
    payload = changes.pop("payload", f"click_id=clk{number}&amount=12.50".encode())
    try:
        body = {"payload": payload.decode()}
    except UnicodeDecodeError:
        body = {"payload_b64": base64.b64encode(payload).decode()}
    known = {
        "event_id": f"e1-0-{number}", "account_id": "acme", "property_id": "shop", "source_id": "net", "type": "postback",
        "received_ms": 1_790_000_000_000 + number, "event_ms": 1_790_000_000_000 + number - 5_000, "status": "ok", "reason": "recorded",
        "sub_reason": None, "message": "Conversion recorded", "view_status": "success", "conversion_name": "Purchase", "original_name": "sale",
        "conversion_status": "approved", "original_status": "approved", "value": "12.50", "currency": "USD", "click_id": f"clk{number}",
        "match_kind": "click_id", "campaign_id": "c1", "traffic_source_id": "t1", "transaction_id": f"TX{number}", "identity": f"shop|Purchase|TX{number}",
        "duplicate_of": None, "parent_event_id": None, "is_test": False, "revision": 1, "settings_version": 7,
        "trace": [["dedup", "none", ""], ["attribute", "match", "click_id"]], "evidence": {"candidates": [{"click_id": f"clk{number}"}]},
        "parameters": {"click_id": f"clk{number}", "amount": "12.50"}, "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "topic": "clicktrail.payloads.v1", "partition": 0, "offset": number,
    }  # fmt: skip
    return orjson.dumps(known | body | changes)


def visit(number, **changes):
    """A record of clicktrail.visits.v1."""
    known = {
        "visit_id": f"v{number}", "kind": "click", "account_id": "acme", "property_id": "shop", "click_id": f"clk{number}",
        "occurred_ms": 1_789_999_000_000 + number, "received_ms": 1_789_999_000_100 + number, "identifiers": [["email", "9f2c"], ["ip", "aa01"]],
        "campaign_id": "c1", "traffic_source_id": "t1", "lander_id": None, "offer_id": "o1", "parameters": {"utm_source": "x"},
        "device_type": "mobile", "browser": "Firefox", "os": "Android", "is_bot": False, "user_agent": "Mozilla/5.0",
        "language": "de-DE", "ip": "203.0.113.7", "country": "DE", "referrer": None, "url": "https://shop.example/",
    }  # fmt: skip
    return orjson.dumps(known | changes)


async def main(bootstrap, url, name):
    await Sink({"bootstrap_servers": bootstrap}, url, f"{name}-0", name, feeds_of(name), name).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
