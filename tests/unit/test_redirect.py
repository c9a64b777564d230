"""Where a click of a tracking link goes (weights, deterministic), and what its address becomes (every macro of the trade)."""

from collections import Counter

import pytest

from schemas.entities import Step
from streams.expansion import filled, values
from streams.ingest.answers import Refused
from streams.ingest.ids import new_id
from streams.ingest.redirect import step_of, way_of
from streams.workspace import Workspace

ENTITIES = (
    ("property", {"id": "shop"}),
    ("traffic_source", {"id": "ads", "click_id_parameter": "adclid"}),
    ("affiliate_network", {"id": "acme", "click_id_parameter": "sub5"}),
    ("lander", {"id": "page", "url": "https://page.example/"}),
    ("offer", {"id": "one", "url": "https://net.example/1", "affiliate_network_id": "acme"}),
    ("offer", {"id": "two", "url": "https://net.example/2"}),
    ("flow", {"id": "split", "paths": [{"lander_id": "page", "offer_id": "one", "weight": 3}, {"offer_id": "two", "weight": 1}]}),
    ("campaign", {"id": "c1", "property_id": "shop", "traffic_source_id": "ads", "flow_id": "split"}),
    ("campaign", {"id": "idle", "property_id": "shop"}),
)


@pytest.fixture(scope="module")
def workspace():
    made = Workspace()
    for version, (entity, value) in enumerate(ENTITIES):
        made.apply(version, entity, value["id"], {"name": value["id"].title(), **value})
    return made


def paths(*weights):
    return [Step(offer_id=f"o{number}", weight=weight) for number, weight in enumerate(weights)]


@pytest.mark.parametrize(
    ("weights", "shares"), [((70, 30), (0.7, 0.3)), ((1, 0, 3), (0.25, 0, 0.75)), ((0, 0), (1, 0)), ((1,), (1,))], ids=str
)
def test_paths_are_taken_by_weight(weights, shares):
    ids = [new_id(1_790_000_000_000 + number) for number in range(20_000)]
    taken = Counter(step_of(paths(*weights), click_id).offer_id for click_id in ids)
    assert [taken[f"o{number}"] / len(ids) for number in range(len(weights))] == pytest.approx(shares, abs=0.02)


def test_a_click_takes_the_same_path_every_time():
    """Nothing is remembered, so the lander's link must come to the same answer, in every process of every version: a pinned hash."""
    pinned = ["o1", "o2", "o3", "o1", "o1", "o3", "o0", "o2"]
    assert [step_of(paths(1, 1, 1, 1), f"click-{number}").offer_id for number in range(8)] == pinned
    assert len({step_of(paths(70, 30), "click-1") for _ in range(100)}) == 1


def test_a_way_has_its_lander_and_the_slot_of_its_network(workspace):
    ways = [way_of(workspace, "c1", f"click-{number}") for number in range(50)]
    assert {(way.lander and way.lander.id, way.offer.id, way.slot, way.external) for way in ways} == {
        ("page", "one", "sub5", "adclid"),
        (None, "two", "click_id", "adclid"),
    }


@pytest.mark.parametrize("campaign", ["nobody", "idle"])
def test_settings_that_lead_nowhere_are_refused(workspace, campaign):
    with pytest.raises(Refused, match="unknown_campaign"):
        way_of(workspace, campaign, "click")


KNOWN = {
    "clickid": "C1",
    "cid": "C1",
    "subid": "C1",
    "externalid": "E 1",
    "campaign.id": "spring",
    "lander.id": "page",
    "ip": "2001:db8::1",
}
FOUND = values(KNOWN, {"sub1": "a&b", "Sub-2": "ü", "ip": "spoofed", "gclid": "G1"})
TEMPLATES = [  # 3-trade, section 3: every spelling, each value encoded, a missing one is nothing, an unknown one is never sent
    ("https://x.example/?s={click_id}", "https://x.example/?s=C1"),
    ("https://x.example/?s={{clickId}}&t=${CLICK_ID}", "https://x.example/?s=C1&t=C1"),
    ("https://x.example/?s=[CLICKID]&t=#clickid#&u=%SUBID%", "https://x.example/?s=C1&t=C1&u=C1"),
    ("https://x.example/?s=!!click_id!!&t=!!!clickId!!!", "https://x.example/?s=C1&t=C1"),
    ("https://x.example/?s=--CLICK-ID--&t=__CLICKID__", "https://x.example/?s=C1&t=C1"),
    ("https://x.example/{campaign.id}/{lander.id}?s={cid}&e={externalid}", "https://x.example/spring/page?s=C1&e=E%201"),
    ("https://x.example/?s={cid}&a={sub1}&b={sub2}&c={sub3}", "https://x.example/?s=C1&a=a%26b&b=%C3%BC&c="),
    ("https://x.example/?s={cid}&a={var:sub1}&g={var:gclid}&n={var:none}", "https://x.example/?s=C1&a=a%26b&g=G1&n="),
    ("https://x.example/?s={cid}&p={payout}&v={revenue}&c={ct}&t={txid}", "https://x.example/?s=C1&p=&v=&c=&t="),
    ("https://x.example/?s={cid}&ip={ip}&spoofed={var:ip}", "https://x.example/?s=C1&ip=2001%3Adb8%3A%3A1&spoofed=spoofed"),
    ("https://x.example/a%20b?s={cid}&t=100%#top", "https://x.example/a%20b?s=C1&t=100%#top"),
    ("https://x.example/#a#b", "https://x.example/?sub5=C1#a#b"),
    ("https://x.example/?", "https://x.example/?sub5=C1"),
    ("https://x.example/?a=1#f", "https://x.example/?a=1&sub5=C1#f"),
]


@pytest.mark.parametrize(("template", "address"), TEMPLATES, ids=[template for template, _ in TEMPLATES])
def test_every_macro_is_filled(template, address):
    assert filled(template, FOUND, "sub5") == address
