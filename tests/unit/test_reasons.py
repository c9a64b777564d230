"""The catalogue of verdicts: the seed pages' words, once and complete."""

from pathlib import Path

import pytest

from schemas import reasons


@pytest.mark.parametrize(
    ("code", "detail", "text"),
    [
        ("cant_find_refid", "jane@example.com", "Error: Can't find refId: jane@example.com"),  # A20
        ("no_click_id", "cid", 'Error: No click id value passed to the "cid" parameter'),  # A26
        ("no_click_id", "sub5", 'Error: No click id value passed to the "sub5" parameter'),  # A27
        ("unknown_click_id", None, "Error: Unknown click_id"),  # A30
        ("unknown_click_id", "c1", "Error: Unknown click_id"),
        ("cant_find_event", "T1", "Error: Can't find event: T1"),  # A32
        ("unauthorized_asset", "p9", "Error: Unauthorized asset: p9"),  # A34
        ("no_ip_match", None, "Error: No IP match"),  # A35
        ("wrong_status", "pending", "Wrong conversion status: pending"),  # A09
        ("filtered_event", "AddToCart", "Filtered event type: AddToCart"),  # A10
        ("test_data", None, "Test or sandbox data"),  # A11
        ("cant_find_refid", "{value}", "Error: Can't find refId: {value}"),  # a value is never a template
        ("cant_find_event", None, "Error: Can't find event"),
    ],
)
def test_messages_have_the_words_of_the_seed(code, detail, text):
    """A20 A26 A27 A30 A32 A34 A35 A09 A10 A11."""
    assert reasons.message(code, detail) == text


def test_statuses_and_colours():
    """A04 A05 A08 A12 A18: OK green, Discarded and Deduplicated gray without action, errors with action."""
    assert [(s.code, s.title, s.colour, s.is_action_needed) for s in reasons.STATUSES] == [
        ("ok", "OK", "green", False),
        ("discarded", "Discarded", "gray", False),
        ("deduplicated", "Deduplicated", "gray", False),
        ("error", "Error", "red", True),
    ]


def test_three_vocabularies_are_one_table():
    """R08 R11 R12 R13, rule 1: success = ok, info = discarded or deduplicated, failure = error."""
    view = {"ok": "success", "discarded": "info", "deduplicated": "info", "error": "failure"}
    assert {r.code: r.view_status for r in reasons.REASONS} == {r.code: view[r.status] for r in reasons.REASONS}


@pytest.mark.parametrize(("kind", "view"), [("referral", "info"), ("postback", "failure"), ("", "failure")])
def test_unknown_member_link_is_information_for_referral_sources(kind, view):
    """R11: only a source of kind referral."""
    assert reasons.view_status("unknown_click_id", kind) == view
    assert reasons.view_status("invalid_member_link", kind) == "info"
    assert reasons.view_status("recorded", kind) == "success"


def test_every_entry_is_complete_and_unique():
    for table in (reasons.STATUSES, reasons.REASONS, reasons.SUB_REASONS):
        codes = [entry.code for entry in table]
        assert len(set(codes)) == len(codes)
    for reason in reasons.REASONS:
        assert reason.status in reasons.STATUS_BY_CODE
        assert reason.title
        assert reason.remedy
        assert reason.causes or reason.code == "recorded"
        assert reason.message.count("{") <= 1
        assert reason.message.startswith("Error: ") == (reason.status == "error")
    for sub_reason in reasons.SUB_REASONS:
        assert set(sub_reason.reasons) <= set(reasons.REASON_BY_CODE)
        assert sub_reason.text
        assert sub_reason.remedy


def test_causes_of_each_error_are_the_seed_s():
    """A25 A28 A31 A33: as many causes as the page lists."""
    counts = {
        code: len(reasons.REASON_BY_CODE[code].causes) for code in ("cant_find_refid", "no_click_id", "unknown_click_id", "cant_find_event")
    }
    assert counts == {"cant_find_refid": 3, "no_click_id": 3, "unknown_click_id": 2, "cant_find_event": 2}
    assert len(reasons.REASON_BY_CODE["duplicate"].causes) == 3  # A15 A16 A17


def test_a_long_word_is_cut_in_the_message():
    said = reasons.message("wrong_status", "x" * 1_000_000)
    assert said == f"Wrong conversion status: {'x' * reasons.LONGEST_DETAIL}…"
    assert reasons.message("wrong_status", "x" * reasons.LONGEST_DETAIL).endswith("x")


def test_words_stand_nowhere_else():
    """Principle 4: a message that is copied into code drifts."""
    root = Path(reasons.__file__).parents[1]
    texts = [r.message.partition("{")[0] for r in reasons.REASONS if r.status == "error"]
    found = [
        (path.name, text)
        for folder in ("schemas", "streams", "sinks", "console")
        for path in (root / folder).rglob("*.py")
        if path.name != "reasons.py"
        for text in texts
        if text in path.read_text()
    ]
    assert found == []
