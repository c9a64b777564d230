"""The driver: runs one system over the workload and says what it did and what it cost.

The system is a command. It gets BOOTSTRAP, RAW, CLICKS, INDEX, LOG, APPID, N, N_CLICKS, N_INDEX, STATE in its environment, prints FIRST
when it has the first conversion in hand and DONE when it has handed over the last log record. What is measured:

- events/s: N by the time from FIRST to the broker's append time of the last log record (LogAppendTime), so that nobody's word is taken.
- CPU-seconds per million: user and system time of the command's process tree, from FIRST until SETTLE_S after DONE, so that the last
  commits count as well. The same for the broker, and for everything else on the machine: its share says how far to trust events/s.
  A system that falls silent before DONE (the log has not grown for SILENCE_S) is measured up to its last record, and its check says what
  is missing: plain Faust loses some records in about half of its runs.
- RSS: the largest sum over the process tree, sampled every 0.2 s.

The log is checked record by record (`check.py`): without "ok" a figure means nothing. Everything that is started here is ended here.
"""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.check import Checked, check, expected, read_topic
from bench.workload import PARTITIONS, Size

RESULTS = Path(__file__).with_name("results")
SETTLE_S = 0.5
SILENCE_S = 8.0
SAMPLE_S = 0.2


class System(NamedTuple):
    """A program under measurement. `prepare` is run to its end first, untimed, with the same environment and PHASE=A."""

    name: str
    guarantee: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}
    is_prepared: bool = False
    timeout_s: float = 120.0


class Bed(NamedTuple):
    """Where it runs."""

    bootstrap: str
    broker_pid: int
    folder: Path


class Usage(NamedTuple):
    """CPU-seconds so far."""

    at: float
    own: float
    broker: float
    machine: float


def tree(pid: int) -> list[psutil.Process]:
    """A process and all its descendants that live."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_of(processes: Sequence[psutil.Process]) -> float:
    """CPU-seconds of processes, with those of children that have ended."""
    total = 0.0
    for process in processes:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def machine_cpu() -> float:
    """CPU-seconds that the machine has spent on anything."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def rss_of(processes: Sequence[psutil.Process]) -> int:
    """Resident bytes."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


class Watched:
    """A running command: its protocol lines, its CPU at each of them, its peak memory."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, broker_pid: int) -> None:
        self.said: dict[str, Usage] = {}
        self.peak_rss = 0
        self._own = 0.0
        self._log = log
        self._broker_pid = broker_pid
        self._over = threading.Event()
        self._process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        for work in (self._read, self._sample):
            threading.Thread(target=work, daemon=True).start()

    def usage(self) -> Usage:
        """CPU so far: of the tree, of the broker, of the machine."""
        self._own = max(self._own, cpu_of(tree(self._process.pid)))  # a process that has ended has no figures any more
        return Usage(time.time(), self._own, cpu_of(tree(self._broker_pid)), machine_cpu())

    def _read(self) -> None:
        assert self._process.stdout
        with self._log.open("a") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                word = line.strip().rpartition("\x1b[?25l")[2]  # Faust's spinner writes into the same line
                if word in ("FIRST", "DONE"):
                    self.said.setdefault(word, self.usage())
                if word == "DONE":
                    self._over.set()
        self._over.set()

    def _sample(self) -> None:
        while self._process.poll() is None:
            processes = tree(self._process.pid)
            self.peak_rss = max(self.peak_rss, rss_of(processes))
            self._own = max(self._own, cpu_of(processes))
            time.sleep(SAMPLE_S)

    def wait(self, timeout_s: float, log_end: Callable[[], int]) -> Usage:
        """Wait for DONE, for its end, for silence or for the time; returns the usage when the last record was there and all had settled."""
        deadline = time.monotonic() + timeout_s
        end, grown_at, last = 0, time.monotonic(), self.usage()
        while not self._over.wait(1.0) and time.monotonic() < deadline:
            if end != (end := log_end()):
                grown_at, last = time.monotonic(), self.usage()
            elif end and time.monotonic() - grown_at > SILENCE_S:
                return last
        if not self._over.is_set():
            return last
        time.sleep(SETTLE_S)
        return self.usage()

    def run_out(self, timeout_s: float) -> int | None:
        """Wait for its end; returns the exit code, None when the time is over."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """End it with all it started: the session is its own."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(8)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def run(system: System, size: Size, bed: Bed) -> dict[str, Any]:
    """Run a system over the loaded workload and return its result."""
    app_id = f"{''.join(c for c in system.name if c.isalnum())}{time.time_ns() // 1_000_000}"
    log_topic = f"log-{app_id}"
    _create_log(bed.bootstrap, log_topic)
    state = bed.folder / app_id
    state.mkdir(parents=True)
    environment = {
        "BOOTSTRAP": bed.bootstrap, "RAW": size.raw, "CLICKS": size.clicks, "INDEX": size.index, "LOG": log_topic, "APPID": app_id,
        "N": str(size.conversion_count), "N_CLICKS": str(size.click_count), "N_INDEX": str(index_count(size)), "STATE": str(state),
        **system.environment,
    }  # fmt: skip
    try:
        if system.is_prepared:
            _prepare(system, environment, bed, state.with_suffix(".log"))
        watched = Watched(system.command, environment, state.with_suffix(".log"), bed.broker_pid)
        try:
            last = watched.wait(system.timeout_s, end_of(bed.bootstrap, log_topic))
        finally:
            watched.end()
        checked = check(read_topic(bed.bootstrap, log_topic), expected(size.name))
        return result_of(system, size, watched, last, checked)
    finally:
        shutil.rmtree(state, ignore_errors=True)
        _delete_topics(bed.bootstrap, app_id)


