"""System activity, from the command line to the SQL table: a real broker, the real sink, a real engine. One run, in order."""

import asyncio
import sys
import time

import orjson
import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from schemas.entities import ENTITY_MODELS
from sinks import migrations
from streams.runtime import topics
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from tests import command_line

DATABASE = "activity"
WORKSPACE = """
properties: [{id: shop, name: Shop}]
traffic_sources: [{id: ads, name: Ads}]
affiliate_networks: [{id: acme, name: Acme, click_id_parameter: sub5}]
landers: [{id: page, name: Page, url: "https://page.example/"}]
offers: [{id: trial, name: Trial, url: "https://acme.example/?s={click_id}", affiliate_network_id: acme}]
flows: [{id: f, name: F, paths: [{lander_id: page, offer_id: trial}]}]
campaigns: [{id: c1, name: Spring, property_id: shop, traffic_source_id: ads, flow_id: f}]
sources: [{id: net, name: Net, kind: postback, property_id: shop, mapping: {click_id: sub5}, auth: {kind: token, token: s3cret-1}}]
destinations: [{id: capi, name: CAPI, url: "https://t.example/?c={click_id}", headers: {Authorization: s3cret-2}}]
users: [{id: ann, name: Ann, email: ann@x.example, role: owner}]
tokens: [{id: laptop, user_id: ann, sha256: 5ec3e7a1b2c3d4e5f60718293a4b5c6d7e8f9012a3b4c5d6e7f8091a2b3c4d5e}]
"""
CHANGED = (
    WORKSPACE.replace("name: ", "name: New ")
    .replace("click_id: sub5", "click_id: cid")
    .replace("s3cret", "s3cret-of-today")
    .replace("5ec3", "5ec4")
)


class Desk:
    """The command line in this process, against services of its own, and what the sink made of it."""

    def __init__(self, settings, folder):
        self.settings, self.folder = settings, folder
        self.environment = command_line.environment(
            KAFKA__BOOTSTRAP_SERVERS=settings.kafka.bootstrap_servers, CLICKHOUSE__URL=settings.clickhouse.url, CLICKHOUSE__DATABASE=DATABASE,
            DATA_DIR=folder, PARTITIONS=1, METRICS_PORT=free_port(), PII_KEY="test",
        )  # fmt: skip

    def run(self, *arguments, code=0):
        """Run a command line; returns (stdout, stderr)."""
        ended = command_line.run(*arguments, env=self.environment, code=code)
        return ended.out.decode(), ended.said

    async def json(self, *arguments, code=0):
        return orjson.loads((await asyncio.to_thread(self.run, *arguments, "--json", code=code))[0])

    async def apply(self, text, *arguments):
        path = self.folder / "workspace.yaml"
        path.write_text(text)
        return (await self.json("apply", "-f", str(path), *arguments))["changes"]

    async def activity(self, count, *arguments):
        """`clicktrail activity`, once the sink has brought `count` rows to the table."""
        ends_at = time.monotonic() + 20
        while len(await self.json("activity", "-n", "1000")) < count:
            assert time.monotonic() < ends_at, await self.json("activity", "-n", "1000")
            await asyncio.sleep(0.1)
        return await self.json("activity", "-n", "1000", *arguments)


@pytest.fixture(scope="module")
async def desk(clickhouse, tmp_path_factory):
    folder = tmp_path_factory.mktemp("activity")
    broker = Kafka(folder / "kafka", port=free_port())
    await asyncio.to_thread(broker.start)
    try:
        settings = Settings(
            kafka={"bootstrap_servers": broker.bootstrap_servers}, clickhouse={"url": clickhouse.url}, data_dir=folder, partitions=1
        )
        await topics.create_missing(settings)
        await asyncio.to_thread(migrations.migrate, clickhouse.url, DATABASE)
        desk = Desk(settings, folder)
        sink = await asyncio.create_subprocess_exec(sys.executable, "-m", "console.cli", "worker", "sink", env=desk.environment)
        try:
            yield desk
        finally:
            sink.terminate()
            await sink.wait()
    finally:
        await asyncio.to_thread(broker.kill)


async def test_every_kind_of_entity_leaves_a_row_for_every_change(desk):
    """C06, C07: created, updated, deleted, for campaigns, landers, offers, flows, networks, traffic sources and all others; counted."""
    kinds = set(ENTITY_MODELS)
    for number, (text, flags) in enumerate([(WORKSPACE, ()), (CHANGED, ()), ("", ("--prune",))], 1):
        changes = await desk.apply(text, "--author", "ann", "--reason", f"step {number}", *flags)
        assert {change["entity"] for change in changes} == kinds
    rows = await desk.activity(3 * len(kinds))
    assert len(rows) == 3 * len(kinds)
    assert {(row["entity"], row["action"]) for row in rows} == {
        (kind, action) for kind in kinds for action in ("created", "updated", "deleted")
    }
    feed = SettingsFeed(desk.settings)
    await feed.start()
    await feed.stop()
    assert feed.entities == {}
    assert {row["settings_version"] for row in rows} == await versions(desk)


