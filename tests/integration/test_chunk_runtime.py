"""The chunk runtime on a real broker: exactly once through kill -9, rebalances, zombies, poison and lost state folders.

A toy role (tests/toy_worker.py) runs as real processes. What it wrote is compared with what a loop over the same records says: every
record exactly once, each with the count that only unbroken state can give.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PARTITIONS = 4
ROOT = Path(__file__).parents[2]


class Toy:
    """One named worker, started and ended at will."""

    def __init__(self, kafka, prefix, name, folder):
        self.args = [sys.executable, "-m", "tests.toy_worker", kafka.bootstrap_servers, prefix, name, str(folder)]
        self.log = folder / f"{name}.log"
        self.process = None

    def start(self, **env):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.args, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **env})

    def end(self, number=signal.SIGKILL):
        if self.process:
            self.process.send_signal(number)
            self.process.wait(15)


async def make_topics(kafka, prefix):
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    names = ("in", "side", "out", "state")
    await admin.create_topics(
        [NewTopic(f"{prefix}.{n}", PARTITIONS, 1, topic_configs={"cleanup.policy": "compact"} if n == "state" else {}) for n in names]
        + [NewTopic(f"dlq.{prefix}.{n}", PARTITIONS, 1) for n in names[:2]]
    )
    await admin.close()


async def produce(kafka, prefix, count, *, seed=1, poison=(), rate=None):
    """`count` records over both inputs; a tenth of the keys come again."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, enable_idempotence=True, linger_ms=5)
    await producer.start()
    rng = random.Random(seed)
    for i in range(count):
        key = b"T%d" % (i if rng.random() > 0.3 else rng.randrange(i + 1))
        value = b"poison" if i in poison else b"v%d" % i
        await producer.send(f"{prefix}.{'in' if i % 5 else 'side'}", value, key, partition=hash_of(key))
        if rate and i % (rate // 20) == 0:
            await asyncio.sleep(0.05)
    await producer.stop()


async def produce_until_end(kafka, prefix, worker):
    """Records for as long as a worker lives, however slowly it starts; returns how it ended."""
    seed = 100
    while worker.process.poll() is None:
        seed += 1
        await produce(kafka, prefix, 500, seed=seed, rate=1_000)
    return worker.process.returncode


def hash_of(key):
    return sum(key) % PARTITIONS


async def read_all(kafka, topic):
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, isolation_level="read_committed", fetch_max_wait_ms=50)
    await consumer.start()
    parts = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    consumer.assign(parts)
    ends = await consumer.end_offsets(parts)
    for p in parts:
        consumer.seek(p, 0)
    found = []
    for p in parts:
        while await consumer.position(p) < ends[p]:
            for batch in (await consumer.getmany(p, timeout_ms=500)).values():
                found += batch
    await consumer.stop()
    return found


async def wait_for_outputs(kafka, topic, count, timeout_s=180):
    deadline = time.monotonic() + timeout_s
    while True:
        found = await read_all(kafka, topic)
        if len(found) >= count:
            await asyncio.sleep(1)  # would more come?
            return await read_all(kafka, topic)
        assert time.monotonic() < deadline, f"{len(found)} of {count} outputs after {timeout_s} s"
        await asyncio.sleep(0.3)


def check(inputs, outputs):
    """Each input exactly once; per key the counts 1..n, each once, and one first: state was neither lost nor applied twice."""
    heres = Counter(bytes(o.value).split()[0] for o in outputs)
    wanted = {f"{r.topic[-2:]}/{r.partition}/{r.offset}".encode() for r in inputs if r.value != b"poison"}
    assert {h for h, n in heres.items() if n > 1} == set(), "outputs that came twice"
    assert set(heres) == wanted, f"{len(wanted - set(heres))} lost, {len(set(heres) - wanted)} invented"
    per_key = {}
    for o in outputs:
        here, first, count = bytes(o.value).split()
        per_key.setdefault(o.key, []).append((int(count), here, first))
    for key, rows in per_key.items():
        rows.sort()
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), f"broken state for {key}: {rows}"
        assert rows[0][2] == b"-"
        assert {row[2] for row in rows[1:]} <= {rows[0][1]}, f"wrong first for {key}: {rows}"


@pytest.fixture
async def prefix(kafka, request):
    name = f"rt{request.node.name.replace('[', '_').rstrip(']')}"[:60]
    await make_topics(kafka, name)
    return name


@pytest.fixture
def toys(kafka, prefix, tmp_path):
    made = []

    def make(*names):
        made.extend(Toy(kafka, prefix, name, tmp_path) for name in names)
        return made[-len(names) :]

    yield make
    for toy in made:
        if toy.process and toy.process.poll() is None:
            toy.end()


async def inputs_of(kafka, prefix):
    return await read_all(kafka, f"{prefix}.in") + await read_all(kafka, f"{prefix}.side")


