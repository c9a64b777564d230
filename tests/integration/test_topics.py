"""`clicktrail topics`: created as the topology says, changed where that is harmless, refused where it is not, and grown with their state."""

import asyncio
from collections import Counter

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from streams.partition import partition_of
from streams.rehoming import RULES
from streams.runtime import topic_plan, topics
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings
from streams.topology import ACTIVITY, ATTRIBUTION_STATE, EVENTS, LEDGER_STATE, LOOKUPS, PAYLOADS, ROLES, TOPICS
from tests.integration.roles_rig import Roles, records_of, rows_of

DAY_MS = 86_400_000
OLD, NEW = 3, 8
COUNT = 24


@pytest.fixture
async def broker(tmp_path):
    """A broker of its own: the topics' names are fixed."""
    own = Kafka(tmp_path / "kafka", port=free_port())
    await asyncio.to_thread(own.start)
    yield own
    await asyncio.to_thread(own.kill)


def made(broker, **more):
    return Settings(kafka={"bootstrap_servers": broker.bootstrap_servers}, partitions=OLD, **more)


async def apply(settings, *, is_dry_run=False, may_delete=False):
    admin = await topics.connected(settings)
    try:
        found = await topic_plan.look(admin, settings)
        steps = topic_plan.plan(found, settings, may_delete=may_delete)
        if not is_dry_run:
            await topic_plan.carry_out(admin, found, steps, settings)
        return steps
    finally:
        await admin.close()


async def test_apply_creates_changes_and_refuses(broker):
    """A dry run says what a run does; a refused step stops all of them; settings of others on a topic stay."""
    plain = made(broker)
    assert {(step.topic, step.kind) for step in await apply(plain, is_dry_run=True)} == {(topic.name, "create") for topic in TOPICS}
    await apply(plain)
    assert await apply(plain) == []

    month = made(broker, retention={"log_days": 30})
    steps = await apply(month, is_dry_run=True)
    assert {step.kind for step in steps} == {"refuse"}
    assert {PAYLOADS.name, EVENTS.name} <= {step.topic for step in steps}
    assert ACTIVITY.name not in {step.topic for step in steps}, "the audit trail stays"
    assert LOOKUPS.name not in {step.topic for step in steps}, "it keeps its own seven days"
    with pytest.raises(BadSettings, match=r"retention\.ms") as refused:
        await apply(month)
    assert "--may-delete" in refused.value.remedy
    await set_on(plain, PAYLOADS.name, {"segment.bytes": "1048576"})
    await apply(month, may_delete=True)
    found = {each.state.topic.name: each for each in await look(month)}
    assert found[PAYLOADS.name].values["retention.ms"] == str(30 * DAY_MS)
    assert found[PAYLOADS.name].values["segment.bytes"] == "1048576"
    assert await apply(month) == []
    assert {step.kind for step in await apply(plain, is_dry_run=True)} == {"change"}, "keeping longer deletes nothing"
    await apply(plain)

    for wrong, reason in (
        (plain.model_copy(update={"partitions": NEW}), "topics grow"),
        (plain.model_copy(update={"partitions": 2}), "cannot take partitions away"),
        (made(broker).model_copy(update={"kafka": plain.kafka.model_copy(update={"replication_factor": 3})}), "reassign"),
    ):
        steps = await apply(wrong, is_dry_run=True)
        assert reason in " ".join(step.why for step in steps if step.kind == "refuse")
        with pytest.raises(BadSettings, match="nothing was changed"):
            await apply(wrong)
    await set_on(plain, LEDGER_STATE.name, {"cleanup.policy": "delete"})
    (step,) = await apply(plain, is_dry_run=True)
    assert (step.what, step.kind) == ("cleanup.policy", "refuse")


async def look(settings):
    admin = await topics.connected(settings)
    try:
        return await topic_plan.look(admin, settings)
    finally:
        await admin.close()


async def set_on(settings, name, values):
    found = {each.state.topic.name: each for each in await look(settings)}[name]
    admin = await topics.connected(settings)
    await admin.alter_configs([topic_plan.ConfigResource(topic_plan.ConfigResourceType.TOPIC, name, found.own | values)])
    await admin.close()
    while not {each.state.topic.name: each for each in await look(settings)}[name].own.items() >= values.items():  # noqa: ASYNC110
        await asyncio.sleep(0.1)


def test_every_state_can_be_moved():
    """A changelog without a rule would make its role's topics stay as small as they were made."""
    assert set(RULES) == {role.changelog.name for role in ROLES if role.changelog}


