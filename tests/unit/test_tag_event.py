"""What an event to /t/<property_id> may say, and what is said of the rest."""

import pytest

from streams.ingest.tag_event import DAY_MS, MOST_IGNORED, SKEW_MS, TagEvent, ignored, notes, occurred

NOW_MS = 1_790_000_000_000


def seen(**fields):
    return TagEvent.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"kind": "click", "click_id": "c1"}, []),
        ({"occurred_at": 1}, ["occurred_at (did you mean occurred_ms?)"]),
        ({"type": "click"}, ["type (did you mean kind?)"]),
        ({"clickid": "c1"}, ["clickid (did you mean click_id?)"]),
        ({"E-Mail": "a@b.de"}, ["E-Mail (did you mean email?)"]),
        ({"zzz": 1}, ["zzz"]),
        ({"member": {"mail": "a@b.de", "phone": "1"}}, ["member.mail (did you mean email?)"]),
        ({"member": {"params": 1}}, ["member.params"]),  # a member has no parameters: no hint that leads astray
    ],
)
def test_a_field_that_is_none_is_named_with_the_one_that_may_be_meant(fields, names):
    assert ignored(seen(**fields)) == names
    assert notes(seen(**fields), NOW_MS) == ({"(ignored)": ", ".join(names)} if names else {})


def test_many_unknown_fields_do_not_fill_a_row():
    found = ignored(seen(**{f"{number}" * 1_000: number for number in range(100)}))
    assert len(found) == MOST_IGNORED
    assert max(map(len, found)) < 100


@pytest.mark.parametrize(
    ("said", "taken", "note"),
    [
        (None, NOW_MS, None),
        (NOW_MS - 1, NOW_MS - 1, None),
        (NOW_MS + SKEW_MS, NOW_MS, None),  # a visitor's clock that runs a little ahead
        (NOW_MS + SKEW_MS + 1, NOW_MS, f"'{NOW_MS + SKEW_MS + 1}' lies in the future, the time of receipt was taken"),
        (NOW_MS - 29 * DAY_MS, NOW_MS - 29 * DAY_MS, None),
        (NOW_MS - 30 * DAY_MS, NOW_MS, f"'{NOW_MS - 30 * DAY_MS}' lies more than 30 days back, the time of receipt was taken"),
        (NOW_MS // 1000, NOW_MS, f"'{NOW_MS // 1000}' is in seconds, not in milliseconds, the time of receipt was taken"),
        (0, NOW_MS, "'0' lies more than 30 days back, the time of receipt was taken"),
        (-(10**30), NOW_MS, f"'{-(10**30)}' lies more than 30 days back, the time of receipt was taken"),
    ],
)
def test_a_time_that_cannot_be_taken_is_kept_in_its_words(said, taken, note):
    event = seen(occurred_ms=said)
    assert occurred(event, NOW_MS) == (taken, note)
    assert notes(event, NOW_MS) == ({"(occurred_ms)": note} if note else {})
