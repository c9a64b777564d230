"""What a verdict says: reason, cause, evidence and trace of each finding, and the row that is made of it."""

import pytest

from schemas import reasons
from streams import dedup
from streams.json_payload import SEVERAL
from streams.settle import compared, find, signature, sub_reason

STEPS = [[name, "passed", ""] for name in ("property", "payload", "test", "status", "name")]


def event(**changes):
    return {
        "event_id": "e1-0-1", "account_id": "acme", "property_id": "p1", "source_id": "s", "type": "postback", "received_ms": 2_000, "event_ms": 1_500,
        "settings_version": 4, "conversion_name": "Purchase", "original_name": "Purchase", "conversion_status": "approved",
        "original_status": "approved", "value": "5", "currency": "USD", "transaction_id": "T1", "reference": None, "click_id": "K",
        "click_param": "cid", "click_problem": None, "refs": [], "ref_text": None, "ip": None, "is_test": False, "problem": None,
        "parameters": {"cid": "K"}, "payload": "{}", "payload_sha256": "0" * 64, "fingerprint": "0" * 64, "topic": "t", "partition": 0, "offset": 1,
        **changes,
    }  # fmt: skip


def hit(m="click_id", t=1_400, **more):
    return {"click": {"id": "K", "t": t, "p": "p1"}, "m": m, "n": 0, "model": "last_click", "tried": [], **more}


def entry(answer=None, **more):
    made = {"id": "e1-0-1", "k": dedup.CONVERSION, "i": "T|Purchase|T1", "n": "Purchase", "t": 1_500, "u": 2_000, "x": compared(event())}
    return made | ({"a": answer} if answer is not None else {}) | more


def finding(what, answer, *, changes=None, **more):
    return find(event(**(changes or {})), 0, [entry(answer, **more)], [(what, -1)], STEPS)


def missed(kind, why="never_seen", detail=None):
    return {"tried": [[kind, why, detail]]}


@pytest.mark.parametrize(
    ("changes", "answer", "said"),
    [
        ({}, missed("click_id"), ("unknown_click_id", None, "never_seen")),
        ({}, missed("click_id", "window_expired", "by 2 d"), ("unknown_click_id", None, "window_expired")),
        ({"type": "referral"}, missed("click_id"), ("invalid_member_link", None, "never_seen")),  # rule 1
        ({"type": "referral", "ref_text": "a@x"}, missed("email"), ("invalid_member_link", None, "never_seen")),
        ({"type": "referral"}, {}, ("invalid_member_link", None, "no_identifier")),
        ({"type": "referral", "click_problem": "macro_unexpanded"}, {}, ("invalid_member_link", None, "macro_unexpanded")),
        ({"is_test": True}, missed("click_id"), ("test_data", None, "never_seen")),
        ({"is_test": True, "type": "referral"}, missed("email"), ("test_data", None, "never_seen")),
        ({"ref_text": "a@x"}, missed("email", "other_property", "p2"), ("cant_find_refid", "a@x", "other_property")),
        ({"ref_text": "+49"}, missed("phone"), ("cant_find_refid", "+49", "never_seen")),
        ({"ref_text": "u-7"}, missed("external_id"), ("cant_find_refid", "u-7", "never_seen")),
        ({}, missed("ip"), ("no_ip_match", None, "never_seen")),
        ({}, {}, ("no_click_id", "cid", "no_identifier")),
        ({"click_problem": "macro_unexpanded"}, {}, ("no_click_id", "cid", "macro_unexpanded")),
        ({"click_problem": "placeholder"}, {}, ("no_click_id", "cid", "placeholder")),
        # by the switch: what was there first names the error
        ({"ref_text": "a@x"}, {"tried": [["click_id", "never_seen", None], ["email", "other_property", "p2"]]}, ("unknown_click_id", None, "never_seen")),
    ],
)  # fmt: skip
def test_misses(changes, answer, said):
    """Rules 7, 9 and 10; A20, A26, A30, A35, R11."""
    found = finding(dedup.MISS, answer, changes=changes)
    assert (found["reason"], found["detail"], found["sub"]) == said
    assert found["steps"][-1][:2] == ["attribution", "decided"]
    allowed = next(sub for sub in reasons.SUB_REASONS if sub.code == found["sub"]).reasons
    assert found["reason"] in allowed


@pytest.mark.parametrize(
    ("changes", "reason", "cause"),
    [
        ({"original_status": None}, "wrong_status", "no_status"),
        ({"conversion_status": "unknown"}, "wrong_status", "unknown_word"),
        ({"conversion_status": "pending"}, "wrong_status", "not_approved"),
        ({"type": "", "problem": ("unauthorized_asset", "source x")}, "unauthorized_asset", "source_missing"),
        ({"problem": ("unauthorized_asset", "p1")}, "unauthorized_asset", "property_missing"),
        ({"problem": ("unauthorized_asset", "p2")}, "unauthorized_asset", "property_not_bound"),
        ({}, "test_data", "no_identifier"),
        ({}, "filtered_event", None),
        ({"problem": ("unreadable_payload", "JSON breaks at character 6 of 6")}, "unreadable_payload", None),
        ({"problem": ("unreadable_payload", f"this payload holds 2 {SEVERAL}")}, "unreadable_payload", "several_objects"),
    ],
)
def test_causes_of_what_needs_no_state(changes, reason, cause):
    """A09, A11, A34."""
    assert sub_reason(event(**changes), reason) == cause