async def versions(desk):
    """The versions of all records in the settings topic: each is one change."""
    seen = set()
    feed = SettingsFeed(desk.settings, on_change=seen.add)
    await feed.start()
    await feed.stop()
    return seen


async def test_a_row_says_who_why_and_what_it_was_before(desk):
    """C06, C08: author, reason, before, after and the fields that differ; secrets are compared and never shown."""
    rows = await desk.activity(33)
    by = {(row["entity"], row["action"]): row for row in rows}
    campaign = by["campaign", "updated"]
    assert (campaign["author"], campaign["reason"], campaign["entity_id"]) == ("ann", "step 2", "c1")
    assert (campaign["before"]["name"], campaign["after"]["name"]) == ("Spring", "New Spring")
    assert campaign["diff"] == [{"path": "name", "before": "Spring", "after": "New Spring"}]
    paths = {one["path"] for one in by["source", "updated"]["diff"]}
    assert {"name", "mapping.click_id[0]", "auth.token"} == paths
    assert by["campaign", "created"]["before"] is None
    assert by["campaign", "deleted"]["after"] is None
    assert "s3cret" not in str(rows)
    assert "5ec3e7a1" not in str(rows)


FILTERS = [
    (("--entity", "campaign"), 3),
    (("--entity", "landers", "--action", "deleted"), 1),
    (("--action", "updated"), 11),
    (("--author", "ann"), 33),
    (("--author", "bob"), 0),
    (("--since", "1h"), 33),
    (("--since", "2099-01-01"), 0),
    (("--entity", "user", "--id", "ann", "--author", "ann", "--action", "created"), 1),
]


@pytest.mark.parametrize(("arguments", "count"), FILTERS, ids=[" ".join(arguments) for arguments, _ in FILTERS])
async def test_activity_filters_by_entity_action_and_author(desk, arguments, count):
    """C09."""
    assert len(await desk.activity(33, *arguments)) == count


async def test_nothing_changed_leaves_nothing(desk):
    assert len(await desk.apply(WORKSPACE, "--author", "ann")) == 11
    assert await desk.apply(WORKSPACE, "--author", "bob") == []
    assert len(await desk.activity(44, "--author", "bob")) == 0


async def test_users_and_tokens_by_the_command_line(desk):
    """C08: many users; each change has its author. A token is printed once and kept as a hash."""
    await desk.json("users", "add", "bob", "--email", "bob@x.example", "--role", "editor", "--author", "ann")
    await desk.json("users", "add", "bob", "--role", "analyst", "--author", "ann", "--reason", "moved to the other team")
    out, said = await asyncio.to_thread(desk.run, "tokens", "create", "bob", "bob-ci", "--author", "bob")
    token = out.strip()
    assert token.startswith("ct_")
    assert "not shown again" in said
    listed = await desk.json("users", "ls")
    assert [(row["id"], row["role"], row["tokens"]) for row in listed] == [("ann", "owner", 1), ("bob", "analyst", 1)]
    assert {row["id"] for row in await desk.json("tokens", "ls")} == {"laptop", "bob-ci"}
    exported = await asyncio.to_thread(desk.run, "export-workspace")
    rows = await desk.activity(47)
    for text in (str(rows), str(exported), str(await desk.json("tokens", "ls"))):
        assert token not in text
        assert token.removeprefix("ct_") not in text
    await asyncio.to_thread(desk.run, "users", "rm", "ann", code=2)
    await desk.json("users", "rm", "bob", "--author", "ann")
    rows = (await desk.activity(49))[:5]
    assert [(row["author"], row["action"], row["entity"], row["entity_id"]) for row in reversed(rows)] == [
        ("ann", "created", "user", "bob"), ("ann", "updated", "user", "bob"), ("bob", "created", "token", "bob-ci"),
        ("ann", "deleted", "token", "bob-ci"), ("ann", "deleted", "user", "bob"),
    ]  # fmt: skip
    assert rows[3]["reason"] == "moved to the other team"
    assert rows[3]["diff"] == [{"path": "role", "before": "editor", "after": "analyst"}]


async def test_a_masked_export_comes_back_without_a_change(desk):
    text, _ = await asyncio.to_thread(desk.run, "export-workspace")
    assert "s3cret" not in text
    assert await desk.apply(text, "--prune") == []
    clear, _ = await asyncio.to_thread(desk.run, "export-workspace", "--with-secrets")
    assert "s3cret-2" in clear


async def test_people_read_it_as_a_table(desk):
    out, _ = await asyncio.to_thread(desk.run, "activity", "--entity", "user", "--action", "updated")
    assert 'role: "editor" -> "analyst"' in out
