"""Settings are refused at the door, with place and reason."""

import json

import pytest
from pydantic import ValidationError

from schemas import workspace
from schemas.addresses import fold
from schemas.entities import ENTITY_MODELS, Source
from schemas.mapping import DEFAULTS, Mapping
from schemas.problems import problems_of
from schemas.workspace import SECTIONS, WorkspaceFile, WorkspaceRefused

GOOD = """
properties: [{id: shop, name: Shop, attribution: {window_days: null}}]
traffic_sources: [{id: google, name: Google, click_id_parameter: gclid, destination_ids: [capi]}]
affiliate_networks: [{id: imp, name: Impact, click_id_parameter: subId1, source_id: net}]
landers: [{id: l1, name: L, url: "https://shop.example/l"}]
offers: [{id: o1, name: O, url: "https://imp.example/?s={click_id}", affiliate_network_id: imp}]
flows: [{id: f1, name: F, paths: [{lander_id: l1, offer_id: o1}, {offer_id: o1, weight: 3}]}]
campaigns: [{id: c1, name: C, property_id: shop, traffic_source_id: google, flow_id: f1}]
sources:
  - id: net
    name: Net
    kind: postback
    property_id: shop
    mapping: {click_id: sub1, currency: [cur, =EUR], events: [Purchase, Lead], statuses: {ok: approved}, default_status: approved}
    auth: {kind: token, token: s3cret}
    allow_ips: [192.0.2.0/24]
    answer: OK
destinations: [{id: capi, name: D, url: "https://t.example/?c={click_id}", conversion_names: {Purchase: sale}, property_ids: [shop]}]
users: [{id: jane, name: Jane, email: jane@example.com, role: owner}]
tokens: [{id: jane-laptop, user_id: jane, sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'}]
"""


def refused(text):
    with pytest.raises(WorkspaceRefused) as caught:
        workspace.load(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_workspace_file_reads_and_writes():
    """C07: the entities of the workspace, A39: each source has its own settings."""
    file = workspace.load(GOOD)
    assert workspace.load(workspace.dump(file)) == file
    assert workspace.check(json.loads(file.model_dump_json())) == file
    assert {entity for entity, _, _ in file.entities()} == set(ENTITY_MODELS)
    assert file.sources[0].mapping.events == {"Purchase": "Purchase", "Lead": "Lead"}
    assert workspace.load("") == WorkspaceFile()


def test_secrets_are_masked_but_stored():
    source = workspace.load(GOOD).sources[0]
    assert "s3cret" not in repr(source)
    assert source.model_dump(mode="json")["auth"]["token"] == "s3cret"
    assert Source.model_validate(source.model_dump(mode="json")) == source


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sources: [{id: s, name: S, kind: postback, property_id: gone}]", "source s.property_id: there is no property 'gone'"),
        ("campaigns: [{id: c, name: C, property_id: p, flow_id: f}]\nproperties: [{id: p, name: P}]", "campaign c.flow_id: there is no flow 'f'"),
        ("flows: [{id: f, name: F, paths: [{offer_id: o}]}]", "flow f.paths.offer_id: there is no offer 'o'"),
        ("destinations: [{id: d, name: D, url: 'https://x', property_ids: [p]}]", "destination d.property_ids: there is no property 'p'"),
        ("properties: [{id: p, name: P}, {id: p, name: Q}]", "property p: this id stands 2 times in properties"),
        ("properties: [{id: p, name: P}, {id: q, name: Q, account_id: z}]\nsources: [{id: s, name: S, kind: feed, property_id: p, properties: [q]}]",
         "source s.properties: property 'q' belongs to another account"),
        ("properties: [{id: p, name: P}]\nsources: [{id: s, name: S, kind: feed, property_id: p, dedup: {mode: edit}}]",
         "sources.0.dedup: mode edit needs transaction_window_days: a conversion can't be kept open for ever"),
        ("properties: [{id: p, name: P}]\nsources: [{id: s, name: S, kind: feed, property_id: p, dedup: {mode: sum}}]",
         "sources.0.dedup.mode: Input should be 'ignore', 'add_value', 'edit' or 'create'"),
        ("properties: [{id: 'a b', name: P}]", "properties.0.id: 'a b' is no id: it has letters, digits"),
        ("properties: [{id: p, name: P, colour: red}]", "properties.0.colour: there is no such field; there are account_id, attribution, id, name"),
        ("properties: [{id: p, name: P, attribution: {window_days: '30'}}]", "properties.0.attribution.window_days: Input should be a valid number"),
        ("offers: [{id: o, name: O, url: 'javascript:x'}]", "offers.0.url: 'javascript:x' is no web address"),
        ("offers: [{id: o, name: O, url: 'https://me:pw@x.example/'}]", "offers.0.url: an address with a user or a password in it"),
        ("sources: [{id: s, name: S, kind: feed, property_id: p, timezone: Mars}]", "sources.0.timezone: 'Mars' is no time zone"),
        ("sources: [{id: s, name: S, kind: feed, property_id: p, default_currency: usd}]", "sources.0.default_currency: 'usd' is no currency"),
        ("sources: [{id: s, name: S, kind: feed, property_id: p, allow_ips: [10.0.0.300]}]", "sources.0.allow_ips.0: '10.0.0.300' does not appear"),
        ("sources: [{id: s, name: S, kind: feed, property_id: p, auth: {kind: magic}}]", "sources.0.auth: Input tag 'magic'"),
        ("users: [{id: u, name: U, email: nobody}]", "users.0.email: 'nobody' is no e-mail address"),
        ("properties: [{id: p, name: P, attribution: {window: 30}}]", "properties.0.attribution.window: there is no such field; did you mean window_days?"),
        ("sources: [{id: s, name: S, kind: feed, property_id: p, mapping: {clickid: cid}}]", "sources.0.mapping.clickid: there is no such field; did you mean click_id?"),
        ("sources: [{id: s, name: S, kind: feed, property_id: p, auth: {kind: token, tokn: x}}]", "sources.0.auth.token.tokn: there is no such field; did you mean token?"),
        ("flows: [{id: f, name: F, paths: [{offer: o}]}]", "flows.0.paths.0.offer: there is no such field; did you mean offer_id?"),
        ("sources: [{id: s, name: S, kind: feed, property_id: p, attribution: {window_days: unlimitd}}]", "sources.0.attribution.window_days: Input should be 'unlimited'"),
        ("sources: [{id: s, name: S, kind: feed, property_id: p, fraud: {blocked_networks: [10.0.0.1/8]}}]", "sources.0.fraud.blocked_networks.0: 10.0.0.1/8 is an address with a prefix; the network is 10.0.0.0/8"),
        ("sources: [{id: s, name: S, kind: feed, property_id: p, fraud: {blocked_email_domains: ['@x.example']}}]", "blocked_email_domains.0: '@x.example' is no domain"),
        ("properties: [{id: p, name: P, attribution: {window_days: 1, min_click_to_conversion_s: 86400}}]", "properties.0.attribution: min_click_to_conversion_s: nothing comes so late"),
        ("offers: [{id: o, name: O, url: 'https://x.example/?s={clckid}'}]", "offers.0.url: {clckid} is no macro; did you mean {click_id}? A parameter of the click's address is {var:clckid}"),
        ("destinations: [{id: d, name: D, url: 'https://x.example/?s={foo}'}]", "destinations.0: url: {foo} is no macro"),
        ("properties: [", "line 1, column 14: expected the node content"),
        ("- 1", "file: it holds a list; a workspace is lists by their names"),
    ],
)  # fmt: skip
def test_problems_name_place_and_reason(text, problem):
    assert any(problem in found for found in refused(text)), refused(text)


