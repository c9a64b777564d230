"""Who is told of a conversion, and as what: one request per (conversion, destination, revision)."""

import orjson
import pytest

from streams.postback import Postbacks
from streams.stage import Outputs
from streams.topology import POSTBACKS
from streams.workspace import Workspace

EVENT = {
    "event_id": "e1-0-1", "is_test": False, "settings_version": 9, "conversion_name": "Purchase", "value": "5", "currency": "USD",
    "transaction_id": "T1", "account_id": "acme", "property_id": "p1", "event_ms": 7, "partition": 2, "source_id": "s", "received_ms": 8,
}  # fmt: skip
BODY = orjson.dumps({"parameters": {"sub1": "a", "mail": "ann@example.com", "(time)": "a note"}})[1:]
FOUND = {
    "click_id": "K",
    "campaign_id": "c1",
    "traffic_source_id": "ads",
    "click": {"id": "K", "t": 3, "d": {"i": "9.9.9.9", "q": {"gclid": "G"}}},
}


def postbacks(*destinations):
    workspace = Workspace()
    workspace.apply(0, "property", "p1", {"id": "p1", "name": "P"})
    mapping = {"email": "mail"}
    workspace.apply(1, "source", "s", {"id": "s", "name": "S", "kind": "postback", "property_id": "p1", "mapping": mapping})
    workspace.apply(2, "traffic_source", "ads", {"id": "ads", "name": "Ads", "click_id_parameter": "gclid"})
    for destination in destinations:
        workspace.apply(
            3, "destination", destination["id"], {"name": "D", "account_id": "acme", "url": "https://example.com/", **destination}
        )
    workspace.apply(4, "campaign", "c-ads", {"id": "c-ads", "name": "C", "property_id": "p1", "traffic_source_id": "ads"})
    workspace.apply(9, "property", "p1", {"id": "p1", "name": "P"})
    return Postbacks(workspace)


def entry(**more):
    return {"id": "e1-0-1", "i": "T|Purchase|T1", "r": 1, **more}


def requests(made, event=None, found=None, own=None, superseded=()):
    out = Outputs()
    made.request({**EVENT, **(event or {})}, BODY, {**FOUND, **(found or {})}, own if own is not None else entry(), list(superseded), out)
    assert {topic for topic, *_ in out} <= {POSTBACKS.name}
    return [orjson.loads(value) for _, _, _, value, _ in out]


def test_a_request_has_what_delivery_and_its_log_need():
    """C11 to C18: ids that join both ways, custom conversion, integration."""
    [request] = requests(postbacks({"id": "d1", "integration_id": "meta-1", "conversion_names": {"Purchase": "sale"}}))
    assert request == {
        "postback_id": "e1-0-1.d1.1", "kind": "conversion", "restates_event_id": None, "event_id": "e1-0-1", "revision": 1, "destination_id": "d1",
        "integration_id": "meta-1", "click_id": "K", "ct": "sale", "conversion_name": "Purchase", "value": "5", "currency": "USD",
        "transaction_id": "T1", "campaign_id": "c1", "traffic_source_id": "ads", "account_id": "acme", "property_id": "p1", "event_ms": 7,
        "settings_version": 9, "follows": None, "requested_ms": 8, "parameters": {"sub1": "a"}, "click": {"i": "9.9.9.9", "q": {"gclid": "G"}}, "click_ms": 3,
        "external_id_parameter": "gclid",
    }  # fmt: skip


def test_a_person_is_told_as_a_platform_takes_it():
    """Hashes, and only to a platform: the address itself is nowhere in a request."""
    meta = {"kind": "conversion_api", "url": "https://example.com/", "meta": {"pixel_id": "1", "access_token": "t"}}
    [request] = requests(postbacks({"id": "d1", **meta}))
    assert request["user"] == {"email": "71d4f55f72fa128dfb468a1a3901507c804b74316488744d769d7f4b16696476"}
    assert "ann@example.com" not in str(request)


