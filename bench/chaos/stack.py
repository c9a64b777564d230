"""Everything that `clicktrail up` runs, with the two services and a network of our own between them.

Kafka and ClickHouse are ours to end and start; `up` finds proxies where it was told that the services are, takes them for somebody else's,
and supervises the roles, whose restarts are thus the product's. Kafka advertises its proxy, so nothing of the roles goes round it; what
*we* ask goes straight to the services. State, spool and ClickHouse lie on file systems of some hundred megabytes each where we may mount
them, so that a disk can be full.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench import fault_rig
from bench.chaos import world
from bench.chaos.answers import Answers
from bench.chaos.cluster import Cluster
from bench.chaos.destinations import Destinations
from bench.chaos.proxy import Proxy
from bench.fault_rig import PARTITIONS, PII_KEY
from deploy.local.kafka import Kafka
from deploy.local.ports import free_ports
from sinks.embedded import ClickHouse
from sinks.migrations import migrate
from streams.runtime.role_ports import ROLES
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.stage import Record
from streams.workspace import Workspace

REFERENCE = "reference"  # the database of the rows that must be
DISKS = {"clickhouse": 1024, "state": 256, "spool": 32}  # MiB
# Rows that stand there twice must be seen, so the engine merges nothing while a fault is judged.
UNMERGED = "max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1, parts_to_throw_insert = 100000, parts_to_delay_insert = 100000"


class ChaosStack(fault_rig.Stack):
    """One installation. `pids()` are the roles', as `up` tells them."""

    def __init__(self, folder: Path, *, is_cluster: bool = False) -> None:
        """`is_cluster`: three brokers instead of one behind a proxy."""
        self.folder = folder
        behind, inside, controller, front, clickhouse, ch_front, ingest, console, metrics, *_ = free_ports(8 + 2 * len(ROLES))
        self.ports = {"kafka": front, "clickhouse": clickhouse, "ingest": ingest, "console": console, "metrics": metrics}
        self.spare_metrics = metrics + len(ROLES)
        self.bootstrap = f"127.0.0.1:{inside}"
        self.url = f"http://127.0.0.1:{clickhouse}"
        self.kafka: Kafka | Cluster = Kafka(folder / "kafka", behind, controller, settings=_listeners(behind, inside, controller, front))
        self.clickhouse = ClickHouse(folder / "clickhouse", clickhouse)
        self.network = Proxy(front, behind)
        self.answers = Answers(ch_front, clickhouse)
        self.destinations = Destinations()
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("CLICKTRAIL_")} | {
            "CLICKTRAIL_DATA_DIR": str(folder), "CLICKTRAIL_PARTITIONS": str(PARTITIONS), "CLICKTRAIL_PII_KEY": PII_KEY, "SEED": "0",
            "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{front}", "CLICKTRAIL_CLICKHOUSE__URL": f"http://127.0.0.1:{ch_front}",
            "CLICKTRAIL_INGEST__PORT": str(ingest), "CLICKTRAIL_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8",
            "CLICKTRAIL_INGEST__SPOOL_DIR": str(folder / "spool"), "CHAOS_CLOCK": str(folder / "clock"),
            "PYTHONPATH": str(Path(__file__).parent / "clock"),
        }  # fmt: skip
        if is_cluster:
            self.kafka = Cluster(folder)
            self.bootstrap = self.kafka.bootstrap_servers
            self.environment |= {"CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap, "CLICKTRAIL_KAFKA__REPLICATION_FACTOR": "3"}
        self.spares: dict[str, subprocess.Popen[bytes]] = {}
        self.workspace = Workspace()
        self.settings = Settings(
            kafka={"bootstrap_servers": self.bootstrap}, data_dir=folder, partitions=PARTITIONS, pii_key=PII_KEY,  # type: ignore[arg-type]
        )  # fmt: skip
        self.has_disks = False
        self.flips: dict[str, list[tuple[int, bool]]] = {f"flip-{where}": [] for where in world.POLICIES}  # from version on, mapped or not
        self.begin: dict[str, dict[int, int]] = {}  # where the topics ended when the round began
        self.poisoned = 0
        self.notes: dict[str, str] = {}
        self.clock = folder / "clock"

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.has_disks = mount(self.folder)
        self.clock.write_text("0")
        await asyncio.gather(asyncio.to_thread(self.kafka.start), asyncio.to_thread(self.clickhouse.start))
        await asyncio.gather(self.network.start(), self.answers.start(), self.destinations.start())
        flags = [word for name in ("ingest", "console", "metrics") for word in (f"--{name}-port", str(self.ports[name]))]
        await asyncio.to_thread(self.clicktrail, "up", "--detach", "--no-seed", *flags)
        file = self.folder / "workspace.yaml"
        file.write_text(world.workspace(self.destinations.url))
        await asyncio.to_thread(self.clicktrail, "apply", "-f", str(file), "--author", "chaos", "--reason", "chaos")
        await asyncio.to_thread(migrate, self.url, REFERENCE, "")
        self.feed = SettingsFeed(self.settings, self.workspace)
        await self.feed.start()
        self.producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, enable_idempotence=True, linger_ms=5)
        await self.producer.start()
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.spares):
            self.leave(name)
        for what in ("feed", "producer"):
            if hasattr(self, what):
                await getattr(self, what).stop()
        if hasattr(self, "http"):
            await self.http.close()
        self.network.clear()
        try:
            await asyncio.to_thread(self.clicktrail, "down")
        finally:
            await asyncio.gather(self.network.stop(), self.answers.stop(), self.destinations.stop(), return_exceptions=True)
            await asyncio.to_thread(self.clickhouse.stop, 5)
            await asyncio.to_thread(self.kafka.stop, 10)
            unmount(self.folder, self.has_disks)

    async def merge(self, is_on: bool) -> None:
        """Let the engine merge parts, or not."""
        names = ", ".join(part.split(" = ")[0] for part in UNMERGED.split(", "))
        for table in ("event_revisions", "visits", "postback_attempts"):
            await self.sql(f"ALTER TABLE {table} " + (f"RESET SETTING {names}" if is_on else f"MODIFY SETTING {UNMERGED}"))

    def join(self, role: str, name: str) -> None:
        """Start one more worker of a role, beside the one that `up` runs."""
        more = {"CLICKTRAIL_INSTANCE": name, "CLICKTRAIL_METRICS_PORT": str(self.spare_metrics)}
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "console.cli", "worker", role]
            self.spares[name] = subprocess.Popen(command, env=self.environment | more, stdout=log, stderr=log)

    def leave(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a worker that joined."""
        process = self.spares.pop(name)
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    async def alive(self, role: str, timeout_s: float = 60) -> int:
        """The process id of a role that runs; waits while it is on its way up again."""
        ends_at = time.monotonic() + timeout_s
        while time.monotonic() < ends_at:
            pid = self.pids().get(role)
            if pid is not None and is_alive(pid):
                return pid
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{role} does not come back")

    async def ends(self, topic: str) -> dict[int, int]:
        """Partition -> end offset."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
        await consumer.start()
        try:
            places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            return {at.partition: end for at, end in (await consumer.end_offsets(places)).items()}
        finally:
            await consumer.stop()

    async def records(self, topic: str, begin: dict[int, int]) -> list[Record]:
        """Every committed record from the given offsets on, partition by partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, isolation_level="read_committed", fetch_max_wait_ms=50)
        await consumer.start()
        try:
            found: list[Record] = []
            for number in range(PARTITIONS):
                at = TopicPartition(topic, number)
                consumer.assign([at])
                end = (await consumer.end_offsets([at]))[at]
                consumer.seek(at, max(begin[number], (await consumer.beginning_offsets([at]))[at]))
                while await consumer.position(at) < end:
                    fetched = (await consumer.getmany(at, timeout_ms=200)).get(at, [])
                    found += [Record(topic, number, r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in fetched]
            return found
        finally:
            await consumer.stop()

    def log_of(self, role: str) -> str:
        """The end of a role's log."""
        return (self.folder / "logs" / f"{role}.log").read_text(errors="replace")[-3000:]


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _listeners(behind: int, inside: int, controller: int, front: int) -> dict[str, Any]:
    """One listener for the roles, whose advertised port is the proxy's, and one for the broker itself and for us."""
    return {
        "listeners": f"PLAINTEXT://127.0.0.1:{behind},INSIDE://127.0.0.1:{inside},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{front},INSIDE://127.0.0.1:{inside}",
        "inter.broker.listener.name": "INSIDE",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.cleaner.backoff.ms": "1000",
    }


def mount(folder: Path) -> bool:
    """Put what can be full on small file systems of its own; False where we may not."""
    for name, size in DISKS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "clicktrail-chaos", str(folder / name)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
            unmount(folder, True)
            return False
    return True


def unmount(folder: Path, is_mounted: bool) -> None:
    """Take the small file systems away."""
    for name in DISKS if is_mounted else ():
        subprocess.run(["umount", "-l", str(folder / name)], capture_output=True, check=False)
