"""`python -m bench.kills`: kill -9 of any role at random points while payloads flow, and the log comes out as if nothing had happened.

Two runs of the real thing (`clicktrail up`, each in a folder of its own) over the same payloads with the same times of receipt: one
left alone, one in which a supervised process is killed again and again (ledger, attribution, sink, the ClickHouse endpoint). Then the
tables are compared: `events` must be equal, byte for byte apart from the clocks (judged_at) and the log's own offsets, `event_revisions`
must hold each verdict once, and every payload must have its row. Clicks come first and some come late, behind a barrier, so that the
revisions are the same in both runs, too.

At last ingest is killed while it is sent to over HTTP: every payload that it answered with 2xx has a row.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from bench.fault_rig import Stack, produce_clicks, produce_payloads, wait_for_rows

VICTIMS = ("ledger", "attribution", "sink", "clickhouse")
RESULTS = Path(__file__).parent / "results"
CLOCKS = "judged_at, log_partition, log_offset"  # what two runs over the same payloads may differ in
TOTAL_S = 540


async def killer(stack: Stack, kills: int, seconds: float, seed: int, done: Counter[str]) -> None:
    """Kill a random process at random times, spread over the run."""
    rng = random.Random(seed)
    moments = sorted(rng.uniform(0.02, 1.0) * seconds for _ in range(kills))
    began = time.monotonic()
    for moment in moments:
        await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
        name = rng.choice(VICTIMS)
        for _ in range(100):  # it may be on its way up again from the last time
            pid = stack.pids().get(name)
            if pid is not None and alive(pid):
                os.kill(pid, signal.SIGKILL)
                done[name] += 1
                break
            await asyncio.sleep(0.1)


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def one_run(folder: Path, count: int, kills: int, seconds: float, seed: int, http_payloads: int) -> dict[str, Any]:
    """A whole run; returns what the tables hold at the end."""
    stack = Stack(folder)
    done: Counter[str] = Counter()
    await asyncio.to_thread(stack.start)
    try:
        await produce_clicks(stack, count, late=False)
        flow = [produce_payloads(stack, count, seconds)]
        if kills:
            flow.append(killer(stack, kills, seconds, seed, done))
        await asyncio.gather(*flow)
        await wait_for_rows(stack, count)
        await produce_clicks(stack, count, late=True)
        await settled(stack)
        found = await tables(stack)
        if kills and http_payloads:
            found["ingest"] = await ingest_under_fire(stack, http_payloads, max(2, kills // 5), seed)
        return found | {"kills": dict(done)}
    finally:
        await asyncio.to_thread(stack.stop)


async def settled(stack: Stack, quiet_s: float = 4.0) -> None:
    """Wait until no revision has come for a while."""
    last, since = "", time.monotonic()
    while time.monotonic() - since < quiet_s:
        now = await stack.sql("SELECT count() FROM event_revisions FINAL")
        if now != last:
            last, since = now, time.monotonic()
        await asyncio.sleep(0.3)


async def tables(stack: Stack) -> dict[str, Any]:
    """What is compared: digests, counts, and what must be zero."""
    rows = await stack.sql(f"SELECT * EXCEPT({CLOCKS}) FROM events ORDER BY event_id FORMAT JSONEachRow")  # noqa: S608  our own constant
    once = await stack.sql("SELECT count() - uniqExact(event_id, revision) FROM event_revisions")
    status = await stack.sql("SELECT status, count() FROM events GROUP BY status ORDER BY status FORMAT TSV")
    return {
        "rows": rows.count("\n"),
        "sha256": hashlib.sha256(rows.encode()).hexdigest(),
        "doubled": int(once),
        "healed": int(await stack.sql("SELECT count() FROM events WHERE revision > 1")),
        "dead_letters": int(await stack.sql("SELECT count() FROM dead_letters")),
        "status": dict(line.split("\t") for line in status.splitlines()),
        "text": rows,
    }


async def ingest_under_fire(stack: Stack, count: int, kills: int, seed: int) -> dict[str, int]:
    """Send payloads over HTTP while ingest is killed; every one that was answered 2xx must become a row."""
    rng = random.Random(seed)
    accepted: list[str] = []
    url = f"http://127.0.0.1:{stack.ports['ingest']}/in/network"
    at_kill = {rng.randrange(count) for _ in range(kills)}
    async with aiohttp.ClientSession() as session:
        for i in range(count):
            if i in at_kill and (pid := stack.pids().get("ingest")) is not None and alive(pid):
                os.kill(pid, signal.SIGKILL)
            try:
                async with session.get(url, params={"transaction_id": f"H{i}", "status": "approved", "cid": "c1"}) as answer:
                    if answer.status < 300:
                        accepted.append(f"H{i}")
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.05)
    await settled(stack)
    listed = await stack.sql("SELECT DISTINCT transaction_id FROM events WHERE startsWith(transaction_id, 'H') FORMAT TSV")
    return {"sent": count, "accepted": len(accepted), "lost": len(set(accepted) - set(listed.split()))}


def differing(one: str, other: str, limit: int = 5) -> list[str]:
    """The first events of which two runs say something else, with the columns that differ."""
    a, b = ({row["event_id"]: row for row in map(json.loads, text.splitlines())} for text in (one, other))
    found = []
    for event_id in sorted(set(a) | set(b)):
        x, y = a.get(event_id, {}), b.get(event_id, {})
        if x != y and len(found) < limit:
            found.append(
                f"{event_id}: "
                + "; ".join(f"{name}: {x.get(name)!r} / {y.get(name)!r}" for name in sorted(set(x) | set(y)) if x.get(name) != y.get(name))
            )
    return found


async def compare(count: int, kills: int, seconds: float, seed: int, http_payloads: int = 2_000) -> dict[str, Any]:
    """Both runs and what became of the promise."""
    folder = Path(tempfile.mkdtemp(prefix="clicktrail-kills-"))
    began = time.monotonic()
    try:
        calm = await one_run(folder / "calm", count, 0, min(seconds, count / 8_000), seed, 0)
        fire = await one_run(folder / "fire", count, kills, seconds, seed, http_payloads)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    texts = calm.pop("text"), fire.pop("text")
    differs = [] if calm["sha256"] == fire["sha256"] else differing(*texts)
    is_kept = not differs and calm["rows"] == fire["rows"] == count and not fire["doubled"] and not fire["dead_letters"]
    is_kept = is_kept and not fire.get("ingest", {}).get("lost", 0)
    return {
        "name": "kills", "payloads": count, "calm": calm, "fire": fire, "differs": differs, "is_kept": is_kept,
        "seconds": round(time.monotonic() - began, 1), "date": datetime.now(UTC).isoformat(timespec="seconds"), "load": os.getloadavg()[0],
    }  # fmt: skip


def main(words: list[str] | None = None) -> int:
    """Run and report; 0 when the promise is kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=__doc__)
    parser.add_argument("--payloads", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=100, help="how long the payloads flow in the run with kills")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(words)
    result = asyncio.run(asyncio.wait_for(compare(given.payloads, given.kills, given.seconds, given.seed), TOTAL_S))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "kills.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    print("kept: the log is the same" if result["is_kept"] else "BROKEN: the logs differ")
    return 0 if result["is_kept"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
