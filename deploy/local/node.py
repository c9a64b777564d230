"""What the one node is made of: its properties, its storage, its command line, and its last words.

The settings are those of a single node with our load, each with its reason; everything else is Kafka's default, so that the
embedded broker behaves like the one in production.
"""

import base64
import json
import re
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import LocalServiceError
from deploy.local.class_archive import ClassArchive
from deploy.local.jars import KAFKA_VERSION
from deploy.local.jvm import Jvm, interrupts_held
from deploy.local.ports import Listener, process_name

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    # One copy of everything is all that one node can keep.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # 50 partitions each by default: created at the first use, opened at each start.
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    # Topics are made from the topology; a typo must fail instead of making one with wrong settings.
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",  # default 3 s of waiting for members that do not come
    # What a worker that was killed for good left open blocks read_committed readers until its timeout is noticed: every 10 s by default.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # After kill -9 the restarted controller takes the dead broker for living until its session ends (KAFKA-19047), and the broker
    # asks again after 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 12.7 s: with the default 9 s a restart takes 13 s, with this one 4.
    "broker.session.timeout.ms": "2900",
    "broker.heartbeat.interval.ms": "300",
    # Retention and compaction work on closed segments: 1 GB ones would never close on a laptop.
    "log.segment.bytes": str(128 << 20),
    "log.cleaner.dedupe.buffer.size": str(16 << 20),  # default 128 MB, a quarter of our heap
}
# Warnings, and the lines that tell which version started and when it was ready (`kafka.STARTED`).
_LOGGING = {
    "defaultLogLevel": "warn",
    "log.kafka.server.KafkaRaftServer": "info",
    "log.org.apache.kafka.common.utils.AppInfoParser": "info",
    "log.org.apache.kafka.clients.NetworkClient": "error",  # the broker talking to itself before it is up: 20 lines a second
    "showDateTime": "true",
    "dateTimeFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "showThreadName": "false",
}
_LOG_KEEP_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is needed to run the node."""

    data_dir: Path
    jvm: Jvm
    jars: list[Path]
    heap: str
    port: int
    controller_port: int
    settings: Mapping[str, str]
    cluster_id: str = ""  # of a cluster of several nodes, the same for all; empty: one of its own

    @property
    def properties_path(self) -> Path:
        """Written anew at each start."""
        return self.data_dir / "server.properties"

    @property
    def storage(self) -> Path:
        """Kafka's own folder: topics and metadata."""
        return self.data_dir / "log"


class KafkaError(LocalServiceError):
    """The broker cannot run, or not over this data folder. The message says what, why and what next."""


def properties(plan: Plan, storage: Path) -> str:
    """The node's server.properties. The voter list is static, so that the controller's port may differ from start to start."""
    listeners = f"PLAINTEXT://127.0.0.1:{plan.port},CONTROLLER://127.0.0.1:{plan.controller_port}"
    values = {
        **SETTINGS,
        "listeners": listeners,
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plan.port}",
        "controller.quorum.voters": f"1@127.0.0.1:{plan.controller_port}",
        "log.dirs": str(storage),
        **plan.settings,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def command(plan: Plan, archive: ClassArchive) -> list[str]:
    """The broker's command line."""
    return [*_java(plan, f"-Xms{plan.heap}", *archive.flags()), "kafka.Kafka", str(plan.properties_path)]


def _java(plan: Plan, *flags: str) -> list[str]:
    logging = [f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in _LOGGING.items()]
    class_path = ":".join(str(jar) for jar in plan.jars)
    # Kafka's native codecs and Scala's Unsafe are known; newer Javas would warn of them at every start.
    quiet = ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"] if plan.jvm.major >= 24 else []
    return [str(plan.jvm.java), f"-Xmx{plan.heap}", *flags, *quiet, "-Djava.awt.headless=true", *logging, "-cp", class_path]


def prepare(plan: Plan, log: Path) -> None:
    """Write the properties; format the storage if this is the first start. The caller holds the folder's lock."""
    if log.exists() and log.stat().st_size > _LOG_KEEP_BYTES:
        log.replace(log.with_suffix(".old.log"))
    log.touch()
    _check_version(plan)
    if not plan.storage.exists():
        _format(plan, log)
    plan.properties_path.write_text(properties(plan, plan.storage))


def _check_version(plan: Plan) -> None:
    """An older Kafka's folder is taken over, as an upgrade would; a newer one's records may be unreadable, so it is refused."""
    record = plan.data_dir / "broker.json"
    written_by = _recorded(record.read_text()).get("kafka", KAFKA_VERSION)
    if _numbers(str(written_by)) > _numbers(KAFKA_VERSION):
        raise KafkaError(
            f"{plan.data_dir} was written by Kafka {written_by}, newer than the {KAFKA_VERSION} that runs here. "
            "Use the newer version, or another folder."
        )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def new_cluster_id() -> str:
    """An id in the form that Kafka takes: a UUID in 22 characters."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def _format(plan: Plan, log: Path) -> None:
    """Kafka's StorageTool on a folder beside the real one, renamed when complete: a kill half way leaves no half folder."""
    fresh = plan.data_dir / f"log.{uuid.uuid4().hex[:8]}"
    plan.properties_path.write_text(properties(plan, fresh))
    cluster_id = plan.cluster_id or new_cluster_id()
    tool = [*_java(plan, "-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool"]
    arguments = ["format", f"--cluster-id={cluster_id}", "--config", str(plan.properties_path)]  # `=`: an id may begin with a dash
    # In a session of its own: the terminal's Ctrl-C is for us, and a tool that it ends looks like one that failed.
    with interrupts_held():
        done = subprocess.run([*tool, *arguments], capture_output=True, text=True, check=False, timeout=60, start_new_session=True)
    if done.returncode:
        with log.open("a") as file:
            file.write(done.stdout + done.stderr)
        raise KafkaError(f"Kafka cannot format {plan.data_dir}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    fresh.rename(plan.storage)


def in_use(data_dir: Path, record: str) -> str:
    """The error text for a folder in which another broker lives."""
    known = _recorded(record)
    pid = known.get("pid")
    holder = Listener(pid, process_name(pid)) if isinstance(pid, int) else "another start"
    where = f", listening on port {known['port']}" if "port" in known else ""
    return f"{data_dir} is in use by {holder}{where}. Stop it (`clicktrail down`), or use another data folder."


def _recorded(text: str) -> dict[str, object]:
    """The record of the last start; empty if a crash cut it short, as it only names things."""
    try:
        known = json.loads(text)
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def last_words(log: Path, read_from: int, limit: int = 12) -> str:
    """The last lines that say something (no stack frames, no class names of the trace), and where the whole log is."""
    with log.open(errors="replace") as file:
        file.seek(read_from)
        lines = [line.rstrip() for line in file if line.strip() and not re.match(r"\s+at |\s+\.\.\. \d+ more", line)]
    text = "\n".join(f"  {line[:300]}" for line in lines[-limit:]) or "  (it wrote nothing)"
    return f"{text}\nThe whole log: {log}"