async def test_kill_9_at_random_points_with_rebalances(kafka, prefix, toys, tmp_path):
    """Two workers, killed and started again, a third one joining and leaving: nothing lost, nothing doubled."""
    kills = int(os.environ.get("KILLS", "8"))
    workers = toys("a", "b", "c")
    rng = random.Random(7)
    for worker in workers[:2]:
        worker.start()
    load = asyncio.create_task(produce(kafka, prefix, 4_000 * (kills + 2), rate=4_000))
    for n in range(kills):
        await asyncio.sleep(rng.uniform(0.3, 2.0))
        victim = workers[n % 3] if n % 4 == 3 else rng.choice(workers[:2])
        if victim.process is None or victim.process.poll() is not None:
            victim.start()
            continue
        victim.end()
        if rng.random() < 0.3:
            shutil.rmtree(tmp_path / victim.args[-2], ignore_errors=True)  # its state folder, too
        if rng.random() < 0.8:
            victim.start()
    await load
    for worker in workers[:2]:
        if worker.process.poll() is not None:
            worker.start()
    inputs = await inputs_of(kafka, prefix)
    outputs = await wait_for_outputs(kafka, f"{prefix}.out", len(inputs))
    check(inputs, outputs)


@pytest.mark.parametrize("point", ["after_produce", "before_commit", "after_commit", "after_keep"])
async def test_killed_between_two_steps(kafka, prefix, toys, point):
    """Ended exactly after each arrow of the shell, twice: the successor makes of it what an unbroken run would have made."""
    (worker,) = toys("a")
    await produce(kafka, prefix, 3_000)
    for nth in (1, 3):
        worker.start(CLICKTRAIL_FAILPOINT=f"{point}:{nth}")
        assert await produce_until_end(kafka, prefix, worker) == 99, "the failpoint was reached"
    worker.start()
    inputs = await inputs_of(kafka, prefix)
    check(inputs, await wait_for_outputs(kafka, f"{prefix}.out", len(inputs)))


@pytest.mark.parametrize("point", ["after_produce", "before_commit", "after_commit"])
async def test_a_worker_that_dies_for_good_is_succeeded_by_another(kafka, prefix, toys, point):
    """Nobody comes back under its name: its last transaction, with offsets in it or without, ends by its timeout, and nobody reads before."""
    dying, heir = toys("a", "b")
    dying.start(CLICKTRAIL_FAILPOINT=f"{point}:20")
    heir.start()
    assert await produce_until_end(kafka, prefix, dying) == 99
    await produce(kafka, prefix, 4_000, rate=2_000)
    inputs = await inputs_of(kafka, prefix)
    check(inputs, await wait_for_outputs(kafka, f"{prefix}.out", len(inputs)))


async def test_a_zombie_is_fenced(kafka, prefix, toys):
    """Stopped past the session timeout, then woken: its transaction is refused, the process ends, nothing is doubled."""
    first, second = toys("a", "b")
    first.start()
    await produce(kafka, prefix, 2_000)
    await wait_for_outputs(kafka, f"{prefix}.out", 2_000)
    load = asyncio.create_task(produce(kafka, prefix, 20_000, seed=2, rate=2_000))
    await asyncio.sleep(1)
    first.process.send_signal(signal.SIGSTOP)
    second.start()
    await asyncio.sleep(14)  # session timeout 10 s, then the group gives the partitions to the second
    first.process.send_signal(signal.SIGCONT)
    await load
    inputs = await inputs_of(kafka, prefix)
    check(inputs, await wait_for_outputs(kafka, f"{prefix}.out", len(inputs)))


async def test_poison_goes_to_dead_letters_and_the_rest_goes_on(kafka, prefix, toys):
    """Only the culprits are set aside, with their bytes, coordinates and reason."""
    poison = {10, 11, 500, 1_999}
    (worker,) = toys("a")
    await produce(kafka, prefix, 2_000, poison=poison)
    worker.start()
    inputs = await inputs_of(kafka, prefix)
    check(inputs, await wait_for_outputs(kafka, f"{prefix}.out", 2_000 - len(poison)))
    dead = await read_all(kafka, f"dlq.{prefix}.in") + await read_all(kafka, f"dlq.{prefix}.side")
    assert len(dead) == len(poison)
    for letter in dead:
        headers = dict(letter.headers)
        assert letter.value == b"poison"
        assert headers["error"] == b"ValueError"
        assert headers["reason"] == b"no rule for this record"
        at = (headers["origin_topic"].decode(), int(headers["origin_partition"]), int(headers["origin_offset"]))
        assert at in {(r.topic, r.partition, r.offset) for r in inputs if r.value == b"poison"}


async def test_too_much_poison_stops_the_role(kafka, prefix, toys):
    """A stage that can judge nothing must not bury the whole topic: the process ends, nothing is committed."""
    (worker,) = toys("a")
    await produce(kafka, prefix, 1_500, poison=set(range(1_500)))
    worker.start()
    assert await asyncio.to_thread(worker.process.wait, 120) == 70
    assert "could not be judged" in worker.log.read_text()
    dead = await read_all(kafka, f"dlq.{prefix}.in")
    assert len(dead) < 500
