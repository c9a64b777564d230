"""ClickHouse lost: everything comes back from the topics, row for row."""

import asyncio

import orjson
import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from tests.integration.roles_rig import Roles


@pytest.fixture
async def broker(tmp_path):
    own = Kafka(tmp_path / "kafka", port=free_port())
    await asyncio.to_thread(own.start)
    yield own
    await asyncio.to_thread(own.kill)


async def test_a_rebuilt_database_is_equal(broker, clickhouse, tmp_path):
    """Verdicts, revisions, visits, activity: the same rows, by hash; a lost row is seen; the sink goes on in the new database without doubling."""
    (tmp_path / "roles").mkdir()
    environment = {
        "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "CLICKTRAIL_PARTITIONS": "2",
        "CLICKTRAIL_CLICKHOUSE__URL": clickhouse.url,
        "CLICKTRAIL_CLICKHOUSE__DATABASE": "rebuild_old",
    }
    with Roles(tmp_path / "roles", environment) as roles:

        def sh(work, *arguments, **more):
            return asyncio.to_thread(work, *arguments, **more)

        async def ask(sql):
            return (await sh(roles.cli, "sql", sql, "--format", "TSV")).strip()

        async def until(sql, wanted):
            while (found := await ask(sql)) != wanted:
                roles.all_run()
                await asyncio.sleep(0.3)
            return found

        await sh(roles.cli, "topics", "apply")
        await sh(roles.cli, "migrate")
        await sh(roles.apply_workspace)
        for role in ("ingest", "ledger", "attribution", "sink"):
            roles.start(role)
        for number in range(12):
            await sh(roles.send, sub5=f"c{number}", txid=f"T{number // 2}", payout="5", status="approved")
        for number in range(0, 12, 4):
            await sh(roles.click, f"c{number}")
        await until("SELECT count(), countIf(status = 'ok') FROM events", "12\t3")
        assert "still writes" in await sh(roles.cli, "rebuild", "--into", "rebuild_new", code=2)
        await sh(roles.stop, "sink")
        said = await sh(roles.cli, "rebuild", "--into", "rebuild_new", "--json", code=None)
        while "still writes" in said:  # its session ends after 10 s
            await asyncio.sleep(1)
            said = await sh(roles.cli, "rebuild", "--into", "rebuild_new", "--json", code=None)
        rows = {row["table"]: row for row in orjson.loads(said[said.index("[\n") : said.index("\n]") + 2])}
        assert all(row["rows"] == row["rebuilt"] and row["missing"] == 0 for row in rows.values()), rows
        assert rows["event_revisions"]["rows"] >= 12
        assert rows["visits"]["rows"] == 3
        assert rows["activity"]["rows"] > 0
        assert "is no name" in await sh(roles.cli, "rebuild", "--into", "rebuild_old", code=2)

        roles.environment["CLICKTRAIL_CLICKHOUSE__DATABASE"] = "rebuild_new"
        roles.start("sink")
        await sh(roles.send, sub5="c0", txid="T-new", payout="5", status="approved")
        await until("SELECT count(), uniqExact(event_id) FROM events", "13\t13")
        await until("SELECT count() - uniqExact(log_partition, log_offset) FROM event_revisions", "0")
