"""`python -m bench delivery`: 2,000 deliveries a second to a fast destination, alone, and then while one hangs and one answers 500.

The role runs as a process of its own against a real broker; the destinations are a server in another process. The clock of a delivery starts
when its request is given to Kafka (its own timestamp, which travels in the postback's address) and stops when the destination has read it.
Both runs send the same; in the second, the hanging and the failing destination get POISON_RATE requests a second each. What must hold: the
fast destination's p99 is not harmed (at most a fifth), and every one of its requests arrives exactly once.
"""

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from bench import workload
from bench.bed import BROKER
from bench.driver import cpu_of, keep, machine_cpu, tree
from deploy.local.kafka import Kafka
from deploy.local.ports import free_ports
from streams.runtime import topics
from streams.runtime.role_ports import port_of
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Change, SettingsStore
from streams.topology import POSTBACKS

RATE = 2_000
POISON_RATE = 100
SECONDS = 30
WARM_S = 10
PARTITIONS = 6
PATIENCE_S = 60
CONCURRENCY = 200
SUSTAINED = 0.95  # of the rate, with the last one's way counted in
HARM = 1.2  # most that the fast destination's p99 may rise


def measure(rounds: int = 1, size_name: str = "50k") -> dict[str, Any]:  # noqa: ARG001  every bench takes the same arguments
    """Run it, print, keep."""
    result = asyncio.run(_measure())
    print(json.dumps(result, indent=1))
    print(f"written to {keep('delivery', result)}")
    return result


async def _measure() -> dict[str, Any]:
    workload.CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="delivery-", dir=workload.CACHE))
    broker, metrics, receiver, *_ = free_ports(12)
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": f"127.0.0.1:{broker}"}, "data_dir": folder, "partitions": PARTITIONS, "pii_key": "bench",
            "metrics_port": metrics + 2,
        }
    )  # fmt: skip
    try:
        with Kafka(folder / "kafka", broker, settings=BROKER, report=lambda _: None) as kafka:
            await topics.create_missing(settings)
            with (folder / "receiver.log").open("w") as log:
                server = subprocess.Popen([sys.executable, "-m", "bench.delivery_receiver", str(receiver)], stdout=log, stderr=log)  # noqa: ASYNC220 - 2 ms
            try:
                return await _with_worker(settings, folder, kafka.pid or 0, server, receiver)
            finally:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _with_worker(
    settings: Settings, folder: Path, kafka_pid: int, server: "subprocess.Popen[bytes]", receiver: int
) -> dict[str, Any]:
    version = await _destinations(settings, receiver)
    environment = {
        **os.environ, "CLICKTRAIL_DATA_DIR": str(folder), "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "CLICKTRAIL_PARTITIONS": str(PARTITIONS), "CLICKTRAIL_METRICS_PORT": str(settings.metrics_port), "CLICKTRAIL_PII_KEY": "bench",
        "CLICKTRAIL_DELIVERY__ALLOW_NETWORKS": "127.0.0.1/32", "CLICKTRAIL_LOG_LEVEL": "warning",
    }  # fmt: skip
    with (folder / "delivery.log").open("w") as log:
        worker = subprocess.Popen([sys.executable, "-m", "console.cli", "worker", "delivery"], env=environment, stdout=log, stderr=log)  # noqa: ASYNC220 - 2 ms
    try:
        await _ready(settings, worker, folder)
        await _run(settings, receiver, version, "warm", WARM_S, is_poisoned=False)
        pids = {"kafka": kafka_pid, "delivery": worker.pid, "destinations": server.pid}
        calm = await _run(settings, receiver, version, "calm", SECONDS, is_poisoned=False, pids=pids)
        storm = await _run(settings, receiver, version, "storm", SECONDS, is_poisoned=True, pids=pids)
    finally:
        worker.kill()
        worker.wait()
    is_sustained = all(run["delivered_per_s"] >= SUSTAINED * RATE for run in (calm, storm))
    is_kept = (
        is_sustained
        and all(run["lost"] == run["doubled"] == 0 for run in (calm, storm))
        and storm["p99_ms"] <= max(HARM * calm["p99_ms"], calm["p99_ms"] + 50)
    )
    return {
        "name": "delivery", "rate": RATE, "seconds": SECONDS, "calm": calm, "one_hangs_one_fails": storm, "is_kept": is_kept,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()), "others_cpu_share": storm["others_cpu_share"],
    }  # fmt: skip


