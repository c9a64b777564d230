"""Limits of dead letters: one bad record must not stop the others, a bad deploy must not bury them all."""

import pytest

from streams.runtime import poison
from streams.runtime.poison import MAX_IN_A_ROW, RATIO_NEEDS, WINDOW, Poison, TooMuchPoisonError
from streams.stage import Outputs, Record


def bury(counter, count=1, record=None):
    out = Outputs()
    for _ in range(count):
        counter.bury(record or Record("t", 1, 7, 5, b"k", b"v"), ValueError("no"), out)
    return list(out)


@pytest.mark.parametrize(
    ("headers", "kept"),
    [([], []), ([("ce_source", b"s")], ["ce_source"]), ([("dlq_left", b"1"), ("a", b"1"), ("dlq_reason", b"x")], ["a"])],
)
def test_a_dead_letter_keeps_what_came_and_says_where_from(headers, kept):
    [(topic, partition, key, value, said)] = bury(Poison(), record=Record("t", 1, 7, 5, b"k", b"v", headers))
    assert (topic, partition, key, value) == ("dlq.t", 1, b"k", b"v")
    names = [name for name, _ in said]
    assert names[: len(kept)] == kept
    assert names[len(kept) :] == [
        "origin_topic",
        "origin_partition",
        "origin_offset",
        "origin_timestamp",
        "error",
        "reason",
        "failed_at_ms",
    ]
    assert dict(said)["origin_offset"] == b"7"


def test_a_tombstone_and_a_long_reason():
    out = Outputs()
    Poison().bury(Record("t", 0, 0, 0, None, None), ValueError("x" * 5_000), out)
    [(_, _, key, value, headers)] = list(out)
    assert (key, value, len(dict(headers)["reason"])) == (None, b"", 1_000)


def test_too_many_in_a_row():
    counter = Poison()
    bury(counter, MAX_IN_A_ROW)
    with pytest.raises(TooMuchPoisonError, match="could not be judged; the last: t-1@7"):
        bury(counter)


def test_a_good_record_ends_a_row():
    counter = Poison()
    for _ in range(5):
        bury(counter, MAX_IN_A_ROW - 1)
        counter.count_good(2 * MAX_IN_A_ROW)
    assert counter.buried == 5 * (MAX_IN_A_ROW - 1)


def share(pattern):
    """How many are buried before it stops, for a repeated pattern of (bad, good)."""
    counter, buried = Poison(), 0
    bad, good = pattern
    for _ in range(3 * WINDOW // (bad + good)):
        try:
            bury(counter, bad)
        except TooMuchPoisonError:
            return counter.buried
        buried += bad
        counter.count_good(good)
    return None


@pytest.mark.parametrize(("pattern", "stops"), [((4, 5), False), ((1, 9), False), ((2, 3), False), ((3, 2), True), ((2, 1), True)])
def test_more_than_half_of_the_recent_stop_it(pattern, stops):
    """A share means something from RATIO_NEEDS records on."""
    buried = share(pattern)
    assert (buried is not None) is stops
    if stops:
        assert RATIO_NEEDS / 2 < buried <= RATIO_NEEDS


def test_what_lies_behind_the_window_is_forgotten():
    counter = Poison()
    bury(counter, 90)
    counter.count_good(10 * WINDOW)
    bury(counter, 90)
    assert len(counter._recent) == WINDOW
    assert counter._bad_recent == sum(counter._recent) == 90


def test_counting_good_records_costs_nothing_while_there_is_no_bad_one():
    counter = Poison()
    counter.count_good(10**9)
    assert not counter._recent
    assert poison.MAX_SHARE == 0.5
