"""Presets: each is whole, agrees with itself, and lies under what a source says."""

import json
from urllib.parse import parse_qsl

import pytest
from pydantic import TypeAdapter

from schemas import presets, workspace
from schemas.addresses import fold, parse
from schemas.auth import Auth
from schemas.entities import Source
from schemas.mapping import DEFAULTS, FIELDS, Mapping
from schemas.reasons import MACRO_UNEXPANDED
from schemas.workspace import WorkspaceRefused
from streams.macros import blank_kind
from streams.workspace import Workspace
from tests.golden import examples

NAMES = presets.names()
ASKED_FOR = {
    "awin", "cj", "clickbank", "digistore24", "everflow", "impact", "maxbounty", "s2s", "shareasale", "shopify", "stripe", "tune", "woocommerce",
}  # fmt: skip
SECRETS = {"token": {"token": "t"}, "basic": {"user": "u", "password": "p"}}
# What a URL sends for the row's parameters and for people, and no field of ours is found in.
ONLY_TO_READ = {
    "impact": {"orderId", "amount"},
    "awin": {"amount"},
    "shareasale": {"amountOfSale"},
    "tune": {"sale_amount"},
    "everflow": {"amount", "ef_transaction_id"},
    "maxbounty": {"offerid"},
}


def source(preset, **more):
    return {"id": "s", "name": "S", "property_id": "p", "preset": preset, **more}


def with_secret(preset):
    scheme = presets.get(preset).auth
    return scheme | SECRETS.get(scheme["kind"], {"secret": "secret"})


def uses(preset):
    """Examples with a source of this preset."""
    sources = {name: examples.load(name).get("settings", {}).get("sources", ()) for name in examples.names()}
    return [name for name, found in sources.items() if any(one.get("preset") == preset for one in found)]


def test_all_that_were_asked_for_are_there():
    assert set(NAMES) >= ASKED_FOR


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_whole(name):
    preset = presets.get(name)
    assert not {"click_id", "value", "status", "currency"} - preset.mapping.model_fields_set
    assert "transaction_id" in preset.mapping.model_fields_set
    assert len(preset.traps) >= 3
    TypeAdapter(Auth).validate_python(with_secret(name))
    Mapping.model_validate(preset.mapping.model_dump(mode="json"))


@pytest.mark.parametrize("name", [name for name in NAMES if presets.get(name).query])
def test_the_mapping_finds_what_the_url_sends(name):
    """Each parameter of the template is looked at by the mapping, or listed above; and carries a macro of the sender's."""
    preset = presets.get(name)
    sent = dict(parse_qsl(preset.query.replace("#", "%23"), keep_blank_values=True, strict_parsing=True))
    read = {fold(parse(address).base) for field in FIELDS for address in preset.mapping.addresses(field)}
    assert {parameter for parameter in sent if fold(parameter) not in read} == ONLY_TO_READ.get(name, set())
    assert {blank_kind(macro) for macro in sent.values()} == {MACRO_UNEXPANDED}, "one that is not filled in must not pass for a value"
    slot = preset.link.partition("=")[0]
    assert fold(slot) in read or name == "s2s"


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_its_examples(name):
    """A sale, and the sender's trap."""
    found = [example for example in uses(name) if example.startswith(f"preset-{name}-")]
    assert len(found) >= 2
    assert any(row["status"] == "ok" for example in found for row in examples.load(example)["expect"])


def test_a_transaction_id_is_never_everflow_s_or_tune_s_click():
    for name in ("everflow", "tune"):
        assert not {fold("transaction_id"), fold("ef_transaction_id")} & set(
            map(fold, presets.get(name).mapping.addresses("transaction_id"))
        )


def test_a_source_needs_little_beside_its_preset():
    made = Source.model_validate(source("digistore24", auth={"secret": "PASS"}))
    assert (made.kind, made.auth.kind) == ("webhook", "digistore24")
    settled = made.settled()
    assert (settled.answer, settled.timezone, settled.mapping.reference) == ("OK", "Europe/Berlin", ["order_id"])
    assert made.answer is None, "the preset is laid under when payloads are judged, and not stored"