def index_count(size: Size) -> int:
    """Keys in the click index, as the seed has it."""
    return {200_000: 299_933, 20_000: 29_979}[size.click_count]


def _prepare(system: System, environment: Mapping[str, str], bed: Bed, log: Path) -> None:
    watched = Watched(system.command, {**environment, "PHASE": "A"}, log, bed.broker_pid)
    code = watched.run_out(system.timeout_s)
    watched.end()
    if code:
        raise RuntimeError(f"{system.name}: phase A ended with code {code}; see {log}")
    if code is None:
        raise RuntimeError(f"{system.name}: phase A was not over after {system.timeout_s:g} s; see {log}")


def result_of(system: System, size: Size, watched: Watched, last: Usage, checked: Checked) -> dict[str, Any]:
    """Put a result together; without FIRST there is nothing but the check."""
    result: dict[str, Any] = {
        "name": system.name, "guarantee": system.guarantee, "size": size.name, "check": str(checked),
        "rss_mb": round(watched.peak_rss / 1e6), "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    first = watched.said.get("FIRST")
    if first is None or not checked.count:
        return {**result, "check": f"{checked}; said {sorted(watched.said)} only"}
    own, broker = last.own - first.own, last.broker - first.broker
    others = last.machine - first.machine - own - broker
    millions = checked.count / 1e6
    return {
        **result,
        "events_per_s": round(checked.count / (checked.last_at - first.at)),
        "cpu_s_per_million": round(own / millions, 2),
        "broker_cpu_s_per_million": round(broker / millions, 2),
        "others_cpu_share": round(max(0.0, others) / (last.at - first.at) / (psutil.cpu_count() or 1), 2),
    }


def keep(name: str, results: Any) -> Path:
    """Write results to `bench/results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def end_of(bootstrap: str, topic: str) -> Callable[[], int]:
    """Return a function that says how far a topic has grown, over all partitions."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"end-{topic}"})
    return lambda: sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(PARTITIONS))


def _create_log(bootstrap: str, topic: str) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    config = {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}
    admin = AdminClient({"bootstrap.servers": bootstrap})  # must outlive its futures
    admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=config)])[topic].result(30)


def _delete_topics(bootstrap: str, app_id: str) -> None:
    """Delete every topic that has the run's id in its name: frameworks make their own."""
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": bootstrap})
    names = [name for name in admin.list_topics(timeout=30).topics if app_id in name]
    if names:
        for future in admin.delete_topics(names).values():
            future.exception(30)
