"""Duplicates that change the value of what was recorded (A13): modes `add_value` and `edit`, as tables over a home."""

import orjson
import pytest

from streams import dedup, restate
from streams.dedup import DUPLICATE, OK, fold
from streams.finality import MAX_HEALABLE, MOST_OVER, bounded, claims, final
from streams.restate import MOST_CHANGES, absorb, restated

HIT = {"click": {"id": "K", "t": 0, "p": "p1"}, "m": "click_id", "n": 0, "model": "last_click", "tried": []}


def payload(value="5", f=None, *, mode="add_value", currency="USD", source="s", **more):
    return {
        "k": dedup.CONVERSION, "i": "T|Purchase|T1", "n": "Purchase", "t": 1_000, "u": 1_000, "w": 50, "a": HIT, "z": mode, "f": f,
        "x": {"value": value, "currency": currency, "source_id": source}, **more,
    }  # fmt: skip


def home(*entries):
    """A payload without a fingerprint has one of its own."""
    return [{**entry, "id": f"e{at}", "f": entry["f"] or f"f{at}"} for at, entry in enumerate(entries)]


def said(entries):
    """(value and currency of the first, effects of the others)."""
    verdicts = fold(entries)
    new = restated(0, entries, verdicts)
    effects = []
    for at in range(1, len(entries)):
        finding = {"evidence": {}}
        restate.settled(({}, b""), finding, at, entries, verdicts)
        effects.append(finding["evidence"].get("effect"))
    return new and (new.value, new.currency), effects


@pytest.mark.parametrize(
    ("entries", "new", "effects"),
    [
        ([payload()], None, []),
        ([payload(), payload("2.50")], ("7.5", "USD"), ["added"]),
        ([payload(), payload("5")], ("10", "USD"), ["added"]),  # other bytes: more of it
        ([payload(), payload("2"), payload("3")], ("10", "USD"), ["added", "added"]),
        ([payload(), payload("-5")], ("0", "USD"), ["added"]),
        ([payload(None), payload("2")], ("2", "USD"), ["added"]),
        ([payload(), payload("0")], None, ["added"]),
        # A16: a retry is never money
        ([payload(f="x"), payload(f="x")], None, ["retry"]),
        ([payload(), payload("2", "x"), payload("2", "x")], ("7", "USD"), ["added", "retry"]),
        ([payload(), payload(None)], None, ["no_amount"]),
        ([payload(), payload(currency="EUR")], None, ["other_currency"]),
        # A17: another source's report of the sale, or one made under other settings
        ([payload(), payload(source="shop")], None, ["not_its_source"]),
        ([payload(), payload(mode="edit")], None, ["not_its_source"]),
        ([payload(mode="edit"), payload("7", mode="edit")], ("7", "USD"), ["replaced"]),
        ([payload(mode="edit"), payload("7", mode="edit", currency="EUR")], ("7", "EUR"), ["replaced"]),
        ([payload(mode="edit"), payload("7", mode="edit"), payload("9", mode="edit")], ("9", "USD"), ["replaced", "replaced"]),
        ([payload(mode="edit"), payload("7", mode="edit"), payload("5", mode="edit")], None, ["replaced", "replaced"]),
        # senders' retries carry the old payload: it does not bring the old amount back
        ([payload("5", "x", mode="edit"), payload("7", mode="edit"), payload("5", "x", mode="edit")], ("7", "USD"), ["replaced", "retry"]),
        ([payload(mode="edit"), payload(None, mode="edit")], None, ["no_amount"]),
    ],
)  # fmt: skip
def test_what_duplicates_change(entries, new, effects):
    assert said(home(*entries)) == (new, effects)


def test_what_is_behind_the_window_is_another_conversion():
    """Fixed from the first recorded one: a change does not move it."""
    entries = home(payload(), payload("1", u=1_050), payload("2", u=1_051), payload("4", u=1_060))
    verdicts = fold(entries)
    assert [what for what, _ in verdicts] == [OK, DUPLICATE, OK, DUPLICATE]
    assert [restated(at, entries, verdicts).value for at in (0, 2)] == ["6", "6"]


def kept_of(entries):
    verdicts = fold(entries)
    absorb(entries, verdicts, final(entries, verdicts))
    return claims(entries, verdicts)


@pytest.mark.parametrize("mode", ["add_value", "edit"])
@pytest.mark.parametrize("split", range(1, 6))
def test_a_home_that_shrank_in_between_says_the_same(mode, split):
    """Final duplicates leave the home; what they changed stays, retries of them too, and it survives JSON."""
    entries = home(*(payload(value, f, mode=mode) for value, f in (("5", "a"), ("1", "b"), ("2", "c"), ("1", "b"), ("4", "d"), ("5", "a"))))
    shrunk = orjson.loads(orjson.dumps(kept_of([dict(entry) for entry in entries[:split]])))
    assert len(shrunk) == 1
    later = shrunk + entries[split:]
    assert restated(0, later, fold(later)) == restated(0, entries, fold(entries))
    assert said(later)[1] == said(entries)[1][split - 1 :]


def test_changes_of_one_conversion_are_bounded():
    entries = home(*(payload("1") for _ in range(MOST_CHANGES + 3)))
    new, effects = said(entries)
    assert new == (str(MOST_CHANGES + 1), "USD")
    assert effects[-2:] == ["too_many"] * 2
    assert len(kept_of(entries)[0]["g"]) == MOST_CHANGES


def test_a_conversion_that_may_change_keeps_its_event_until_its_window_is_over():
    [first] = kept_of(home(payload(), payload("1", u=1_050)))
    assert first["b"] == 1
    [first, second] = kept_of(home(payload(), payload("1", u=1_051)))
    assert "b" not in first
    assert "z" not in first
    assert second["b"] == 1


def lone(n, **more):
    return {**payload(), "i": f"N|e{n}", "w": 50, **more}


def test_conversions_that_only_a_refund_looks_for_are_bounded():
    """Mode `create` with one transaction id on everything, and windows that are over: the first of them stay."""
    for entries in (home(*(lone(n) for n in range(40))), home(*(payload(u=1_000 + 60 * n) for n in range(40)))):
        kept = [entry["id"] for entry in kept_of(entries)]
        assert kept[:MOST_OVER] == [f"e{n}" for n in range(MOST_OVER)]
        assert len(kept) <= MOST_OVER + 1


def test_an_open_home_of_lone_conversions_is_bounded():
    answer = {**HIT, "m": "email"}
    entries = home(*(lone(n, a=answer) for n in range(MAX_HEALABLE + 9)))
    verdicts = fold(entries)
    assert bounded(entries, verdicts, final(entries, verdicts)) == entries[:MAX_HEALABLE]
