"""Tables, views, recipes and the conservation check on a real engine (and a real broker, for the check)."""

import asyncio
import shutil
import time

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.reasons import REASONS
from sinks import conservation, ddl, migrations
from sinks.errors import RETRY, ROWS, SETUP
from sinks.feeds import FEEDS
from sinks.queries import recipes
from sinks.store import Store
from sinks.tables import TABLES
from streams.stage import Record
from tests.integration.sink_rig import Rig, row, visit

EVENTS_FEED, VISITS_FEED = FEEDS[:2]


@pytest.fixture
async def rig(kafka, clickhouse, request):
    rig = Rig(kafka, clickhouse, request.node.name.replace("[", "_").rstrip("]"))
    await asyncio.to_thread(migrations.migrate, clickhouse.url, rig.name)
    return rig


async def put(rig, values, feed=EVENTS_FEED, first=0):
    """Insert values as the sink would, log offsets from `first` on."""
    store = Store(rig.clickhouse.url, rig.name)
    await store.insert(feed, [Record(feed.topic, 0, first + n, 1_790_000_100_000 + n, None, value) for n, value in enumerate(values)])
    await store.close()


def test_migrations_are_applied_once_and_views_are_replaced(clickhouse):
    url, name = clickhouse.url, "migrated"
    files = sorted(path.name for path in ddl.files() if path.parent == ddl.FOLDER)
    assert migrations.migrate(url, name, is_dry_run=True) == files
    assert {migration.state for migration in migrations.status(url, name)} == {"pending"}
    assert migrations.migrate(url, name) == files
    assert migrations.migrate(url, name) == []
    assert {migration.state for migration in migrations.status(url, name)} == {"applied"}
    migrations.keep_days(url, 400, name)
    migrations.keep_days(url, None, name)


async def test_a_database_of_an_earlier_version_gets_its_columns(clickhouse, monkeypatch, tmp_path):
    """Rows of before are read as they were, with what was not known then as NULL; rows of an ingest of before are taken too."""
    url, name = clickhouse.url, "earlier"
    (tmp_path / "ddl" / "views").mkdir(parents=True)
    first, later = (files := sorted(ddl.FOLDER.glob("*.sql")))[: len(TABLES)], files[len(TABLES) :]
    for path in first:
        shutil.copy(path, tmp_path / "ddl")
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "FOLDER", tmp_path / "ddl")
        assert len(migrations.migrate(url, name)) == len(TABLES)
    rig = Rig(type("NoBroker", (), {"bootstrap_servers": ""}), clickhouse, name)
    rig.command(
        "INSERT INTO visits (visit_id, kind, received_ms, occurred_ms, logged_ms, log_partition, log_offset) VALUES ('v0', 'visit', 1, 1, 1, 0, 0)"
    )
    rig.command("INSERT INTO event_revisions (event_id, received_ms, revision, payload) VALUES ('e0', 1, 1, '')")
    assert migrations.migrate(url, name) == [path.name for path in later]
    old = orjson.loads(visit(1))
    for field in ("is_bot", "user_agent", "language"):
        old.pop(field)
    await put(rig, [orjson.dumps(old), visit(2)], VISITS_FEED, first=1)
    found = rig.query("SELECT id, is_bot, user_agent, language FROM system_logs ORDER BY id")
    assert found == [("e0", None, None, None), ("v0", False, None, None), ("v1", False, None, None), ("v2", False, "Mozilla/5.0", "de-DE")]
    await put(rig, [row(1), row(2, receipt_id="r2")])
    assert rig.query("SELECT event_id, receipt_id FROM events ORDER BY event_id") == [("e0", None), ("e1-0-1", None), ("e1-0-2", "r2")]


async def test_events_shows_the_highest_revision_before_anything_is_merged(rig):
    """Settled point: current state is what counts, every earlier verdict stays readable in event_revisions."""
    await put(rig, [row(1, status="error", reason="unknown_click_id"), row(2), row(3, status="error", reason="unknown_click_id")])
    await put(rig, [row(1, revision=2), row(3, revision=2, status="ok")], first=10)
    await put(rig, [row(3, revision=3, status="deduplicated", reason="duplicate", duplicate_of="e1-0-1")], first=20)
    current = "SELECT event_id, status, revision FROM events {} ORDER BY event_id"
    assert rig.query(current.format("")) == [("e1-0-1", "ok", 2), ("e1-0-2", "ok", 1), ("e1-0-3", "deduplicated", 3)]
    assert rig.query(current.format("WHERE status = 'error'")) == []
    assert rig.query(current.format("WHERE event_id = 'e1-0-3'")) == [("e1-0-3", "deduplicated", 3)]
    assert rig.query(current.format("WHERE received_at > '2026-01-01' AND account_id = 'acme' AND click_id = 'clk1'")) == [
        ("e1-0-1", "ok", 2)
    ]
    assert rig.query("SELECT count() FROM event_revisions") == [(6,)]
    assert rig.query("SELECT sum(event_count), sum(value) FROM events_per_minute") == [(3, pytest.approx(37.5))]