async def test_keyed_topics_grow_with_their_state(broker, tmp_path):
    """Each identity keeps its memory and its order over a growth that is killed half way: retries stay duplicates, late clicks still heal."""
    kafka = {"bootstrap_servers": broker.bootstrap_servers}
    (tmp_path / "roles").mkdir()
    with Roles(
        tmp_path / "roles", {"CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers, "CLICKTRAIL_PARTITIONS": str(OLD)}
    ) as roles:

        def sh(work, *arguments, **more):
            return asyncio.to_thread(work, *arguments, **more)

        async def start(*names):
            for name in names:
                roles.start(name)
            for number in range(COUNT):
                await sh(roles.send, sub5=f"c{number}", txid=f"T{number}", payout="5", status="approved")

        await sh(roles.cli, "topics", "apply")
        await sh(roles.apply_workspace)
        roles.start("ingest")
        for number in range(0, COUNT, 2):
            await sh(roles.click, f"c{number}")
        await start("ledger", "attribution")
        first = await rows_of(kafka, lambda rows: sum(row["status"] == "ok" for row in rows) == COUNT // 2 and len(rows) >= COUNT)
        assert Counter(row["status"] for row in current(first)) == {"ok": COUNT // 2, "error": COUNT // 2}

        said = await sh(roles.cli, "topics", "grow", "--to", str(NEW), code=2)
        assert "Workers still run" in said
        for name in ("ingest", "ledger", "attribution"):
            await sh(roles.stop, name)
        assert "cannot take any away" in await sh(roles.cli, "topics", "grow", "--to", "2", code=2)
        await sh(roles.cli, "topics", "grow", "--to", str(NEW), code=99, CLICKTRAIL_FAILPOINT="after_move:2")
        for count in (OLD, NEW):
            assert "grow" in await sh(roles.cli, "doctor", code=1, CLICKTRAIL_PARTITIONS=str(count)), "half way, no role may start"
        await sh(roles.cli, "topics", "grow", "--to", str(NEW))
        await sh(roles.cli, "topics", "grow", "--to", str(NEW))  # once more moves nothing
        await check_places(kafka)
        assert "has 8 partitions, 3 are wanted" in await sh(roles.cli, "doctor", code=1)

        roles.environment["CLICKTRAIL_PARTITIONS"] = str(NEW)
        await start("ingest", "ledger", "attribution")  # every payload comes once more
        for number in range(1, COUNT, 2):
            await sh(roles.click, f"c{number}")
        rows = await rows_of(
            kafka, lambda rows: len(current(rows)) == 2 * COUNT and not any(row["status"] == "error" for row in current(rows))
        )
        ends = Counter((row["transaction_id"], row["status"]) for row in current(rows))
        assert ends == {(f"T{number}", status): 1 for number in range(COUNT) for status in ("ok", "deduplicated")}
        firsts = {row["event_id"] for row in current(first)}
        assert {row["event_id"] for row in current(rows) if row["status"] == "ok"} == firsts, (
            "the first one counts, as if nothing had moved"
        )
        assert {row["duplicate_of"] for row in current(rows) if row["status"] == "deduplicated"} == firsts
        assert {r.partition for r in await records_of(kafka, PAYLOADS.name)} > set(range(OLD)), "new payloads use the new partitions"


def current(rows):
    """The last revision of each event; rows come in order of revision."""
    return list({row["event_id"]: row for row in rows}.values())


async def check_places(kafka):
    """Every live key of the states is on the partition of its key, once, and watches know where their homes are now."""
    for changelog in (LEDGER_STATE.name, ATTRIBUTION_STATE.name):
        live = {}
        for record in await records_of(kafka, changelog):
            live[record.partition, record.key] = record.value
        live = {at: value for at, value in live.items() if value is not None}
        assert live
        assert len({key for _, key in live}) == len(live), "no key is in two places"
        for (partition, key), value in live.items():
            assert partition == partition_of(key[2:], NEW)
            if key.startswith(b"i:"):
                assert all(watch["at"] == partition_of(watch["h"].encode(), NEW) for watch in orjson.loads(value)["w"])


async def test_growing_refuses_what_is_under_way(broker):
    """A payload that nobody judged yet would be judged without its state."""
    from aiokafka import AIOKafkaProducer

    from streams.runtime.growth import grow

    settings = made(broker)
    with pytest.raises(BadSettings, match="no topics"):
        await grow(settings, NEW)
    await apply(settings)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers)
    await producer.start()
    await producer.send_and_wait(PAYLOADS.name, b"x", b"k", partition=0)
    await producer.stop()
    with pytest.raises(BadSettings, match="that the ledger has not judged"):
        await grow(settings, NEW)
    assert {each.state.partitions for each in await look(settings)} == {1, OLD}


async def test_a_topic_that_somebody_grew_by_hand_is_refused(broker):
    settings = made(broker)
    await apply(settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    await admin.create_partitions({PAYLOADS.name: NewPartitions(NEW)})
    await admin.close()
    while {each.state.topic: each.state.partitions for each in await look(settings)}[PAYLOADS] != NEW:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    with pytest.raises(BadSettings, match="was interrupted"):
        await topics.require(settings)
