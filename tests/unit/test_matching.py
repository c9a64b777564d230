"""Who a conversion without a click id belongs to, and what an error stops: payload bytes in, rows and postbacks out, the topology on lists."""

import orjson
import pytest

from streams.identifiers import keys
from streams.runtime.memory import Memory
from streams.workspace import Workspace

NOW = 1_790_000_000_000
PII = b"memory"
SALE = {"event": "Purchase", "value": "49.90", "transaction_id": "T1", "status": "approved"}


@pytest.fixture
def memory():
    workspace = Workspace()
    workspace.apply(0, "property", "shop", {"id": "shop", "name": "Shop", "attribution": {"ip_matching": True}})
    workspace.apply(1, "source", "api", {"id": "api", "name": "API", "kind": "api_call", "property_id": "shop"})
    workspace.apply(2, "destination", "ads", {"id": "ads", "name": "Ads", "url": "https://ads.example/?c={click_id}"})
    return Memory(workspace, pii_key=PII)


def seen(memory, click_id, **identifiers):
    """A visit of the website, with what was collected there."""
    memory.visit({
        "visit_id": f"v-{click_id}", "kind": "identify", "account_id": "default", "property_id": "shop", "click_id": click_id,
        "occurred_ms": NOW - 60_000, "received_ms": NOW - 60_000, "campaign_id": None, "traffic_source_id": None,
        "identifiers": [(kind, key) for kind, value in identifiers.items() for key in keys(kind, value, PII, False)],
    })  # fmt: skip


def judged(memory, **payload):
    """The row of one payload from the shop's server."""
    raw = payload.pop("raw", None)
    record = memory.payload("api", orjson.dumps(SALE | payload) if raw is None else raw, received_ms=NOW)
    memory.run()
    return memory.events()[f"e1-{record.partition}-{record.offset}"]


@pytest.mark.parametrize(
    ("collected", "passed"),
    [
        ({"email": "ann@example.com"}, {"email": " Ann@Example.com"}),
        ({"phone": "+1 202 555 0143"}, {"phone": "+12025550143"}),
        ({"external_id": "customer-7"}, {"external_id": "customer-7"}),
    ],
)
def test_a_refid_ties_a_conversion_of_a_server_to_the_session_on_the_website(memory, collected, passed):
    """A21, A22: no click id in the payload, and the row has that of the session in which the value was collected."""
    seen(memory, "other", email="bob@example.com")
    seen(memory, "of-the-session", **collected)
    row = judged(memory, **passed)
    assert (row["status"], row["click_id"], row["match_kind"]) == ("ok", "of-the-session", next(iter(passed)))


@pytest.mark.parametrize("passed", [{"email": "Eve@Example.com"}, {"phone": "+12025550199"}, {"external_id": "customer-8"}])
def test_a_refid_that_was_never_collected_is_an_error_that_quotes_it(memory, passed):
    """A24: it matches no attribute that was collected before, however many others are known."""
    seen(memory, "of-the-session", email="ann@example.com", phone="+12025550143", external_id="customer-7")
    row = judged(memory, **passed)
    [value] = passed.values()
    assert (row["status"], row["reason"], row["sub_reason"]) == ("error", "cant_find_refid", "never_seen")
    assert row["message"] == f"Error: Can't find refId: {value}"


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        ({}, ("ok", "recorded", "ip")),
        ({"email": "", "click_id": ""}, ("ok", "recorded", "ip")),  # parameters without values are none
        ({"click_id": "k-of-nobody"}, ("error", "unknown_click_id", None)),
        ({"email": "eve@example.com"}, ("error", "cant_find_refid", None)),
        ({"ip": "203.0.113.10"}, ("error", "no_ip_match", None)),  # it has changed since
    ],
)
def test_an_ip_is_asked_only_where_there_is_nothing_better(memory, passed, said):
    """A36: no click id *and* no refId; an address that changed between click and conversion finds nothing."""
    seen(memory, "of-the-session", ip="203.0.113.9")
    row = judged(memory, **{"ip": "203.0.113.9"} | passed)
    assert (row["status"], row["reason"], row["match_kind"]) == said


ERRORS = {
    "cant_find_refid": {"email": "eve@example.com"},
    "no_click_id": {},
    "unknown_click_id": {"click_id": "k-of-nobody"},
    "cant_find_event": {"status": "refunded"},
    "unauthorized_asset": {"property_id": "somebody-elses", "click_id": "known"},
    "no_ip_match": {"ip": "203.0.113.10"},
    "unreadable_payload": {"raw": b'{"event": "Purch'},
}


@pytest.mark.parametrize("reason", ERRORS)
def test_an_error_blocks_tracking_and_its_message_names_one_cause(memory, reason):
    """A19: nothing is recorded and nobody is told; the same payload without its fault is recorded afterwards."""
    seen(memory, "known", email="ann@example.com", ip="203.0.113.9")
    row = judged(memory, **ERRORS[reason])
    assert (row["status"], row["reason"], row["view_status"]) == ("error", reason, "failure")
    assert row["message"].startswith("Error: ")
    assert memory.postbacks() == []
    assert judged(memory, click_id="known")["status"] == "ok"
    assert [postback["kind"] for postback in memory.postbacks()].count("conversion") == 1


def test_each_error_has_a_message_of_its_own():
    """A19: whoever reads the message knows which of them it is."""
    messages = set()
    for reason, payload in ERRORS.items():
        made = Workspace()
        made.apply(0, "property", "shop", {"id": "shop", "name": "Shop", "attribution": {"ip_matching": True}})
        made.apply(1, "source", "api", {"id": "api", "name": "API", "kind": "api_call", "property_id": "shop"})
        messages.add(judged(Memory(made, pii_key=PII), **payload)["message"].partition(": ")[2].partition(":")[0])
        assert len(messages) == list(ERRORS).index(reason) + 1


def test_a_sale_that_is_reported_three_times_is_counted_and_sent_once(memory):
    """A13, A14, A15: one ok and one postback, however often the same URL is fired."""
    seen(memory, "known", email="ann@example.com")
    statuses = [judged(memory, click_id="known")["status"] for _ in range(3)]
    assert statuses == ["ok", "deduplicated", "deduplicated"]
    assert [postback["kind"] for postback in memory.postbacks()].count("conversion") == 1
