"""What was told and is not so any more is told, too: refunds, reversals, and conversions that turn out to be none."""

import orjson

from streams.runtime.memory import Memory
from streams.workspace import Workspace

NOW = 1_790_000_000_000
HOUR = 3_600_000


def memory_of():
    workspace = Workspace()
    workspace.apply(0, "property", "p1", {"id": "p1", "name": "P"})
    source = {"name": "S", "kind": "postback", "property_id": "p1", "mapping": {"default_status": "approved"}}
    workspace.apply(1, "source", "s", {"id": "s", **source})
    workspace.apply(2, "source", "brief", {"id": "brief", **source, "dedup": {"transaction_window_days": 1 / 24}})
    workspace.apply(3, "destination", "d", {"id": "d", "name": "D", "url": "https://example.com/"})
    return Memory(workspace, partitions=3)


def pay(memory, source="s", hours=0, **body):
    memory.payload(source, orjson.dumps({"transaction_id": "T1", "value": "50", **body}), received_ms=NOW + hours * HOUR)
    memory.run()


def visit(memory, click_id):
    memory.visit({
        "visit_id": click_id, "kind": "click", "account_id": "default", "property_id": "p1", "click_id": click_id, "occurred_ms": NOW - 5, "received_ms": NOW,
        "identifiers": [], "campaign_id": None, "traffic_source_id": None,
    })  # fmt: skip
    memory.run()


def told(memory):
    return [(request["kind"], request["value"], request["follows"]) for request in memory.postbacks()]


def test_refunds_in_parts_add_up():
    memory = memory_of()
    visit(memory, "K")
    pay(memory, click_id="K")
    pay(memory, status="refunded", value="20")
    pay(memory, status="refunded", value="-30")
    pay(memory, status="chargeback")
    first, second, third = memory.postbacks()
    assert [(one["kind"], one["value"]) for one in (first, second, third)] == [
        ("conversion", "50"),
        ("restatement", "30"),
        ("retraction", "50"),
    ]
    assert (second["follows"], third["follows"]) == (first["postback_id"], second["postback_id"]), "each corrects the one before it"
    assert {one["click_id"] for one in (first, second, third)} == {"K"}
    assert second["restates_event_id"] == first["event_id"]


def test_a_refund_that_came_first_takes_back_behind_the_sale():
    memory = memory_of()
    visit(memory, "K")
    pay(memory, status="refunded", click_id="K")
    pay(memory, click_id="K")
    assert [kind for kind, *_ in told(memory)] == ["conversion", "retraction"]


def test_a_conversion_that_turns_out_to_be_none_is_taken_back():
    """Two of a brief window; a payload before both heals, and its window covers them: one hands over what was told, the other is taken back."""
    memory = memory_of()
    visit(memory, "K")
    pay(memory, click_id="late")
    pay(memory, "brief", hours=10, click_id="K")
    pay(memory, "brief", hours=20, click_id="K")
    assert [kind for kind, *_ in told(memory)] == ["conversion", "conversion"]
    visit(memory, "late")
    first, second, third, fourth = sorted(
        memory.postbacks(), key=lambda request: ("conversion", "restatement", "retraction").index(request["kind"])
    )
    assert [one["kind"] for one in (first, second, third, fourth)] == ["conversion", "conversion", "restatement", "retraction"]
    assert {third["follows"], fourth["follows"]} == {first["postback_id"], second["postback_id"]}
    assert third["click_id"] == "late"


def test_who_was_never_told_hears_of_no_refund():
    memory = memory_of()
    pay(memory, click_id="unknown")
    pay(memory, status="refunded")
    assert told(memory) == []


def test_the_clicks_details_are_in_the_request_and_in_no_row():
    memory = memory_of()
    memory.visit({
        "visit_id": "K", "kind": "click", "account_id": "default", "property_id": "p1", "click_id": "K", "occurred_ms": NOW - 5, "received_ms": NOW,
        "identifiers": [], "campaign_id": None, "traffic_source_id": None, "ip": "9.9.9.9", "parameters": {"gclid": "G", "long": "x" * 5_000},
    })  # fmt: skip
    memory.run()
    pay(memory, click_id="K", sub1="one")
    [request] = memory.postbacks()
    assert request["click"] == {"i": "9.9.9.9", "q": {"gclid": "G"}}
    assert request["parameters"]["sub1"] == "one"
    assert "9.9.9.9" not in str(memory.rows())
