"""The workspace file: applied as a difference, exported as a file that changes nothing, refused with its line."""

import re

import pytest

from console import apply, file_place
from console.apply import described, export, plan
from deploy.local import demo
from schemas import workspace
from streams.runtime.errors import BadSettings
from streams.runtime.settings_store import Change, pending
from streams.workspace import Workspace

SMALL = """
properties:
  - {id: shop, name: Shop}
sources:
  - id: network
    name: Network
    kind: postback
    property_id: shop
    mapping: {click_id: sub5}
"""


def entities(file):
    return {(change.entity, change.entity_id): change.value for change in plan(file, {}, is_pruning=False)}


def test_the_first_time_everything_is_created_referred_entities_first():
    changes = plan(workspace.load(SMALL), {}, is_pruning=False)
    assert [(change.entity, change.entity_id) for change in changes] == [("property", "shop"), ("source", "network")]
    assert [row["action"] for row in described(changes, {})] == ["created", "created"]


def test_the_second_time_nothing_changes():
    file = workspace.load(SMALL)
    assert plan(file, entities(file), is_pruning=True) == []


def test_only_what_differs_is_written_and_shown():
    current = entities(workspace.load(SMALL))
    changes = plan(workspace.load(SMALL.replace("sub5", "cid")), current, is_pruning=False)
    (row,) = described(changes, current)
    assert (row["action"], row["entity"], row["entity_id"]) == ("updated", "source", "network")
    assert row["diff"] == [{"path": "mapping.click_id[0]", "before": "sub5", "after": "cid"}]


def test_what_the_file_does_not_mention_stays_unless_it_is_pruned():
    current = entities(workspace.load(SMALL))
    less = workspace.load("properties: [{id: shop, name: Shop}]")
    assert plan(less, current, is_pruning=False) == []
    assert plan(less, current, is_pruning=True) == [Change("source", "network", None)]


def test_what_refers_is_deleted_before_what_it_refers_to():
    current = entities(workspace.load(SMALL))
    assert [change.entity for change in plan(workspace.load(""), current, is_pruning=True)] == ["source", "property"]


def test_a_later_change_of_the_same_entity_wins_and_no_change_is_left_out():
    now = {("user", "ann"): {"name": "Ann"}}
    assert pending([Change("user", "ann", {"name": "B"}), Change("user", "ann", {"name": "Ann"})], now) == []
    assert pending([Change("user", "bob", None)], now) == []


def test_an_export_applied_again_changes_nothing():
    file = apply.read(str(demo.WORKSPACE))
    current = entities(file)
    assert plan(workspace.load(export(current)), current, is_pruning=True) == []


SECRETS = """
properties: [{id: shop, name: Shop}]
sources: [{id: hook, name: Hook, kind: webhook, property_id: shop, auth: {kind: token, token: s3cret-1}}]
destinations: [{id: ads, name: Ads, url: "https://ads.example/?c={click_id}&api_key=s3cret-2", headers: {Authorization: s3cret-3}}]
users: [{id: ann, name: Ann, email: ann@x.example, role: owner}]
tokens: [{id: laptop, user_id: ann, sha256: 5ec3e7a1b2c3d4e5f60718293a4b5c6d7e8f9012a3b4c5d6e7f8091a2b3c4d5e}]
"""


def test_an_export_is_masked_and_applied_again_it_loses_no_secret():
    current = entities(workspace.load(SECRETS))
    masked = export(current)
    assert "s3cret" not in masked
    assert "5ec3e7a1" not in masked
    assert plan(workspace.load(masked), current, is_pruning=True) == []
    assert plan(workspace.load(export(current, has_secrets=True)), {}, is_pruning=False) == plan(
        workspace.load(SECRETS), {}, is_pruning=False
    )


def test_beside_a_masked_secret_everything_else_can_be_changed():
    current = entities(workspace.load(SECRETS))
    changed = (
        export(current).replace("Ads", "More ads").replace("c={click_id}", "c={click_id}&e={ct}").replace("api_key=***", "api_key=new")
    )
    (change,) = plan(workspace.load(changed), current, is_pruning=False)
    assert change.value["name"] == "More ads"
    assert change.value["headers"] == {"Authorization": "s3cret-3"}
    assert change.value["url"] == "https://ads.example/?c={click_id}&e={ct}&api_key=new"


@pytest.mark.parametrize("place", ["source hook.auth.token", "destination ads", "token laptop.sha256"])
def test_a_mask_with_no_secret_behind_it_is_refused(place):
    current = entities(workspace.load(SECRETS))
    masked = workspace.load(export(current))
    current.pop(tuple(place.partition(".")[0].split()))
    with pytest.raises(BadSettings, match=re.escape(place)):
        plan(masked, current, is_pruning=False)


def test_an_override_that_is_given_as_null_survives():
    """`window_days: null` means no limit; a file that leaves it out means the property's window."""
    text = SMALL + "    attribution: {window_days: null}\n"
    current = entities(workspace.load(text))
    assert current["source", "network"]["attribution"] == {"window_days": None}
    assert "window_days: null" in export(current)


def test_the_demo_workspace_is_valid_for_the_stages():
    settings = Workspace()
    for version, change in enumerate(plan(apply.read(str(demo.WORKSPACE)), {}, is_pruning=False)):
        settings.apply(version, change.entity, change.entity_id, change.value)
    assert set(settings.all("source")) == {"network", "webshop", "api", "script", "referral", "coupon"}


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("properties:\n  - {id: shop, nam: Shop}\n", 2, "nam"),
        (SMALL.replace("property_id: shop", "property_id: shoop"), 8, "shoop"),
        (SMALL.replace("kind: postback", "kind: postbak"), 7, "kind"),
        ("properties: [\n", None, "line 2"),
        ("propertys: []\n", 1, "propertys"),
    ],
)
def test_a_problem_is_named_with_its_line(tmp_path, text, line, word):
    path = tmp_path / "workspace.yaml"
    path.write_text(text)
    with pytest.raises(BadSettings) as caught:
        apply.read(str(path))
    assert word in caught.value.what
    assert f"{path}:{line}:" in caught.value.what if line else str(path) in caught.value.what


def test_ids_may_contain_dots():
    text = "sources:\n  - id: a.b\n    property_id: x\n"
    assert file_place.line_of(text, "source a.b.property_id") == ":3"
    assert file_place.line_of(text, "somewhere else") == ""
    assert file_place.line_of(": :", "sources") == ""