def test_all_problems_are_named_at_once():
    assert (
        len(
            refused(
                "sources: [{id: s, name: S, kind: feed, property_id: p, properties: [q]}]\ncampaigns: [{id: c, name: C, property_id: p}]"
            )
        )
        == 3
    )


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"click_id": []}, "click_id: Value should have at least 1 item"),
        ({"click_id": [""]}, "click_id.0: an address has 1 to 200 characters"),
        ({"click_id": [" cid"]}, "click_id.0: ' cid' has blanks around it"),
        ({"click_id": ["order..id"]}, "click_id.0: 'order..id' has an empty part"),
        ({"click_id": ["_"]}, "click_id.0: '_' has an empty part"),
        ({"currency": ["="]}, "currency.0: a constant needs a value"),
        ({"value": ["!amount"]}, "value: '!' (the opposite) only makes sense for the test flag"),
        ({"events": {"Sale": "Purchase", "sale ": "Lead"}}, "events: 'Sale' and 'sale ' are the same word"),
        ({"statuses": {"ok": "fine"}}, "statuses.ok: Input should be 'approved'"),
        ({"default_status": "sale"}, "default_status: Input should be"),
        ({"events": {}}, "events: it maps nothing, so nothing would be tracked; leave it out to track every name"),
        ({"email": "=abc"}, "email: '=abc' would be the same for every payload"),
        (
            {"transaction_id": ["order_id", "=x"]},
            "transaction_id: '=x' would be the same for every payload; a constant makes sense for click_id, currency",
        ),
        ({"date_formats": ["%d/%d/%Y"]}, "date_formats.0: '%d/%d/%Y' is no date format: it names %d twice"),
        ({"date_formats": ["%Y-%Q"]}, "date_formats.0: '%Y-%Q' is no date format: 'Q' is a bad directive in format '%Y-%Q'"),
        ({"date_formats": ["%Y-%"]}, "date_formats.0: '%Y-%' is no date format: stray %"),
        ({"date_formats": ["yyyy-MM-dd"]}, "date_formats.0: 'yyyy-MM-dd' is no date format"),
        ({"clickid": ["cid"]}, "clickid: there is no such field; did you mean click_id?"),
        ({"minor_units": "yes"}, "minor_units: Input should be a valid boolean"),
    ],
)
def test_a_broken_mapping_is_refused(mapping, problem):
    with pytest.raises(ValidationError) as caught:
        Mapping.model_validate(mapping)
    assert any(problem in str(found) for found in problems_of(caught.value))


def test_mapping_writes_itself_back():
    mapping = Mapping.model_validate({"click_id": "cid", "events": ["A"], "test": ["!livemode"]})
    assert Mapping.model_validate(mapping.model_dump(mode="json")) == mapping
    assert mapping.addresses("click_id") == ("cid",)
    assert mapping.addresses("value") == DEFAULTS["value"]


@pytest.mark.parametrize(
    ("name", "form"), [("Sub_ID", "subid"), ("sub-id", "subid"), ("order[customer][email]", "order.customer.email"), ("items[]", "items")]
)
def test_names_are_compared_without_case_and_strokes(name, form):
    """A27: senders spell the same parameter in many ways."""
    assert fold(name) == form


def test_the_tables_agree():
    assert set(DEFAULTS) <= set(Mapping.model_fields)
    assert set(SECTIONS) == set(ENTITY_MODELS)
    assert set(SECTIONS.values()) == set(WorkspaceFile.model_fields)
    for owner, field, target in workspace.REFERENCES:
        assert field.partition(".")[0] in ENTITY_MODELS[owner].model_fields
        assert target in ENTITY_MODELS


def test_json_schema_describes_every_list():
    assert set(json.loads(workspace.json_schema())["properties"]) == set(WorkspaceFile.model_fields)