async def _destinations(settings: Settings, port: int) -> int:
    """Save the three destinations; returns the settings' version."""
    feed = SettingsFeed(settings)
    await feed.start()
    limits = {"fast": {"concurrency": CONCURRENCY}, "hang": {"timeout_s": 5}, "fail": {}}
    changes = [
        Change("destination", name, {"id": name, "name": name, "url": f"http://127.0.0.1:{port}/{name}?i={{transaction_id}}&t={{timestamp_ms}}", "sending": found})
        for name, found in limits.items()
    ]  # fmt: skip
    await SettingsStore(settings, feed).apply(changes, "bench", "bench")
    await feed.stop()
    return feed.version


async def _ready(settings: Settings, worker: "subprocess.Popen[bytes]", folder: Path) -> None:
    port = port_of(settings, "delivery")
    for _ in range(600):
        if worker.poll() is not None:
            break
        text = await _asked(port, "/readyz")
        if text == "ok\n":
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"delivery does not start: {(folder / 'delivery.log').read_text()[-2000:]}")


async def _asked(port: int, path: str) -> str:
    """The body of a GET on loopback; empty when nobody answers."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2].decode()


async def _run(
    settings: Settings, receiver: int, version: int, name: str, seconds: float, *, is_poisoned: bool, pids: dict[str, int] | None = None
) -> dict[str, Any]:
    """Send at the rate, wait for the last one, ask the destination what came."""
    before = {who: cpu_of(tree(pid)) for who, pid in (pids or {}).items()}
    machine, began = machine_cpu(), time.monotonic()
    count = await _send(settings, version, name, seconds, is_poisoned=is_poisoned)
    sent_s = time.monotonic() - began
    deadline = time.monotonic() + PATIENCE_S
    while (found := json.loads(await _asked(receiver, f"/seen/{name}")))["unique"] < count and time.monotonic() < deadline:  # noqa: ASYNC110 - in another process
        await asyncio.sleep(0.2)
    done_s = time.monotonic() - began
    latencies = sorted(found["latencies_ms"])
    cores = {who: round((cpu_of(tree(pid)) - before[who]) / done_s, 2) for who, pid in (pids or {}).items()}
    return {
        "sent": count, "lost": count - found["unique"], "doubled": found["count"] - found["unique"], "sent_per_s": round(count / sent_s),
        "delivered_per_s": round(found["unique"] / done_s), "p50_ms": _quantile(latencies, 0.5), "p99_ms": _quantile(latencies, 0.99),
        "max_ms": latencies[-1] if latencies else None, "mean_ms": round(statistics.fmean(latencies)) if latencies else None,
        "others_received": found["others"], "cores": cores,
        "others_cpu_share": _others(machine, done_s, cores),
    }  # fmt: skip


def _quantile(ordered: list[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else -1


def _others(before: float, seconds: float, cores: dict[str, float]) -> float:
    """The share of the machine that others used."""
    return round(max(0.0, (machine_cpu() - before) / seconds - sum(cores.values())) / (os.cpu_count() or 1), 2)


async def _send(settings: Settings, version: int, name: str, seconds: float, *, is_poisoned: bool) -> int:
    producer = AIOKafkaProducer(**settings.kafka.client_args(), linger_ms=2, acks="all", enable_idempotence=True)
    await producer.start()
    began, count, poison = time.monotonic(), 0, 0
    total = int(RATE * seconds)
    while count < total:
        wanted = min(total, int((time.monotonic() - began) * RATE) + 1)
        for number in range(count, wanted):
            await _request(producer, "fast", f"{name}-{number}", version, number)
        count = wanted
        while is_poisoned and poison < count * POISON_RATE // RATE:
            for destination in ("hang", "fail"):
                await _request(producer, destination, f"{name}-{poison}", version, poison)
            poison += 1
        await asyncio.sleep(0.005)
    await producer.stop()
    return count


async def _request(producer: AIOKafkaProducer, destination: str, tag: str, version: int, number: int) -> None:
    partition = number % PARTITIONS
    request = {
        "postback_id": f"e1-{partition}-{tag}.{destination}.1", "kind": "conversion", "restates_event_id": None, "follows": None,
        "event_id": f"e1-{partition}-{tag}", "revision": 1, "destination_id": destination, "integration_id": None, "click_id": f"c{tag}", "ct": "sale",
        "conversion_name": "Purchase", "value": "12.50", "currency": "USD", "transaction_id": tag, "campaign_id": "c1", "traffic_source_id": "ads",
        "account_id": "default", "property_id": "shop", "event_ms": time.time_ns() // 1_000_000, "settings_version": version,
        "click": {"i": "9.9.9.9", "k": "DE", "q": {"gclid": "G" * 60, "utm_source": "x"}}, "parameters": {"txid": tag, "payout": "12.50", "status": "approved"},
    }  # fmt: skip
    await producer.send(POSTBACKS.name, orjson.dumps(request), request["event_id"].encode(), partition)


if __name__ == "__main__":
    measure()
