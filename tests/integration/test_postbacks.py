"""Postback status from end to end (C10 to C19): ledger's request, delivery, sink, views, and the command line that sends again."""

import asyncio
import subprocess
import sys
import time

import clickhouse_connect
import orjson
import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from sinks.migrations import migrate
from sinks.writer import Sink
from streams.topology import EVENTS
from tests.integration.delivery_rig import ROOT, Delivery, Receiver
from tests.integration.sink_rig import row

DATABASE = "postbacks"
LIMITS = {"timeout_s": 2, "connect_timeout_s": 1, "retry_after_s": [0.2], "concurrency": 8}


class Office(Delivery):
    """Delivery with a sink, the database, and the command line."""

    async def open(self, clickhouse):
        await asyncio.to_thread(migrate, clickhouse.url, DATABASE)
        self.sink = Sink({"bootstrap_servers": self.bootstrap}, clickhouse.url, "postbacks-sink", DATABASE)
        self.sinking = asyncio.create_task(self.sink.run())
        self.client = await asyncio.to_thread(
            clickhouse_connect.get_client, dsn=clickhouse.url, database=DATABASE, autogenerate_session_id=False
        )
        self.known = {"CLICKTRAIL_CLICKHOUSE__URL": clickhouse.url, "CLICKTRAIL_CLICKHOUSE__DATABASE": DATABASE}
        self.start("0", **self.known)
        await self.ready("0")

    async def close(self):
        self.sinking.cancel()
        await asyncio.gather(self.sinking, return_exceptions=True)
        await self.sink.stop()

    def query(self, sql):
        return self.client.query(sql).result_rows

    async def wait(self, sql, wanted, timeout_s=90):
        deadline = time.monotonic() + timeout_s
        while (got := await asyncio.to_thread(self.query, sql)) != wanted:
            assert time.monotonic() < deadline, f"{got}, wanted {wanted}; {self.tail()}"
            await asyncio.sleep(0.2)

    async def cli(self, *words, code=0):
        command = [sys.executable, "-m", "console.cli", *words]
        environment = self.environment | self.known
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if "--json" not in words else orjson.loads(done.stdout)


@pytest.fixture(scope="module")
async def receiver():
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
async def office(tmp_path_factory, clickhouse, receiver):
    """Three conversions reported to one destination that works and one that does not; one of them is refunded."""
    folder = tmp_path_factory.mktemp("office")
    with Kafka(folder / "kafka", port=free_port()) as broker:
        async with Office(broker, folder) as office:
            await office.destinations(
                {
                    "id": "ads",
                    "url": f"{receiver.url}/ads?c={{click_id}}&s={{status}}&token=s3cret",
                    "sending": LIMITS,
                    "integration_id": "meta-1",
                },
                {"id": "partner", "url": f"{receiver.url}/partner?c={{click_id}}", "sending": LIMITS},
            )
            receiver.statuses["partner"] = 503
            await office.open(clickhouse)
            now = int(time.time() * 1000)
            for number in range(3):
                value = row(number, received_ms=now, event_ms=now, event_id=f"e1-{number}-{number}", partition=number)
                await office.producer.send(EVENTS.name, value, partition=number)
            office.requests = [office.request(destination, number, event_id=f"e1-{number}-{number}", click_id=f"clk{number}",
                               integration_id="meta-1" if destination == "ads" else None)
                               for number in range(3) for destination in ("ads", "partner")]  # fmt: skip
            await office.send(*office.requests)
            await office.wait(
                "SELECT destination_id, state, count() FROM postbacks GROUP BY ALL ORDER BY ALL",
                [("ads", "delivered", 3), ("partner", "failed", 3)],
            )
            try:
                yield office
            finally:
                await office.close()


async def test_the_log_has_what_the_page_has(office):
    """C10 to C18: every column, from a real send; a row for what failed, too."""
    rows = await office.cli("postbacks", "ls", "-d", "ads", "--json")
    assert [(row["is_error"], row["status_code"], row["ct"], row["integration_id"], row["state"]) for row in rows] == [
        (0, 200, "sale", "meta-1", "delivered")
    ] * 3
    assert all(row["postback_url"].endswith("&s=approved&token=***") for row in rows)
    rows = await office.cli("postbacks", "ls", "--errors", "--json")
    assert {(row["is_error"], row["status_code"], row["error_message"], row["attempts"]) for row in rows} == {
        (1, 503, "503 Service Unavailable; given up after 2 tries", 2)
    }
    shown = await office.cli("postbacks", "show", rows[0]["postback_id"], "--json")
    assert [one["attempt"] for one in shown] == [0, 1, 2]


async def test_postbacks_and_events_join_both_ways(office):
    """C11."""
    await office.wait("SELECT count() FROM postbacks INNER JOIN events USING (event_id, click_id)", [(6,)])
    assert office.query("SELECT uniqExact(event_id) FROM events INNER JOIN postbacks USING (event_id) WHERE state = 'failed'") == [(3,)]


