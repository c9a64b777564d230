"""The bytes of a row: its pieces make one JSON object, whoever made the piece and however often."""

import orjson
import pytest

from streams import row
from streams.row import Rows, verdict

STEPS = [["property", "passed", ""], ["status", "wrong_status", "hold"]]
FINDING = {"reason": "wrong_status", "detail": "hold", "sub": "not_approved", "steps": STEPS, "evidence": {}}


def event(**changes):
    return {
        "event_id": "e1-0-1", "receipt_id": "r1", "account_id": "acme", "property_id": "p1", "source_id": "s", "type": "postback", "received_ms": 2_000, "event_ms": 1_500,
        "settings_version": 4, "conversion_name": "Purchase", "original_name": 'Pur"chase', "conversion_status": "pending", "original_status": "hold",
        "currency": "USD", "transaction_id": "T1", "is_test": False, "payload_sha256": "0" * 64, "topic": "t", "partition": 0, "offset": 1, **changes,
    }  # fmt: skip


def made(rows, told, *, body=b'"parameters":{},"payload":"{}"}', identity=None, value=None, click_id="K", revision=1, **changes):
    return orjson.loads(rows.made(event(**changes), body, told, revision, identity=identity, value=value, click_id=click_id))


def test_a_row_is_one_object_with_every_field_once():
    """The pieces are disjoint, and together they are the columns that the sink reads."""
    raw = Rows().made(event(), b'"parameters":{},"payload":"{}"}', verdict(FINDING, "postback"), 1, identity="i", value="5", click_id="K")
    found = orjson.loads(raw)
    assert raw.count(b'"event_id"') == raw.count(b'"status":"discarded"') == 1
    assert len(found) == 38
    assert (found["original_name"], found["identity"], found["value"]) == ('Pur"chase', "i", "5")


def test_a_row_carries_its_lineage():
    """Topic, partition, offset, hash, both clocks and the settings; its bytes are proved by the examples payload-*."""
    found = made(Rows(), verdict(FINDING, "postback"), revision=3)
    assert (found["topic"], found["partition"], found["offset"], found["payload_sha256"]) == ("t", 0, 1, "0" * 64)
    assert (found["revision"], found["settings_version"], found["received_ms"], found["event_ms"]) == (3, 4, 2_000, 1_500)


@pytest.mark.parametrize(
    ("kind", "reason", "view"),
    [
        ("postback", "recorded", "success"),
        ("postback", "duplicate", "info"),
        ("postback", "unknown_click_id", "failure"),
        ("referral", "invalid_member_link", "info"),
    ],
)
def test_a_row_has_the_view_of_its_kind(kind, reason, view):
    """Rule 1: three vocabularies, one model."""
    assert made(Rows(), verdict(FINDING | {"reason": reason}, kind), type=kind)["view_status"] == view


def test_a_verdict_at_hand_is_the_one_that_would_be_made():
    """For each combination its own, although they are remembered."""
    rows = Rows()
    for kind in ("postback", "referral"):
        for word in ("hold", "pending", None):
            for _ in range(2):
                told = rows.decided(kind, "wrong_status", word, "not_approved", STEPS)
                assert told == verdict(FINDING | {"detail": word}, kind)


def test_sources_do_not_share_what_differs():
    rows = Rows()
    told = verdict(FINDING, "postback")
    for changes in ({}, {"property_id": "p2"}, {"source_id": "other"}, {"settings_version": 5}, {"partition": 3}, {}):
        found = made(rows, told, **changes)
        wanted = event(**changes)
        assert {name: found[name] for name in ("property_id", "source_id", "settings_version", "partition")} == {
            name: wanted[name] for name in ("property_id", "source_id", "settings_version", "partition")
        }


def test_words_that_senders_make_up_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(row, "MEMO_LIMIT", 10)
    rows = Rows()
    for n in range(100):
        rows.decided("postback", "filtered_event", f"made up {n}", None, STEPS)
        made(rows, verdict(FINDING, "postback"), source_id=f"s{n}")
    assert len(rows._decided) <= 10
    assert len(rows._sources) <= 10
