"""Settings of every version: a payload is judged with exactly the version that its header names."""

import pytest

from schemas.entities import Campaign, Source
from streams.workspace import SettingsBehind, SettingsRefused, Workspace

PROPERTY = {"id": "shop", "name": "Shop"}
SOURCE = {"id": "net", "name": "Net", "kind": "postback", "property_id": "shop"}


def workspace(*changes):
    made = Workspace()
    for version, (entity, entity_id, value) in enumerate(changes):
        made.apply(version, entity, entity_id, value)
    return made


def test_each_version_has_its_own_settings():
    made = workspace(
        ("property", "shop", PROPERTY),
        ("source", "net", SOURCE),
        ("source", "net", {**SOURCE, "name": "New"}),
        ("source", "net", None),
    )
    assert made.version == 3
    assert [made.get("source", "net", v) and made.get("source", "net", v).name for v in range(4)] == [None, "Net", "New", None]
    assert [made.source("net", v) is not None for v in range(4)] == [False, True, True, False]
    assert made.get("source", "net") is None
    assert list(made.all("source", 1)) == ["net"]
    assert made.all("source") == {}
    assert made.get("campaign", "none") is None


def test_a_later_version_is_waited_for():
    made = workspace(("property", "shop", PROPERTY), ("source", "net", SOURCE))
    for ask in (lambda: made.source("net", 2), lambda: made.get("source", "net", 2), lambda: made.all("source", 2)):
        with pytest.raises(SettingsBehind) as caught:
            ask()
        assert caught.value.version == 2
    made.apply(2, "campaign", "c", {"id": "c", "name": "C", "property_id": "shop"})
    assert made.source("net", 2) is made.source("net", 1)  # compiled once: nothing that it needs has changed


def test_rules_follow_their_property():
    made = workspace(
        ("property", "shop", PROPERTY), ("source", "net", SOURCE), ("property", "shop", {**PROPERTY, "attribution": {"window_days": 7}})
    )
    assert [made.source("net", v).policies["shop"].window_ms for v in (1, 2)] == [30 * 86_400_000, 7 * 86_400_000]


def test_policy_of_the_source_goes_over_the_property_s():
    """A37 A39: the window is the property's, each source may have its own."""
    source = {**SOURCE, "attribution": {"window_days": "unlimited", "ip_matching": True, "min_click_to_conversion_s": 1.5}}
    made = workspace(
        ("property", "shop", {**PROPERTY, "attribution": {"model": "first_click", "gmail_aliases": True}}), ("source", "net", source)
    )
    policy = made.source("net", 1).policies["shop"]
    assert policy == (None, "first_click", False, True, 1500, True, False)


def test_policy_survives_a_round_trip_through_json():
    stored = Source.model_validate(SOURCE).model_dump(mode="json")
    made = workspace(("property", "shop", {**PROPERTY, "attribution": {"window_days": None}}), ("source", "net", stored))
    assert made.source("net", 1).policies["shop"].window_ms is None


def test_properties_that_a_source_may_use():
    """A34 A38: its own and the listed ones, if they exist and are of the same account."""
    made = workspace(
        ("property", "shop", PROPERTY),
        ("property", "blog", {"id": "blog", "name": "Blog"}),
        ("property", "alien", {"id": "alien", "name": "Alien", "account_id": "other"}),
        ("source", "net", {**SOURCE, "properties": ["blog", "alien", "gone"]}),
    )
    assert set(made.source("net", 3).policies) == {"shop", "blog"}
    assert made.source("net", 3).account_id == "default"


def test_source_without_its_property_has_no_policies():
    assert workspace(("source", "net", SOURCE)).source("net", 0).policies == {}


@pytest.mark.parametrize(
    ("entity", "entity_id", "value", "text"),
    [
        ("source", "net", {**SOURCE, "kind": "pigeon"}, "source net.kind: Input should be 'postback'"),
        ("source", "net", {**SOURCE, "mapping": {"click_id": ["a..b"]}}, "source net.mapping.click_id.0: 'a..b' has an empty part"),
        ("source", "other", SOURCE, "its value has another id, 'net'"),
        ("pigeon", "x", {}, "there is no such kind of setting"),
    ],
)
def test_a_refused_value_leaves_what_was_in_force(entity, entity_id, value, text):
    made = workspace(("property", "shop", PROPERTY), ("source", "net", SOURCE))
    with pytest.raises(SettingsRefused, match=text.replace(".", r"\.")):
        made.apply(2, entity, entity_id, value)
    assert made.version == 2  # payloads that name this version do not wait for ever
    assert made.source("net", 2).source.name == "Net"


def test_versions_never_fall_and_the_same_change_again_changes_nothing():
    made = workspace(("property", "shop", PROPERTY), ("source", "net", SOURCE))
    made.apply(1, "source", "net", SOURCE)
    made.apply(1, "campaign", "c", {"id": "c", "name": "C", "property_id": "shop"})
    assert made.source("net", 1).source_id == "net"
    assert isinstance(made.get("campaign", "c"), Campaign)
    made.apply(1, "source", "net", {**SOURCE, "name": "New"})
    assert made.source("net", 1).source.name == "New"
    with pytest.raises(SettingsRefused, match="version 0 comes after version 1"):
        made.apply(0, "property", "shop", PROPERTY)
