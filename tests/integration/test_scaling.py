"""One worker, four, one again, while records flow: nothing is lost, nothing doubled; how long the partitions took to change hands is said."""

import asyncio
import re
import signal
import time

from tests.integration.test_chunk_runtime import (
    PARTITIONS,
    check,
    inputs_of,
    prefix,  # noqa: F401  a fixture
    produce,
    toys,  # noqa: F401  a fixture
    wait_for_outputs,
)

PATIENCE_S = 90


def owned(worker):
    """The partitions that a worker was given last, by its log."""
    found = re.findall(r"assigned.*?partitions=\[([^\]]*)\]", re.sub(r"\x1b\[[0-9;]*m", "", worker.log.read_text()))
    return [int(number) for number in found[-1].split(",") if number.strip()] if found else []


async def until_shared(workers, began):
    """Return the seconds until the partitions are shared out among exactly these, each with its part."""
    while not (all(map(owned, workers)) and sorted(p for w in workers for p in owned(w)) == list(range(PARTITIONS))):
        assert time.monotonic() - began < PATIENCE_S, {worker.log.name: owned(worker) for worker in workers}
        assert all(worker.process.poll() is None for worker in workers)
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def flowing(kafka, prefix, ended):  # noqa: F811
    """2,000 records/s until it is over."""
    seed = 0
    while not ended.is_set():
        seed += 1
        await produce(kafka, prefix, 4_000, seed=seed, rate=2_000)


async def test_one_to_four_and_back_under_load(kafka, prefix, toys, record_property, capsys):  # noqa: F811  fixtures
    first, *others = toys("a", "b", "c", "d")
    first.start()
    scaled = asyncio.Event()
    load = asyncio.create_task(flowing(kafka, prefix, scaled))
    await until_shared([first], time.monotonic())
    for worker in others:
        worker.start()
    while not all("ChunkThread]: Starting" in worker.log.read_text() for worker in others):  # noqa: ASYNC110  Python's own start is not what counts
        await asyncio.sleep(0.05)
    up_s = await until_shared([first, *others], time.monotonic())
    await asyncio.sleep(2)  # all four work
    began = time.monotonic()
    for worker in others:
        worker.process.send_signal(signal.SIGTERM)
    for worker in others:
        await asyncio.to_thread(worker.process.wait, 30)
    down_s = await until_shared([first], began)
    scaled.set()
    await load
    inputs = await inputs_of(kafka, prefix)
    check(inputs, await wait_for_outputs(kafka, f"{prefix}.out", len(inputs)))
    record_property("up_s", up_s)
    record_property("down_s", down_s)
    with capsys.disabled():
        print(f"\n1 to 4 workers in {up_s:.1f} s from when the last one ran, 4 to 1 in {down_s:.1f} s (static members: a session of 10 s)")