@pytest.mark.parametrize(
    ("destination", "is_told"),
    [
        ({}, True),
        ({"is_enabled": False}, False),
        ({"conversion_names": ["Purchase"]}, True),
        ({"conversion_names": ["Lead"]}, False),
        ({"conversion_names": []}, False),
        ({"property_ids": ["p1", "p2"]}, True),
        ({"property_ids": ["p2"]}, False),
        ({"traffic_source_ids": ["ads"]}, True),
        ({"traffic_source_ids": ["mail"]}, False),
    ],
)
def test_who_is_told(destination, is_told):
    """Rule 12."""
    assert bool(requests(postbacks({"id": "d1", **destination}))) is is_told


def test_a_click_without_a_traffic_source_is_nobodys():
    made = postbacks({"id": "d1", "traffic_source_ids": ["ads"]})
    assert requests(made, found={"traffic_source_id": None}) == []


def test_tests_are_never_reported():
    """Rule 14."""
    assert requests(postbacks({"id": "d1"}), {"is_test": True}) == []


def test_destinations_are_those_of_the_payloads_settings():
    made = postbacks({"id": "d1"})
    assert requests(made, {"settings_version": 2}) == []
    assert len(requests(made, {"settings_version": 3})) == 1


def test_another_click_is_a_restatement():
    """A better click came late: the same event again, its own first request restated."""
    made, own = postbacks({"id": "d1"}), entry()
    requests(made, own=own)
    own["r"] = 2
    [request] = requests(made, own=own, found={"click_id": "L"})
    assert (request["kind"], request["restates_event_id"], request["postback_id"]) == ("restatement", "e1-0-1", "e1-0-1.d1.2")
    assert request["follows"] == "e1-0-1.d1.1"


def test_an_earlier_payload_that_healed_restates_the_later_one():
    made, later = postbacks({"id": "d1"}), entry(id="e1-0-2")
    requests(made, {"event_id": "e1-0-2"}, own=later)
    [request] = requests(made, superseded=[later])
    assert (request["kind"], request["restates_event_id"]) == ("restatement", "e1-0-2")


def test_only_who_was_told_gets_a_restatement():
    """A destination that did not want the first click hears of the conversion for the first time."""
    made, own = postbacks({"id": "d1"}, {"id": "d2", "traffic_source_ids": ["mail"]}), entry()
    assert [request["destination_id"] for request in requests(made, own=own)] == ["d1"]
    own["r"] = 2
    said = requests(made, own=own, found={"click_id": "L", "traffic_source_id": "mail"})
    assert [(request["destination_id"], request["kind"]) for request in said] == [("d1", "restatement"), ("d2", "conversion")]


@pytest.mark.parametrize("other", [entry(id="e1-0-0", i="T|Lead|T1", p={"d1": "x"}), entry(id="e1-0-0", p={"d2": "x"}), entry(id="e1-0-0")])
def test_what_is_no_restatement(other):
    """Another identity, another destination, one that nobody was told of."""
    [request] = requests(postbacks({"id": "d1"}), superseded=[other])
    assert request["kind"] == "conversion"


def test_what_was_told_survives_json():
    """It lies in the home's state."""
    made, own = postbacks({"id": "d1"}), entry()
    requests(made, own=own)
    [request] = requests(made, own=orjson.loads(orjson.dumps(own)))
    assert request["kind"] == "restatement"


def test_a_destination_hears_of_its_own_account_only():
    assert requests(postbacks({"id": "d1"}), {"account_id": "rival", "property_id": "p9"}) == []


@pytest.mark.parametrize(("wanted", "count"), [(["ads"], 1), (["mail"], 0)])
def test_a_click_that_only_names_its_campaign_has_the_campaigns_traffic_source(wanted, count):
    """A destination for one traffic source heard nothing of its campaigns' clicks, and no row said so."""
    found = {"campaign_id": "c-ads", "traffic_source_id": None}
    assert len(requests(postbacks({"id": "d1", "traffic_source_ids": wanted}), found=found)) == count
