"""A rolling upgrade, and back: workers of this version and of one to come side by side on the same topics; nothing is lost, nothing differs.

The version to come is made here from this one: every record that its roles write has one more field, in front. What stays over releases
is held by `tests/contract/test_evolution.py`; this is the same rule with processes, groups, transactions and the states' changelogs.
"""

import asyncio
import shutil
import time
import urllib.request

import orjson
import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port, free_ports
from streams.runtime.role_ports import ROLES as PORTS
from tests.integration.roles_rig import ROOT, Roles

ROLLED = ("ledger", "attribution", "sink")
MORE = 'b\'{"of_the_next_version":1,\' + value[1:] if value[:1] == b"{" else value'
PHASES = 4  # old, both, new, old again
EACH = 12  # conversions in each phase: of four, one comes twice, and one has its click only at the very end


@pytest.fixture
def next_version(tmp_path):
    """The sources with `Outputs.send` changed."""
    root = tmp_path / "next"
    for package in ("schemas", "streams", "sinks", "console", "deploy"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    stage = root / "streams" / "stage.py"
    before = stage.read_text()
    after = before.replace("batch.append((key, value, headers))", f"batch.append((key, {MORE}, headers))")
    assert after != before
    stage.write_text(after)
    return root


async def test_old_and_new_side_by_side_and_back(next_version, clickhouse, tmp_path):
    broker = Kafka(tmp_path / "kafka", port=free_port())
    await asyncio.to_thread(broker.start)
    environment = {
        "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "CLICKTRAIL_PARTITIONS": "4",
        "CLICKTRAIL_CLICKHOUSE__URL": clickhouse.url,
        "CLICKTRAIL_CLICKHOUSE__DATABASE": "upgrade",
    }
    try:
        with Roles(tmp_path, environment) as roles:
            await asyncio.to_thread(roll, roles, next_version)
    finally:
        await asyncio.to_thread(broker.kill)


def roll(roles, root):
    roles.cli("topics", "apply")
    roles.cli("migrate")
    roles.apply_workspace()
    roles.start("ingest")
    for role in ROLLED:
        roles.start(role)
    send(roles, 0)
    start_new(roles, root)
    send(roles, 1)
    for role in ROLLED:
        roles.stop(role)
    send(roles, 2)
    for role in ROLLED:
        roles.start(role)
    for role in ROLLED:
        roles.stop(f"new {role}")
    send(roles, 3)
    assert has_new_field(roles), "the new version has judged some of it"
    for phase in range(PHASES):
        for number in range(3, EACH, 4):
            roles.click(click(phase, number))  # heals what any version left
    wanted = PHASES * (EACH + EACH // 4)
    until(roles, wanted, PHASES * EACH)
    counts = ask(roles, "SELECT status, count() FROM events GROUP BY status ORDER BY status")
    assert counts == [["deduplicated", str(PHASES * EACH // 4)], ["ok", str(PHASES * EACH)]]
    checks = orjson.loads(roles.cli("doctor", "--conservation", "--json", code=None))  # delivery and console do not run
    assert [check["state"] for check in checks if check["check"] == "conservation"] == ["ok"]
    for name in [*roles.processes, *(f"new {role}" for role in ROLLED)]:
        assert "dead letter" not in roles.log(name)


def start_new(roles, root):
    """A second worker of each role: its own name in the group, state folder and ports, as a new pod has."""
    for role in ROLLED:
        roles.start(
            role, name=f"new {role}", root=root, CLICKTRAIL_INSTANCE=f"new-{role}", CLICKTRAIL_DATA_DIR=str(roles.folder / "new"),
            CLICKTRAIL_METRICS_PORT=str(free_ports(len(PORTS))[0]), PYTHONPATH=str(root),
        )  # fmt: skip


def click(phase, number):
    return f"c-{phase}-{number}"


def send(roles, phase):
    """One phase's traffic, and patience until it is in ClickHouse: so each phase is judged by who runs in it."""
    for number in range(EACH):
        if number % 4 != 3:
            roles.click(click(phase, number))
        for _ in range(2 if number % 4 == 0 else 1):
            roles.send(sub5=click(phase, number), txid=f"T-{phase}-{number}", payout="5", status="approved")
    until(roles, (phase + 1) * (EACH + EACH // 4), (phase + 1) * EACH * 3 // 4)


def until(roles, rows, ok):
    while (found := ask(roles, "SELECT count(), countIf(status = 'ok') FROM events")) != [[str(rows), str(ok)]]:
        roles.all_run()
        assert int(found[0][0]) <= rows, found
        time.sleep(0.2)


def ask(roles, sql):
    """Rows of texts, straight from the engine: the command line takes a second to load."""
    url = f"{roles.environment['CLICKTRAIL_CLICKHOUSE__URL']}/?database=upgrade&default_format=TSV"
    with urllib.request.urlopen(url, data=sql.encode(), timeout=60) as answer:
        return [line.split("\t") for line in answer.read().decode().splitlines()]


def has_new_field(roles):
    """Whether the topics hold what only the version to come writes."""
    from tests.integration.roles_rig import records_of

    records = asyncio.run(
        records_of({"bootstrap_servers": roles.environment["CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS"]}, "clicktrail.events.v1")
    )
    return 0 < sum(b"of_the_next_version" in record.value for record in records) < len(records)
