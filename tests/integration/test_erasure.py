"""A person is erased while everything that counts stays: verdicts, sums, dedup, conservation, rebuilding."""

import asyncio
import time
import urllib.request

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from console.erasure.rows import EVERY, SHORT_LIFE
from console.erasure.run import erase, look
from console.rebuild import rebuild
from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from sinks import conservation
from sinks.embedded import ClickHouse
from sinks.migrations import migrate
from streams.person import person
from streams.runtime import topics
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings
from tests.disk_search import where
from tests.integration.roles_rig import Roles

WORKSPACE = """
properties: [{id: shop, name: Shop}]
sources:
  - {id: net, name: Net, kind: postback, property_id: shop, mapping: {click_id: sub5, transaction_id: txid, value: payout, email: email}}
destinations: [{id: capi, name: CAPI, url: "http://127.0.0.1:9/?c={click_id}&v={value}"}]
"""
QUICK = {  # the defaults are 15 s, 5 min, 30 s and 1 min
    "log.cleaner.backoff.ms": "200", "log.retention.check.interval.ms": "500", "log.initial.task.delay.ms": "500",
    "log.segment.delete.delay.ms": "500", "log.cleaner.threads": "2",
}  # fmt: skip
ANN = rb"(?<!jo)ann(@|%40)example\.com|annstreet|annphone|203\.0\.113\.77"
FACTS = "SELECT event_id, status, reason, value, transaction_id, click_id, revision, duplicate_of, match_kind FROM clicktrail.event_revisions ORDER BY ALL"


@pytest.fixture
async def services(tmp_path):
    """A broker that cleans soon, and an engine with a folder of its own to look into."""
    broker, engine = Kafka(tmp_path / "kafka", port=free_port(), settings=QUICK), ClickHouse(tmp_path / "clickhouse", port=free_port())
    await asyncio.gather(asyncio.to_thread(broker.start), asyncio.to_thread(engine.start))
    yield broker, engine
    await asyncio.to_thread(engine.stop)
    await asyncio.to_thread(broker.kill)


async def fill(roles, kafka):
    """Ann identifies herself behind her click and buys; Bob does the same, under an address that ends with hers."""
    for click_id, email, mark in (("click-ann", "ann@example.com", "Ann"), ("click-bob", "joann@example.com", "Bob")):
        now_ms = int(time.time() * 1000) - 3_600_000
        seen = {
            "kind": "click",
            "click_id": click_id,
            "url": "https://shop.example/?ad=1",
            "occurred_ms": now_ms,
            "user_agent": f"{mark}Phone/1",
        }
        await asyncio.to_thread(roles._get, "/t/shop", 60, orjson.dumps(seen))
        seen = {"kind": "identify", "click_id": click_id, "email": [email], "occurred_ms": now_ms + 1}
        await asyncio.to_thread(roles._get, "/t/shop", 60, orjson.dumps(seen))
        sale = {"txid": f"T-{click_id}", "payout": "5", "status": "approved"}
        await asyncio.to_thread(roles.send, email=email, street=f"{mark}Street 5", **sale)
        await asyncio.to_thread(roles.send, sub5=click_id, txid=f"U-{click_id}", payout="7", status="approved")
        await asyncio.to_thread(
            roles.send, email=email, txid="", payout="x", status="approved", visitor="203.0.113." + ("77" if mark == "Ann" else "8")
        )
    await asyncio.to_thread(roles.send, sub5="nobody", txid="T-n", payout="5", status="approved")
    producer = AIOKafkaProducer(**kafka)  # a visit that nobody can read: a dead letter of two roles
    await producer.start()
    await producer.send_and_wait("clicktrail.visits.v1", b'{"email": "ann@example.com"', b"broken", partition=0)
    await producer.stop()


class Asked:
    """The engine's answers, and how long to wait for one."""

    def __init__(self, url, roles):
        self._url = url
        self._roles = roles

    async def __call__(self, sql):
        def ask():
            with urllib.request.urlopen(self._url, data=sql.encode(), timeout=60) as answer:
                return answer.read().decode().strip()

        return await asyncio.to_thread(ask)

    async def until(self, sql, wanted):
        while await self(sql) != wanted:
            self._roles.all_run()
            await asyncio.sleep(0.2)


async def stopped(roles, *names):
    await asyncio.gather(*(asyncio.to_thread(roles.stop, name) for name in names))


