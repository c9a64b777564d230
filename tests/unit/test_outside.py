"""A worker that stands outside its group while Kafka answers ends; one that is a member, or waits for Kafka, does not."""

import pytest

from streams.runtime.errors import Unavailable
from streams.runtime.outside import Outside


class Kafka:
    """Answers, or not."""

    is_there = True

    async def __call__(self):
        return self.is_there


async def test_it_ends_after_the_limit_and_says_why():
    outside = Outside(Kafka(), limit_s=60)
    for now in (0, 30, 60):
        await outside.look(now, is_member=False)
    with pytest.raises(Unavailable, match="No member of the group for 65 s"):
        await outside.look(65, is_member=False)


async def test_a_member_never_ends():
    outside = Outside(Kafka(), limit_s=60)
    for now in range(0, 1_000, 5):
        await outside.look(now, is_member=True)


async def test_a_rebalance_begins_the_time_anew():
    outside = Outside(Kafka(), limit_s=60)
    for now in range(0, 1_000, 5):
        await outside.look(now, is_member=now % 50 == 0)


async def test_time_without_kafka_does_not_count():
    kafka = Kafka()
    outside = Outside(kafka, limit_s=60)
    await outside.look(0, is_member=False)
    kafka.is_there = False
    for now in range(5, 600, 5):
        await outside.look(now, is_member=False)
    kafka.is_there = True
    for now in (600, 630, 660):
        await outside.look(now, is_member=False)
