"""A check that cannot fail proves nothing: the judge of `make chaos` is shown a row that is gone, one that is there twice, one that was changed."""

import json
import random

import pytest

from bench.chaos import judge, table, world
from bench.chaos.round import Row
from bench.fault_rig import PARTITIONS, PII_KEY
from schemas.event import SETTINGS_VERSION, SOURCE
from streams.partition import partition_of
from streams.runtime.memory import Memory
from streams.topology import PAYLOADS
from streams.workspace import Workspace


@pytest.fixture(scope="module")
def lived():
    """Some families, moved through the stages over lists: the memory, and what the oracle says of each payload."""
    made = Workspace()
    file = json.loads(world.workspace("http://127.0.0.1:1"))
    entities = [(kind, value) for kind in ("properties", "sources", "destinations") for value in file[kind]]
    for version, (kind, value) in enumerate(entities):
        made.apply(version, {"properties": "property"}.get(kind, kind[:-1]), value["id"], value)
    memory = Memory(made, partitions=PARTITIONS, pii_key=PII_KEY.encode())
    families = world.families(0, 60, seed=4)
    now = families[0].payloads[0]["time"] + 10**9
    for which in ("clicks", "late"):
        for family in families:
            for click in getattr(family, which):
                to = click["id"].encode()
                memory.append("clicktrail.visits.v1", partition_of(to, PARTITIONS), to, world.visit(click, now), (), now)
        memory.run()
        payloads = [payload for family in families for payload in family.payloads] if which == "clicks" else []
        for at, payload in enumerate(payloads):
            memory.payload(f"{payload['source']}-{payload['property']}", world.body(payload), received_ms=now + 7 * at)
        memory.run()
    known = {p["n"]: p for family in families for p in family.payloads}
    records = [record for (topic, _), found in memory.log.items() if topic == PAYLOADS.name for record in found]
    received = world.as_received(records, known, {})
    clicks = {family.number: family.clicks + family.late for family in families}
    return memory, world.expected(received, clicks)


@pytest.fixture
def rows(lived):
    """Event id -> row as a line, as ClickHouse would print it."""
    return {event_id: json.dumps(row) for event_id, row in lived[0].events().items()}


def test_both_references_agree_and_an_untouched_log_is_clean(lived, rows):
    """The independent oracle and the stages, on families with everything in them."""
    says = lived[1]
    assert len(says) == len(rows) > 200
    assert {"ok", "discarded", "deduplicated", "error"} == {brief[0] for brief in says.values()}
    assert judge.briefs(says, rows.values()).is_clean
    assert judge.rows(rows, rows.values()) == judge.Verdict(len(rows))


def test_a_removed_row_is_lost(rows):
    found = list(rows.values())
    found.pop(17)
    verdict = judge.rows(rows, found)
    assert (verdict.lost, verdict.doubled, verdict.differing) == (1, 0, 0)
    assert "no row" in verdict.named[0]


def test_a_row_that_is_there_twice_is_doubled(rows):
    found = [*rows.values(), next(iter(rows.values()))]
    assert judge.rows(rows, found)[1:4] == (0, 1, 0)


@pytest.mark.parametrize("column", ["status", "revision", "value", "duplicate_of", "payload_sha256"])
def test_a_changed_column_is_a_difference(rows, column):
    event_id = random.Random(column).choice(sorted(rows))
    row = json.loads(rows[event_id])
    row[column] = "another"
    verdict = judge.rows(rows, [*(line for one, line in rows.items() if one != event_id), json.dumps(row)])
    assert verdict[1:4] == (0, 0, 1)
    assert column in verdict.named[0]


def test_a_row_of_no_payload_is_a_difference(rows):
    row = json.loads(next(iter(rows.values()))) | {"event_id": "e1-0-999999"}
    assert judge.rows(rows, [*rows.values(), json.dumps(row)])[1:4] == (0, 0, 1)


def test_the_oracle_sees_a_wrong_verdict_even_where_both_logs_agree(lived, rows):
    """A fault of the stages themselves: the rows are what the stages make, and wrong."""
    event_id = next(one for one, line in rows.items() if json.loads(line)["status"] == "deduplicated")
    wrong = rows | {event_id: json.dumps(json.loads(rows[event_id]) | {"status": "ok", "reason": "recorded"})}
    assert judge.rows(wrong, wrong.values()).is_clean
    verdict = judge.briefs(lived[1], wrong.values())
    assert verdict.differing == 1
    assert event_id in verdict.named[0]


def test_ids_are_counted_both_ways():
    verdict = judge.counted(["a", "b", "c"], ["a", "a", "x", "c"])
    assert verdict[1:4] == (1, 1, 1)


def test_a_missing_request_and_one_too_many_are_seen(lived):
    """Of conversions that are none in the end, only those count that no late answer can have made one for a while."""
    rows, requests = lived[0].events(), lived[0].postbacks()
    settled = [request for request in requests if judge.is_settled(request, rows)]
    places = [judge.place_of(request) for request in settled if request["kind"] == "conversion"]
    assert len(places) > 50
    assert judge.counted(places, places[1:])[1:4] == (1, 0, 0)
    assert judge.counted(places, [*places, places[0]])[1:4] == (0, 1, 0)
    changed = [{**request, "value": "99"} if request is settled[0] else request for request in settled]
    told = judge.counted(judge.last_told(settled), judge.last_told(changed))
    assert told.is_clean == (judge.last_told(settled) == judge.last_told(changed))


def test_names_are_mapped_in_the_versions_that_map_them(lived):
    flips = [(3, True), (9, False)]
    assert [world.is_mapped(flips, version) for version in (2, 3, 8, 9, 10)] == [False, True, True, False, False]
    record = next(r for found in lived[0].log.values() for r in found if dict(r.headers).get(SETTINGS_VERSION))
    payload = {"n": json.loads(record.value)["n"], "name": "AddToCart"}
    ((_, found),) = world.as_received([record], {payload["n"]: payload}, {dict(record.headers)[SOURCE].decode(): [(0, True)]})
    assert found["name"] == "Cart"


@pytest.mark.parametrize(
    ("wrong", "is_kept"),
    [({}, True), ({"lost": 1}, False), ({"doubled": 1}, False), ({"differing": 1}, False), ({"recovery_s": None}, False)],
)
def test_a_row_of_the_table_is_kept_or_not(tmp_path, wrong, is_kept):
    row = Row("promise", "fault", 1, 10, 0, 0, 0, 1.0, 2.0)._replace(**wrong)
    table.keep([row], "short", 3, [], tmp_path / "chaos.json")
    assert json.loads((tmp_path / "chaos.json").read_text())["is_kept"] is is_kept
    assert len(table.cells(row)) == len(table.HEAD)


def test_rows_of_a_run_of_some_faults_take_their_place(tmp_path):
    path = tmp_path / "chaos.json"
    row = Row("promise", "a", 1, 10, 0, 0, 0, 1.0, 2.0)
    table.keep([row, row._replace(fault="b", lost=1)], "full", 30, ["disk full: spool: the time was over", "c: the time was over"], path)
    assert not json.loads(path.read_text())["is_kept"]
    table.keep([row._replace(fault="b", tries=2), row._replace(fault="disk full: spool")], "full", 5, [], path, is_added=True)
    found = json.loads(path.read_text())
    assert [(row["fault"], row["tries"], row["lost"]) for row in found["rows"]] == [("a", 1, 0), ("b", 2, 0), ("disk full: spool", 1, 0)]
    assert (found["is_kept"], found["seconds"], found["not_run"]) == (True, 35, ["c: the time was over"])
