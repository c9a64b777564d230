"""Dashboards and alerts against the registry of metrics, and those in SQL on the engine. A metric that is renamed is found here."""

import asyncio
import re
import time

import orjson
import pytest

from deploy.observe import CLICKHOUSE, DASHBOARDS, PROMETHEUS, RULES
from deploy.observe.files import files
from sinks import migrations
from sinks.queries import recipes
from streams.runtime.metrics import TABLE
from streams.topology import ATTEMPTS, EVENTS
from tests.deploy.tools import DEPLOY, ROOT, documents, run, tool
from tests.integration.sink_rig import Rig, feeds_of, row

ALERTS = documents(DEPLOY / "observe/alerts.yaml")[0]["groups"][0]["rules"]
README = (DEPLOY / "README.md").read_text()
PANELS = [panel for board in DASHBOARDS for panel in board.panels]
NAMES = {}
for metric in TABLE:
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[metric.kind]
    NAMES |= {metric.name + suffix: set(metric.labels) | ({"le"} if suffix == "_bucket" else set()) for suffix in suffixes}
OF_PROMETHEUS = {"instance", "job"}


@pytest.mark.parametrize("path", files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_are_current(path):
    assert path.read_text() == files()[path], "run `python -m deploy.observe`"


@pytest.mark.parametrize(
    "query",
    [panel.query for panel in PANELS if panel.source == PROMETHEUS] + [rule["expr"] for rule in ALERTS],
    ids=lambda query: query[:60],
)
def test_queries_ask_for_metrics_and_labels_that_there_are(query):
    used = set(re.findall(r"\bclicktrail_\w+", query))
    assert used <= set(NAMES), f"no such metric: {used - set(NAMES)}"
    labels = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
    labels |= set(re.findall(r"(\w+)(?:=~?|!=)\"", query))
    known = set().union(*(NAMES[name] for name in used)) | OF_PROMETHEUS
    assert labels <= known, f"no such label: {labels - known}"


def test_legends_name_labels_of_their_query():
    for panel in PANELS:
        assert set(re.findall(r"\{\{(\w+)\}\}", panel.legend)) <= set(re.findall(r"\w+", panel.query)), panel.title


def test_the_registry_is_watched():
    """What nobody looks at is noise: each metric is on a dashboard or in an alert, but for the few that explain another one."""
    queries = " ".join([panel.query for panel in PANELS] + [rule["expr"] for rule in ALERTS])
    unwatched = {metric.name for metric in TABLE if metric.name not in queries}
    assert unwatched == {
        "clicktrail_outputs", "clicktrail_restored_records", "clicktrail_sink_known_rows", "clicktrail_ingest_bytes", "clicktrail_ingest_drained",
        "clicktrail_ingest_producers_replaced", "clicktrail_ingest_unrecorded_clicks",
    }  # fmt: skip


def test_every_alert_has_its_runbook():
    headings = {heading.lower().replace(" ", "-").replace("'", "") for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    wanted = {rule["annotations"]["runbook"].partition("#")[2] for rule in ALERTS} | {rule.runbook for rule in RULES}
    assert wanted <= headings, wanted - headings


def test_promtool_accepts_and_tests_the_alerts():
    promtool = tool("promtool")
    run(promtool, "check", "config", "deploy/observe/prometheus.yaml")
    run(promtool, "test", "rules", "deploy/observe/alerts.test.yaml")


def test_each_alert_is_tested_by_promtools_file():
    text = (ROOT / "deploy/observe/alerts.test.yaml").read_text()
    assert f"value: {len(ALERTS)}}}" in text, "the last test counts all of them"


@pytest.fixture(scope="module")
async def rig(clickhouse):
    rig = Rig(type("NoBroker", (), {"bootstrap_servers": ""}), clickhouse, "observed")
    await asyncio.to_thread(migrations.migrate, clickhouse.url, rig.name)
    return rig


@pytest.mark.parametrize("panel", [panel for panel in PANELS if panel.source == CLICKHOUSE], ids=lambda panel: panel.title)
async def test_sql_panels_run(rig, panel):
    sql = panel.query.replace("$__fromTime", "toDateTime(0)").replace("$__toTime", "toDateTime(2000000000)")
    assert "$" not in sql
    await asyncio.to_thread(rig.query, sql)


async def test_sql_alerts_fire_when_they_should(rig):
    """A source that fell silent and one whose status mix turned are found; a steady one is not."""
    now, hour = int(time.time() * 1000), 3_600_000
    values = []
    for day in range(1, 8):
        for number in range(100):
            at = now - day * 24 * hour - number * 1_000
            values += [
                row(
                    len(values) + n,
                    source_id=source,
                    received_ms=at,
                    event_ms=at,
                    offset=len(values) + n,
                    event_id=f"e1-0-{len(values) + n}",
                )
                for n, source in enumerate(("silent", "steady", "turned"))
            ]
    for number in range(100):
        at = now - 60_000 - number * 1_000
        for source, status in (("steady", "ok"), ("turned", "error")):
            n = len(values)
            values.append(row(n, source_id=source, received_ms=at, event_ms=at, offset=n, event_id=f"e1-0-{n}", status=status))
    await put(rig, values)
    found = {recipe.name: recipe.sql for recipe in recipes()}
    assert [line[0] for line in rig.query(found["source_silence"])] == ["silent"]
    assert [line[0] for line in rig.query(found["status_drift"])] == ["turned"]
    assert rig.query(found["destinations_failing"]) == []
    tries = [("works", 1, 0)] * 12 + [("fails", 1, 1)] * 3 + [("fails", 1, 0)] * 9 + [("waits", 0, 0)] * 20 + [("waits", 1, 1)] * 3
    await put(rig, [attempt(n, *one) for n, one in enumerate(tries)], ATTEMPTS.name)
    assert [line[:3] for line in rig.query(found["destinations_failing"])] == [("fails", 0.25, 12)]


def attempt(number, destination_id, attempt, is_error):
    """A record of attempts.v1: a postback of five minutes ago, asked for or tried once."""
    at = int(time.time() * 1000) - 300_000
    return orjson.dumps({
        "postback_id": f"e1-0-{number}.{destination_id}.1", "attempt": attempt, "account_id": "default", "property_id": "shop",
        "event_id": f"e1-0-{number}", "click_id": "c", "destination_id": destination_id, "integration_id": None, "postback_ms": at, "sent_ms": at,
        "duration_ms": 12, "is_error": is_error, "error_message": "500" if is_error else None, "status_code": 500 if is_error else 200,
        "postback_url": "https://ads.example/", "ct": "sale", "request": "GET", "response": "", "next_attempt_ms": None,
        "state": "delivered" if attempt and not is_error else "waiting",
    })  # fmt: skip


async def put(rig, values, topic=EVENTS.name):
    from sinks.store import Store
    from streams.stage import Record

    feed = next(feed for feed in feeds_of(rig.name) if feed.topic == f"{rig.name}.{topic}")
    store = Store(rig.clickhouse.url, rig.name)
    await store.insert(feed, [Record(feed.topic, 0, n, 1_790_000_100_000, None, value) for n, value in enumerate(values)])
    await store.close()
