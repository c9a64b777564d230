"""What a payload is judged to be by itself, in the order of judgement (rule 6)."""

import pytest

from schemas.reasons import REASON_BY_CODE
from streams.classify import NEEDS_PARENT, STEPS, classify, judge, trace

GOOD = {
    "problem": None, "is_test": False, "click_id": "c1", "refs": [], "conversion_status": "approved", "original_status": "approved",
    "conversion_name": "Purchase", "original_name": "Purchase",
}  # fmt: skip
REF = [("email", "0" * 32)]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, None),
        ({"click_id": None, "refs": []}, None),  # attribution says what is missing
        ({"problem": ("unauthorized_asset", "p9")}, ("unauthorized_asset", "p9")),  # A34
        ({"problem": ("unreadable_payload", "JSON breaks")}, ("unreadable_payload", "JSON breaks")),
        ({"is_test": True, "click_id": None}, ("test_data", None)),  # A11
        ({"is_test": True}, None),  # A11, rule 14: a test with an identifier is first attributed
        ({"is_test": True, "click_id": None, "refs": REF}, None),
        ({"is_test": True, "conversion_status": "test", "original_status": "TEST"}, None),
        ({"conversion_status": "pending", "original_status": "Hold"}, ("wrong_status", "Hold")),  # A09: the sender's word
        ({"conversion_status": "rejected", "original_status": "trash"}, ("wrong_status", "trash")),
        ({"conversion_status": "unknown", "original_status": "weird"}, ("wrong_status", "weird")),  # rule 13: never ok
        ({"conversion_status": "unknown", "original_status": None}, ("wrong_status", "(none)")),
        ({"conversion_status": "refunded"}, (NEEDS_PARENT, "refunded")),  # rule 3
        ({"conversion_status": "reversed"}, (NEEDS_PARENT, "reversed")),
        ({"conversion_status": "chargeback", "conversion_name": None}, (NEEDS_PARENT, "chargeback")),
        ({"conversion_name": None, "original_name": "AddToCart"}, ("filtered_event", "AddToCart")),  # A10
        ({"conversion_name": None, "original_name": None}, ("filtered_event", "(none)")),
    ],
)
def test_verdicts(changes, verdict):
    """A09 A10 A11 A34."""
    event = {**GOOD, **changes}
    assert classify(event) == verdict
    assert judge(event) == (verdict, trace(event))
    if verdict and verdict[0] != NEEDS_PARENT:
        assert verdict[0] in REASON_BY_CODE


def test_order_of_judgement():
    """Rule 6: property, payload, test, status, name; each wins over all that come after it."""
    worst = {
        **GOOD, "problem": ("unauthorized_asset", "p9"), "is_test": True, "click_id": None, "conversion_status": "pending",
        "original_status": "pending", "conversion_name": None,
    }  # fmt: skip
    reasons = []
    for repair in (
        {"problem": ("unreadable_payload", "x")},
        {"problem": None},
        {"is_test": False},
        {"conversion_status": "approved"},
        {"conversion_name": "Lead"},
    ):
        reasons.append(classify(worst)[0])
        worst |= repair
    assert reasons == ["unauthorized_asset", "unreadable_payload", "test_data", "wrong_status", "filtered_event"]
    assert classify(worst) is None


def test_trace_goes_as_far_as_the_step_that_decides():
    assert trace(GOOD) == [[name, "passed", ""] for name, _ in STEPS]
    assert trace({**GOOD, "conversion_status": "pending", "original_status": "hold"}) == [
        ["property", "passed", ""], ["payload", "passed", ""], ["test", "passed", ""], ["status", "wrong_status", "hold"],
    ]  # fmt: skip


def test_traces_are_lists_of_their_own():
    first = trace(GOOD)
    first.append(["duplicate", "passed", ""])
    assert len(trace(GOOD)) == len(STEPS)