async def test_a_range_of_time_reaches_both_sides_of_the_view(rig):
    """Else the cost of a small range would grow with the whole history."""
    await put(rig, [row(1), row(2)])
    await put(rig, [row(1, revision=2)], first=10)
    plan = "\n".join(line for (line,) in rig.query("EXPLAIN indexes = 1 SELECT count() FROM events WHERE received_at < '2020-01-01'"))
    assert plan.count("Parts: 0/") + plan.count("ReadNothing") + plan.count("Parts: 0") >= 2, plan


async def test_reasons_are_those_of_the_catalogue(rig):
    assert [code for (code,) in rig.query("SELECT code FROM reasons")] == [reason.code for reason in REASONS]


async def test_error_codes_have_their_names(rig):
    codes = RETRY | SETUP | ROWS
    assert dict(rig.query(f"SELECT arrayJoin({list(codes)}) AS code, errorCodeToName(code)")) == codes


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
async def test_recipes_run(rig_with_rows, recipe):
    found = rig_with_rows.query(recipe.sql, dict.fromkeys(recipe.parameters, "clk1"))
    empty = {"altered_payloads", "postback_errors", "source_silence", "status_drift", "destinations_failing"}
    assert bool(found) != (recipe.name in empty)
    if recipe.name == "verdicts_per_day":
        assert [line[1:] for line in found] == [(5, 2, 0, 1, 2, 0)]
    if recipe.name == "click_timeline":
        assert [line[1] for line in found] == ["click", "event: ok"]


@pytest.fixture(scope="module")
async def rig_with_rows(clickhouse):
    """A few events of the last hour: two ok (one of them healed), a duplicate, two errors; offset 5 is missing."""
    rig = Rig(type("NoBroker", (), {"bootstrap_servers": ""}), clickhouse, "recipes")
    await asyncio.to_thread(migrations.migrate, clickhouse.url, rig.name)
    now_ms = int(time.time() * 1000) - 3_600_000
    times = {"received_ms": now_ms, "event_ms": now_ms}
    error = {"status": "error", "reason": "unknown_click_id", "message": "Error: Unknown click_id", "view_status": "failure"}
    duplicate = {"status": "deduplicated", "reason": "duplicate", "duplicate_of": "e1-0-1", "evidence": {"key": "transaction_id"}}
    await put(
        rig, [row(1, **times), row(2, **times, **error), row(3, **times, **duplicate), row(4, **times, **error), row(6, **times, **error)]
    )
    await put(rig, [row(2, **times, revision=2)], first=10)
    await put(rig, [visit(1, occurred_ms=now_ms - 60_000, received_ms=now_ms - 60_000)], VISITS_FEED)
    return rig


async def test_conservation_names_what_is_missing_or_doubled(kafka, rig):
    """Every payload up to the watermark has exactly one current row; transaction markers are no payloads."""
    topic, group = f"{rig.name}.payloads", f"{rig.name}.ledger"
    args = {"bootstrap_servers": rig.bootstrap}
    admin = AIOKafkaAdminClient(**args)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()
    producer = AIOKafkaProducer(**args, transactional_id=rig.name)  # as the spool may: offsets 3 and 7 are markers
    await producer.start()
    for _ in range(2):
        async with producer.transaction():
            for _ in range(3):
                await producer.send_and_wait(topic, b"payload", partition=0)
    await producer.stop()
    ledger = AIOKafkaConsumer(**args, group_id=group, enable_auto_commit=False)
    await ledger.start()
    ledger.assign([TopicPartition(topic, 0)])
    await ledger.commit({TopicPartition(topic, 0): 7})
    await ledger.stop()

    async def check():
        return await conservation.check(rig.clickhouse.url, args, rig.name, topic=topic, group=group, settle_s=0)

    offsets = (0, 1, 2, 4, 5, 6)
    await put(rig, [row(offset, topic=topic, status="error" if offset == 4 else "ok") for offset in offsets])
    await put(rig, [row(4, topic=topic, revision=2)], first=10)
    report = await check()
    assert report.is_whole, report
    assert report.lines() == ["in 6 = ok 6 + discarded 0 + deduplicated 0 + error 0; 1 not judged yet"]
    await asyncio.to_thread(rig.command, "DELETE FROM event_revisions WHERE offset IN (1, 5)")
    await put(rig, [row(6, topic=topic, received_ms=1)], first=30)  # another time, so that no merge folds it
    report = await check()
    assert not report.is_whole
    (first, second) = report.partitions
    assert (first.in_count, first.missing, first.doubled, second.in_count) == (6, (1, 5), (6,), 0)
    assert "partition 0: 2 payloads without a row: offsets 1, 5" in report.lines()
