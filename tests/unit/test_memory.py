"""The topology on lists is the topology: same routing, same roles, any schedule, and it settles."""

import orjson
import pytest

from streams.runtime.memory import Memory, MemoryState, first_come
from streams.topology import ATTRIBUTION, EVENTS, LEDGER, LOOKUPS, MATCHES, PAYLOADS, POSTBACKS, VISITS
from streams.workspace import Workspace

NOW = 1_790_000_000_000


@pytest.fixture
def memory():
    workspace = Workspace()
    workspace.apply(0, "property", "p1", {"id": "p1", "name": "P"})
    workspace.apply(
        1, "source", "s", {"id": "s", "name": "S", "kind": "postback", "property_id": "p1", "mapping": {"default_status": "approved"}}
    )
    workspace.apply(2, "destination", "d", {"id": "d", "name": "D", "url": "https://example.com/"})
    return Memory(workspace, partitions=3)


def pay(memory, **body):
    return memory.payload("s", orjson.dumps(body), received_ms=NOW)


def visit(memory, click_id):
    memory.visit({
        "visit_id": "v1", "kind": "click", "account_id": "default", "property_id": "p1", "click_id": click_id, "occurred_ms": NOW - 5, "received_ms": NOW,
        "identifiers": [], "campaign_id": None, "traffic_source_id": None,
    })  # fmt: skip


def test_a_conversion_goes_the_whole_way(memory):
    visit(memory, "K1")
    record = pay(memory, click_id="K1", transaction_id="T1", value="5")
    memory.run()
    [row] = memory.rows()
    assert (row["status"], row["offset"], row["partition"]) == ("ok", record.offset, record.partition)
    assert memory.events() == {row["event_id"]: row}
    assert len(memory.postbacks()) == 1
    assert {topic for topic, _ in memory.log} == {t.name for t in (PAYLOADS, VISITS, LOOKUPS, MATCHES, EVENTS, POSTBACKS)}
    assert {role for role, _ in memory.states} == {LEDGER.name, ATTRIBUTION.name}
    assert memory.waiting() == []


def test_the_current_row_is_the_highest_revision(memory):
    pay(memory, click_id="K1", transaction_id="T1")
    memory.run()
    assert [row["status"] for row in memory.events().values()] == ["error"]
    visit(memory, "K1")
    memory.run()
    assert [row["revision"] for row in memory.rows()] == [1, 2]
    assert [row["status"] for row in memory.events().values()] == ["ok"]


def test_offsets_count_per_partition_and_nothing_is_lost(memory):
    for n in range(50):
        pay(memory, click_id="K1", transaction_id=f"T{n}")
    memory.run()
    for (topic, partition), records in memory.log.items():
        assert [record.offset for record in records] == list(range(len(records)))
        assert all((record.topic, record.partition) == (topic, partition) for record in records)
    assert len(memory.events()) == 50


def test_a_schedule_decides_what_is_next_and_how_much(memory):
    for n in range(6):
        pay(memory, click_id="K1", transaction_id=f"T{n}")
    taken = []

    def one_by_one(waiting):
        taken.append(waiting[-1])
        return waiting[-1], 1

    memory.run(one_by_one)
    assert len(taken) == sum(
        len(records) for (topic, _), records in memory.log.items() if topic in {PAYLOADS.name, LOOKUPS.name, MATCHES.name}
    )
    assert first_come([("a", 0), ("b", 1)])[0] == ("a", 0)


def test_a_payload_names_its_settings(memory):
    record = pay(memory, click_id="K1")
    assert dict(record.headers) == {"ce_source": b"s", "settings": b"2"}
    older = memory.payload("s", b"{}", received_ms=NOW, headers={"settings": "0"})
    assert dict(older.headers)["settings"] == b"0"
    memory.run()
    assert memory.rows()[-1]["sub_reason"] in {"source_missing", "never_seen"}


def test_its_state_is_a_state():
    state = MemoryState()
    state.put(b"a", b"1")
    state.delete(b"a")
    state.delete(b"never")
    assert state.get(b"a") is None