async def rebuilt(settings):
    """What a rebuild finds; None while a sink is still a member."""
    try:
        return await rebuild(settings, "rebuilt", lambda _: None)
    except BadSettings:
        return None


@pytest.mark.timeout(900)  # 50 s of processor time; another half minute is waiting for sessions to end
async def test_a_person_is_erased_and_what_counts_stays(services, tmp_path):
    """Topics, state, rows, dead letters, waiting postbacks: found on disk before, nowhere after, through two kills; the rest is untouched."""
    broker, engine = services
    folder = tmp_path / "roles"
    folder.mkdir()
    environment = {
        "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers, "CLICKTRAIL_PARTITIONS": "2", "CLICKTRAIL_CLICKHOUSE__URL": engine.url,
    }  # fmt: skip
    settings = Settings(
        kafka={"bootstrap_servers": broker.bootstrap_servers}, clickhouse={"url": engine.url}, partitions=2, data_dir=folder, pii_key="test"
    )
    kafka, who = settings.kafka.client_args(), person("email", "Ann@Example.com", b"test")
    said = []

    async def conserved():
        return (await conservation.check(engine.url, kafka)).is_whole

    with Roles(folder, environment) as roles:
        ask = Asked(engine.url, roles)
        await topics.create_missing(settings)
        await asyncio.to_thread(migrate, engine.url)
        for table in EVERY:  # else the engine cleans up to 5 min later
            await ask(f"ALTER TABLE clicktrail.{table.name} MODIFY SETTING {SHORT_LIFE}")
        names = ("ingest", "ledger", "attribution", "delivery", "sink")
        for name in names:
            roles.start(name)
        await asyncio.to_thread(roles.apply_workspace, WORKSPACE)
        await fill(roles, kafka)
        await ask.until("SELECT count(), countIf(status = 'ok') FROM clicktrail.events", "7\t4")
        await ask.until("SELECT count() > 1 FROM clicktrail.dead_letters", "1")
        await ask.until("SELECT uniqExact(postback_id) FROM clicktrail.postback_attempts", "4")
        before = await ask(FACTS)
        await stopped(roles, *names)
        on_disk = where(tmp_path, ANN)
        for store in (
            "payloads.v1",
            "visits.v1",
            "events.v1",
            "lookups.v1",
            "matches.v1",
            "ledger-state",
            "dlq.",
            "clickhouse/",
            "roles/state/",
        ):
            assert any(store in path for path in on_disk), (store, on_disk)

        dry = await look(settings, who, said.append)
        assert (len(dry.closure.events), dry.closure.clicks) == (3, {"click-ann"})
        assert dry.counts.keys() >= {
            "clicktrail.payloads.v1",
            "clicktrail.attempts.v1",
            "clicktrail.delivery-state.v1",
            "ClickHouse visits",
        }
        assert await ask(FACTS) == before
        command = ("erase", "--email", "ann@example.com", "--yes")
        await asyncio.to_thread(roles.cli, *command, code=99, CLICKTRAIL_FAILPOINT="after_replace")
        await asyncio.to_thread(roles.cli, *command, code=99, CLICKTRAIL_FAILPOINT="after_rows")
        assert (await erase(settings, who, "me", "she asked", said.append)).counts
        assert (await look(settings, who, said.append)).counts == {}
        while where(tmp_path, ANN):  # noqa: ASYNC110  Kafka unlinks what was cut off at its next check
            await asyncio.sleep(0.5)
        assert where(tmp_path, b"bobphone")
        assert where(tmp_path, b"joann@example.com")
        assert await ask(FACTS) == before
        assert await conserved()

        for name in ("ingest", "ledger", "sink"):
            roles.start(name)
        await ask.until("SELECT count() FROM clicktrail.activity WHERE entity = 'person' AND action = 'deleted'", "1")
        await asyncio.to_thread(roles.send, email="ann@example.com", txid="T-click-ann", payout="5", status="approved")
        await ask.until(
            "SELECT status FROM clicktrail.events WHERE transaction_id = 'T-click-ann' ORDER BY received_at", "ok\ndeduplicated"
        )
        assert await conserved()
        await stopped(roles, "ledger", "ingest", "sink")
        while (compared := await rebuilt(settings)) is None:  # the session of the sink ends after 10 s
            pass
        assert all(table.rows == table.rebuilt and table.missing == 0 for table in compared), compared