async def test_recover_lists_and_then_sends_what_has_failed(office, receiver):
    """Recover all failed since T as a job; the dry run shows the addresses and sends nothing."""
    before = receiver.ids["partner"].total()
    listed = await office.cli("postbacks", "recover", "--since", "1h", "-d", "partner", "--dry-run", "--json")
    assert sorted(row["postback_url"].rpartition("=")[2] for row in listed) == ["clk0", "clk1", "clk2"]
    assert receiver.ids["partner"].total() == before
    receiver.statuses["partner"] = 200
    assert await office.cli(
        "postbacks", "recover", "--since", "1h", "-d", "partner", "--author", "ann", "--reason", "mended", "--json"
    ) == {"resent": 3}
    await office.wait("SELECT state, attempts, count() FROM postbacks WHERE destination_id = 'partner' GROUP BY ALL", [("delivered", 3, 3)])
    await office.wait(
        "SELECT author, reason, entity, action, count() FROM activity WHERE entity = 'postback' GROUP BY ALL",
        [("ann", "mended", "postback", "updated", 3)],
    )
    assert all(count == 3 for count in receiver.ids["partner"].values()), "two tries and the recovered one, with the same idempotency key"


async def test_one_is_sent_again(office, receiver):
    postback_id = office.requests[0]["postback_id"]
    assert await office.cli("postbacks", "retry", postback_id, "--json") == {"resent": 1}
    await office.wait(f"SELECT state, attempts FROM postbacks WHERE postback_id = '{postback_id}'", [("delivered", 2)])
    assert receiver.ids["ads"][postback_id] == 2
    await office.cli("postbacks", "retry", "e1-0-99.ads.1", code=2)


async def test_the_test_button(office, receiver):
    """The populated request is shown; it is sent when that is asked for, marked, and stands in no row."""
    shown = await office.cli("postbacks", "test", "ads", "--event", "e1-1-1", "--json")
    assert "token=***" in shown["url"]
    assert "outcome" not in shown
    sent = await office.cli("postbacks", "test", "ads", "--event", "e1-1-1", "--send", "--json")
    assert (sent["outcome"], sent["status_code"], sent["response"]) == ("delivered", 200, "OK")
    call = receiver.calls[-1]
    assert (call[1], call[3]["X-Clicktrail-Test"]) == ("test-e1-1-1.ads", "1")
    assert office.query("SELECT count() FROM postbacks WHERE startsWith(postback_id, 'test')") == [(0,)]


async def test_a_paused_destination_keeps_what_is_to_be_sent(office, receiver):
    await office.cli("postbacks", "pause", "ads")
    later = office.request("ads", 2, postback_id="e1-2-2.ads.9", event_id="e1-2-2")
    await office.send(later, office.request("partner", 2, postback_id="e1-2-2.partner.9", event_id="e1-2-2"))
    await office.wait("SELECT state FROM postbacks WHERE postback_id = 'e1-2-2.partner.9'", [("delivered",)])
    assert office.query("SELECT state FROM postbacks WHERE postback_id = 'e1-2-2.ads.9'") == [("waiting",)]
    await office.cli("postbacks", "resume", "ads")
    await office.wait("SELECT state FROM postbacks WHERE postback_id = 'e1-2-2.ads.9'", [("delivered",)])


async def test_what_fails_for_too_long_is_paused_and_comes_back_by_itself(office, receiver):
    """Auto-pause after sustained failure and auto-resume, each an activity row."""
    await office.destinations(
        {
            "id": "dead",
            "url": f"{receiver.url}/dead?c={{click_id}}",
            "sending": LIMITS | {"retry_after_s": [0.1] * 40, "pause_after_s": 0.3},
        }
    )
    receiver.statuses["dead"] = 500
    office.kill("0")
    office.start("0", **office.known, CLICKTRAIL_DELIVERY__PAUSED_PROBE_S="0.5")
    await office.send(office.request("dead", 1, event_id="e1-1-1", postback_id="e1-1-1.dead.1"))
    said = "SELECT author, action, JSONExtractString(after, 'paused') FROM activity WHERE entity_id = 'dead' ORDER BY changed_at"
    await office.wait(said + " LIMIT 2", [("test", "created", ""), ("delivery", "updated", "after_failures")])
    receiver.statuses["dead"] = 200
    await office.wait(said, [("test", "created", ""), ("delivery", "updated", "after_failures"), ("delivery", "updated", "")])
    await office.wait("SELECT state FROM postbacks WHERE destination_id = 'dead'", [("delivered",)])


async def test_nothing_is_a_dead_letter(office):
    assert office.query("SELECT count() FROM dead_letters") == [(0,)]