def test_own_values_go_over_field_by_field():
    own = {
        "mapping": {"click_id": "mine", "statuses": {"LEAD": "approved", "x": "test"}, "events": ["Purchase"], "minor_units": False},
        "answer": "",
        "timezone": "UTC",
        "default_currency": "CHF",
        "dedup": {"attributes": ["item"]},
    }
    settled = Source.model_validate(source("s2s", **own)).settled()
    preset = presets.get("s2s")
    assert settled.mapping.addresses("click_id") == ("mine",)
    assert settled.mapping.addresses("value") == preset.mapping.addresses("value")
    assert settled.mapping.addresses("email") == DEFAULTS["email"]
    assert (settled.mapping.statuses["LEAD"], settled.mapping.statuses["approve"]) == ("approved", "approved")
    assert "lead" not in settled.mapping.statuses, "the same word in another case is replaced, not doubled"
    assert (settled.mapping.events, settled.mapping.default_status) == ({"Purchase": "Purchase"}, "approved")
    assert (settled.answer, settled.timezone, settled.default_currency, settled.dedup.attributes) == ("", "UTC", "CHF", ["item"])
    stripe = Source.model_validate(source("stripe", mapping={"minor_units": False})).settled()
    assert stripe.mapping.minor_units is False


def test_another_scheme_than_the_preset_s_stays_as_it_is():
    made = Source.model_validate(source("stripe", auth={"kind": "token", "token": "t"}))
    assert made.auth.kind == "token"
    assert Source.model_validate(source("shopify", auth={"secret": "x", "encoding": "hex"})).auth.encoding == "hex"


@pytest.mark.parametrize("name", NAMES)
def test_a_source_survives_json(name):
    """What is stored and exported gives the same source, though set and unset look alike in it."""
    made = Source.model_validate(source(name, auth=with_secret(name)))
    again = Source.model_validate(json.loads(made.model_dump_json()))
    assert again == made
    assert again.settled() == made.settled()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{id: s, name: S, property_id: p, preset: strip}", "sources.0.preset: there is no preset 'strip'; did you mean stripe?"),
        ("{id: s, name: S, property_id: p, preset: Shopify, kind: webhook}", "sources.0.preset: there is no preset 'Shopify'; did you mean shopify?"),
        ("{id: s, name: S, property_id: p, preset: zzz}", "there is no preset 'zzz'; there are awin, cj, clickbank"),
        ("{id: s, name: S, property_id: p, preset: clickbank}", "sources.0: auth: preset clickbank can't do without: auth.secret is the INS secret key"),
        ("{id: s, name: S, property_id: p, preset: stripe, auth: {}}", "sources.0.auth.stripe.secret: Field required"),
        ("{id: s, name: S, property_id: p, preset: stripe, mapping: {click_id: 'a|quer:b'}}", "sources.0.mapping.click_id.0: 'a|quer:b': there is no transform 'quer'; did you mean query?"),
        ("{id: s, name: S, property_id: p}", "sources.0.kind: Field required"),
    ],
)  # fmt: skip
def test_problems_name_place_and_reason(text, problem):
    with pytest.raises(WorkspaceRefused) as caught:
        workspace.load(f"properties: [{{id: p, name: P}}]\nsources: [{text}]")
    assert any(problem in str(found) for found in caught.value.problems), caught.value.problems


def test_the_published_schema_names_the_presets():
    found = json.loads(workspace.json_schema())["$defs"]["Source"]["properties"]["preset"]
    assert list(NAMES) in [choice.get("enum") for choice in found["anyOf"]]


def test_the_stages_get_the_settled_source():
    made = Workspace()
    made.apply(0, "property", "p", {"id": "p", "name": "P"})
    made.apply(1, "source", "s", source("stripe", auth={"secret": "whsec"}))
    rules = made.source("s", 1)
    assert rules.minor_decimals == {"ISK": 2, "UGX": 2, "MGA": 0}
    assert rules.statuses["charge.refunded"] == "refunded"
    assert rules.type == "webhook"
    assert rules.source.mapping.event == ["type"]
