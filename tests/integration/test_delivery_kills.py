"""`kill -9` of the delivery role under load: every request arrives, and whatever arrives twice is on record as a try with an unknown result."""

import asyncio
import random
from collections import Counter, defaultdict

import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from tests.integration.delivery_rig import Delivery, Receiver, all_in

COUNT = 900
LIMITS = {"timeout_s": 1.5, "connect_timeout_s": 1, "concurrency": 16, "retry_after_s": [0.2] * 20}


@pytest.fixture(scope="module")
async def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    with Kafka(folder / "kafka", port=free_port()) as broker:
        async with Delivery(broker, folder) as delivery:
            yield delivery


@pytest.fixture
async def desk(service):
    yield service
    for name in list(service.processes):
        service.kill(name)


async def check(desk, receiver, requests):
    """Every request arrived; each arrival but the last of its postback is a try without an answer; the record is without gaps."""
    ours = {request["postback_id"] for request in requests}
    tries = defaultdict(list)
    for row in await desk.rows():
        if row["attempt"] and row["postback_id"] in ours:
            tries[row["postback_id"]].append(row)
    arrived = Counter()
    for counted in receiver.ids.values():
        arrived += counted
    assert set(arrived) == ours, "each of them arrived, and nothing else"
    for postback_id, found in tries.items():
        assert [row["attempt"] for row in found] == list(range(1, len(found) + 1)), "each try once, in order"
        assert found[-1]["state"] == "delivered"
        # No answer: the sender was stopped, or the machine so busy that the answer was not in time. Either may have arrived.
        unknown = sum(row["status_code"] is None for row in found)
        assert arrived[postback_id] <= 1 + unknown, "an arrival that the record does not show"
    return sum(arrived.values()) - len(requests)


async def test_killed_at_random_points_under_load(desk):
    """Twelve kills of one of two workers at random moments; at most what was under way at a kill arrives again."""
    rng = random.Random(5)
    async with Receiver() as receiver:
        await desk.destinations(
            *({"id": name, "url": f"{receiver.url}/{name}?c={{click_id}}", "sending": LIMITS} for name in ("fast", "slow"))
        )
        requests = [desk.request("fast" if number % 3 else "slow") for number in range(COUNT)]
        desk.start("0")
        desk.start("1")
        await desk.ready("0")
        for kill in range(12):
            await desk.send(*requests[kill * COUNT // 12 : (kill + 1) * COUNT // 12])
            await asyncio.sleep(rng.uniform(0.05, 1.2))
            victim = rng.choice(["0", "1"])
            desk.kill(victim)
            desk.start(victim)
        await desk.until(all_in("delivered", COUNT), timeout_s=200)
        again = await check(desk, receiver, requests)
        assert again <= 12 * 2 * LIMITS["concurrency"], "more than what can have been under way"


@pytest.mark.parametrize(
    "failpoint", ["attempt_begun", "postback_sent", "attempt_recorded", "after_produce", "before_commit", "after_commit"]
)
async def test_killed_between_two_steps(desk, failpoint):
    """A kill at each of the steps: begun and not sent, sent and not on record, on record and not in state."""
    async with Receiver() as receiver:
        await desk.destinations({"id": "fast", "url": f"{receiver.url}/fast?c={{click_id}}", "sending": LIMITS})
        requests = [desk.request("fast") for _ in range(60)]
        desk.start("0", CLICKTRAIL_FAILPOINT=failpoint)
        for wave in range(6):  # a transaction at least for each
            await desk.send(*requests[wave * 10 : wave * 10 + 10])
            await asyncio.sleep(0.5)
        assert await asyncio.to_thread(desk.processes["0"].wait, 60) == 99, "it passed the point"
        desk.start("0")
        ours = {request["postback_id"] for request in requests}
        await desk.until(lambda rows: sum(rows.get(one, {}).get("state") == "delivered" for one in ours) == 60)
        await check(desk, receiver, requests)
