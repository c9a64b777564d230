"""Ten times what the pipeline sustains, for a while: ingest accepts, spools or refuses, its memory stays bounded, what it accepted comes out.

Uploads of 250 lines from eight connections, as fast as 10,000 lines/s; rows are counted, not compared: the rounds compare.
"""

import asyncio
import time
from collections import Counter

import aiohttp
import psutil  # type: ignore[import-untyped]

from bench.chaos.round import Row
from bench.chaos.stack import ChaosStack
from sinks import conservation

LINES = 250
CONNECTIONS = 8
RATE = 10_000
PATIENCE_S = 420


async def overload(stack: ChaosStack, seconds: float) -> Row:
    """Flood, wait until all is out, count."""
    began = time.monotonic()
    accepted, refused, numbers, memory = 0, Counter[str](), iter(range(10**9)), [0, 0]
    before = int(await stack.sql("SELECT uniqExact(event_id) FROM event_revisions WHERE source_id = 'b-p2'"))
    ingest = psutil.Process(await stack.alive("ingest"))
    memory[0] = ingest.memory_info().rss
    url = f"http://127.0.0.1:{stack.ports['ingest']}/in/b-p2/bulk"

    async def sender(session: aiohttp.ClientSession) -> None:
        nonlocal accepted
        while time.monotonic() < began + seconds:
            number = next(numbers)
            await asyncio.sleep(max(0.0, began + number * LINES / RATE - time.monotonic()))
            lines = b"".join(
                b'{"tx":"flood-%d-%d","event":"Purchase","status":"approved","value":5,"cid":"flood-%d"}\n' % (number, i, i)
                for i in range(LINES)
            )
            async with session.post(url, data=lines, headers={"Content-Type": "application/x-ndjson"}) as answer:
                if answer.status < 300:
                    accepted += LINES
                else:
                    refused[str(answer.status)] += 1
                    await asyncio.sleep(0.2)
            memory[1] = max(memory[1], ingest.memory_info().rss)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(sender(session) for _ in range(CONNECTIONS)))
    ended = time.monotonic()
    there = before
    while time.monotonic() - ended < PATIENCE_S:
        there = int(await stack.sql("SELECT uniqExact(event_id) FROM event_revisions WHERE source_id = 'b-p2'"))
        if there - before >= accepted:
            break
        await asyncio.sleep(0.5)
    recovery_s = round(time.monotonic() - ended, 1)
    doubled = int(await stack.sql("SELECT count() - uniqExact(event_id, revision) FROM event_revisions"))
    report = await conservation.check(stack.url, {"bootstrap_servers": stack.bootstrap}, settle_s=60)
    lost = max(0, accepted - (there - before))
    said = f"{accepted / seconds:,.0f} lines/s accepted, refused: {dict(refused) or 'none'}, ingest {memory[0] >> 20} MiB before, {memory[1] >> 20} MiB at most"
    return Row(
        "overload: all that is accepted comes out", f"{RATE:,} payloads/s for {seconds:.0f} s", 1, accepted, lost, doubled, int(not report.is_whole),
        None if lost else recovery_s, round(time.monotonic() - began, 1), () if report.is_whole else tuple(report.lines()), said,
    )  # fmt: skip
