"""The map of keys to partitions is for ever: another one would send a home's next payload to where nobody knows it."""

from collections import Counter

import pytest

from schemas.identity import home_of
from streams.partition import partition_of


@pytest.mark.parametrize(
    ("key", "of_4", "of_12"),
    [(b"", 2, 10), (b"default|p1|T1", 3, 7), (b"acme|email|0", 2, 10)],
)
def test_the_map_does_not_change(key, of_4, of_12):
    """Values written down once; a change of the hash or its seed is a new topic, not an upgrade."""
    assert (partition_of(key, 4), partition_of(key, 12)) == (of_4, of_12)


def test_keys_are_spread():
    counts = Counter(partition_of(b"acme|p1|T%d" % n, 12) for n in range(12_000))
    assert set(counts) == set(range(12))
    assert max(counts.values()) < 1.15 * 1_000


@pytest.mark.parametrize(
    ("business", "subject"),
    [
        (("R", "T", "K"), "R"),
        ((None, "T", "K"), "T"),
        ((None, None, "K"), "K"),
        ((None, None, None), "hash"),
        (("", "", ""), "hash"),
        ((None, "a|b", None), "a|b"),
        ((None, "T" * 200, None), "T" * 200),
    ],
)
def test_what_meets_at_home(business, subject):
    """A17: the business id, whoever reports it; a refund by reference meets its sale. Not another account's, not another property's."""
    assert home_of("acme", "p1", *business, "hash") == f"acme|p1|{subject}"