def test_recorded():
    """Rule 11; the evidence has the click, its age, and who lost."""
    found = finding(dedup.OK, hit(losers=[["L", 1, "not_last_click"]], tried=[["email", "never_seen", None]]))
    assert (found["click_id"], found["match_kind"], found["evidence"]["age_ms"]) == ("K", "click_id", 100)
    assert found["evidence"]["losers"]
    assert found["evidence"]["tried"]
    assert found["steps"][-1] == ["attribution", "passed", "click_id: click K, 100 ms before"]


def test_duplicate_says_what_differs():
    """A12: link, key, gap, fields that differ; another amount is flagged."""
    original = entry(hit(), id="e1-0-0", u=1_000)
    found = find(event(value="7", click_id=None), 1, [original, entry()], [(dedup.OK, -1), (dedup.DUPLICATE, 0)], STEPS)
    assert found["evidence"] == {
        "key": "transaction_id", "original": "e1-0-0", "gap_ms": 1_000, "differing": {"value": ["5", "7"], "click_id": ["K", None]},
        "is_other_amount": True,
    }  # fmt: skip
    assert "is_other_amount" not in find(event(), 1, [original, entry()], [(dedup.OK, -1), (dedup.DUPLICATE, 0)], STEPS)["evidence"]


@pytest.mark.parametrize(
    ("letter", "cause"), [("T", "same_transaction"), ("C", "same_click_and_value"), ("P", "same_payload"), ("T.test", "same_transaction")]
)
def test_which_key_matched(letter, cause):
    """Rule 5: the row says which key matched."""
    entries = [entry(hit(), i=f"{letter}|x"), entry(i=f"{letter}|x")]
    assert find(event(), 1, entries, [(dedup.OK, -1), (dedup.DUPLICATE, 0)], STEPS)["sub"] == cause


def test_a_link_carries_the_click_of_what_it_is_about():
    """Rule 3; also where that was itself known by reference."""
    sale, rebill, refund = entry(hit(), id="e1-0-0"), entry(k=dedup.BY_REFERENCE, id="e1-0-1"), entry(k=dedup.TAKEN_BACK, id="e1-0-2")
    verdicts = [(dedup.OK, -1), (dedup.OK, 0), (dedup.LINKED, 1)]
    found = find(event(conversion_status="refunded", original_status="RFND"), 2, [sale, rebill, refund], verdicts, STEPS)
    assert (found["reason"], found["detail"], found["sub"], found["parent"], found["click_id"]) == (
        "wrong_status",
        "RFND",
        "taken_back",
        "e1-0-1",
        "K",
    )
    found = find(event(), 1, [sale, rebill, refund], verdicts, STEPS)
    assert (found["reason"], found["match_kind"], found["parent"], found["click_id"]) == ("recorded", "event", "e1-0-0", "K")


@pytest.mark.parametrize(
    ("value", "currency", "share"),
    [("5", "USD", "all"), ("-5", "USD", "all"), ("2.5", "USD", "part"), ("-2.5", "USD", "part"), ("7", "USD", "more"), (None, "USD", "unknown"),
     ("5", "EUR", "unknown")],
)  # fmt: skip
def test_how_much_is_taken_back(value, currency, share):
    """Senders write a refund with and without a minus."""
    entries = [entry(hit(), id="e1-0-0"), entry(k=dedup.TAKEN_BACK, id="e1-0-1")]
    back = event(conversion_status="refunded", original_status="RFND", value=value, currency=currency)
    found = find(back, 1, entries, [(dedup.OK, -1), (dedup.LINKED, 0)], STEPS)
    assert found["evidence"]["share"] == share


@pytest.mark.parametrize(("word", "detail"), [("paid", "paid, negative amount"), (None, "approved, negative amount")])
def test_a_negative_amount_adjusts(word, detail):
    entries = [entry(hit(), id="e1-0-0"), entry(k=dedup.TAKEN_BACK, id="e1-0-1")]
    back = event(conversion_status="reversed", original_status=word, value="-1", adjusts=True)
    found = find(back, 1, entries, [(dedup.OK, -1), (dedup.LINKED, 0)], STEPS)
    assert (found["detail"], found["sub"], found["evidence"]["share"]) == (detail, "adjusted", "part")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ("cant_find_event", "T1", "parent_missing")),
        ({"reference": "T0"}, ("cant_find_event", "T0", "parent_missing")),
        ({"transaction_id": None}, ("cant_find_event", None, "parent_missing")),
        ({"is_test": True}, ("test_data", None, None)),
    ],
)
def test_orphans(changes, said):
    """A32, A33."""
    found = finding(dedup.ORPHAN, None, changes=changes)
    assert (found["reason"], found["detail"], found["sub"]) == said


def test_fraud_rule_and_deferred_test():
    """R11, A11."""
    found = finding(dedup.TOO_SOON, hit(t=1_495), s=10)
    assert (found["reason"], found["evidence"]["age_ms"], found["evidence"]["least_ms"]) == ("fraud_rule", 5, 10)
    found = finding(dedup.DECIDED, hit(), d=["wrong_status", "pending", "not_approved"])
    assert (found["reason"], found["detail"], found["sub"], found["click_id"]) == ("wrong_status", "pending", "not_approved", "K")
    assert ["test", "passed", "click K"] in found["steps"]


def test_a_revision_is_written_for_what_a_reader_would_see():
    """Reason, cause, click, how it was found, and links: not for evidence alone."""
    base = {"reason": "recorded", "sub": None, "click_id": "K", "match_kind": "email", "evidence": {}}
    assert signature(base) == signature(base | {"evidence": {"losers": [1]}})
    for change in (
        {"reason": "duplicate"},
        {"sub": "x"},
        {"click_id": "L"},
        {"match_kind": "phone"},
        {"duplicate_of": "e"},
        {"parent": "e"},
    ):
        assert signature(base) != signature(base | change)
