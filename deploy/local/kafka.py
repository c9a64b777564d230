"""A real Apache Kafka on this machine: one KRaft node, broker and controller in one JVM, as a child of ours.

    with Kafka(Path("data/kafka"), port=9092) as kafka:
        ...  # kafka.bootstrap_servers

Everything is plain and synchronous; from asyncio use `await asyncio.to_thread(kafka.start)`.

Ready means that the broker has written "Kafka Server started" to its log: it is registered, caught up and unfenced. An open port says
less (it answers before it is in its own metadata), and asking by protocol would be one more client.

The data folder is guarded by a lock that the *JVM* holds: the open file is handed down to it. So the folder is taken exactly as
long as a broker lives in it; a pid file left by `kill -9` is only a name for the error text and never stops a start.
"""

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from deploy.local import node
from deploy.local.class_archive import ClassArchive
from deploy.local.jars import KAFKA_VERSION, class_path
from deploy.local.jvm import Child, Jvm, find_jvm
from deploy.local.node import KafkaError
from deploy.local.ports import free_port, require_free

STARTED = b"Kafka Server started"


class Kafka:
    """One broker over one data folder; may be started and stopped as often as one likes."""

    def __init__(
        self,
        data_dir: Path,
        port: int = 9092,
        controller_port: int | None = None,
        *,
        heap: str = "512m",
        settings: Mapping[str, str] | None = None,
        cluster_id: str = "",
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing happens yet. `settings` are broker properties over ours, `cluster_id` is what nodes of one cluster share, `report` gets
        one-line news for the user.
        """
        self.data_dir = Path(data_dir).absolute()
        self.port = port
        self.controller_port = controller_port
        self.heap = heap
        self.settings = dict(settings or {})
        self.cluster_id = cluster_id
        self.jvm: Jvm | None = None
        self._report = report
        self._child: Child | None = None
        self._archive: ClassArchive | None = None

    @property
    def bootstrap_servers(self) -> str:
        """What every client is configured with."""
        return f"127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        """The broker's own log, warnings and errors mostly."""
        return self.data_dir / "broker.log"

    @property
    def pid(self) -> int | None:
        """The JVM's process id, None when it does not run."""
        return self._child.pid if self._child and self._child.exit_code is None else None

    @property
    def is_running(self) -> bool:
        """Whether the JVM lives."""
        return self.pid is not None

    def start(self, timeout_s: float = 60) -> Self:
        """Return once clients can use it; nothing happens if it runs already. Raises the errors of `deploy.local`."""
        if self.is_running:
            return self
        self.kill()  # what is left of a broker that ended by itself
        self.jvm = find_jvm()
        self._report(str(self.jvm))
        jars = class_path(self._report)
        deadline = time.monotonic() + timeout_s
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._lock() as lock:
            require_free(self.port, "--kafka-port")
            if self.controller_port:
                require_free(self.controller_port, "another controller_port")
            controller_port = self.controller_port or free_port()
            plan = node.Plan(self.data_dir, self.jvm, jars, self.heap, self.port, controller_port, self.settings, self.cluster_id)
            node.prepare(plan, self.log_path)
            read_from = self.log_path.stat().st_size
            self._archive = ClassArchive(self.jvm, jars)
            self._child = Child(node.command(plan, self._archive), self.log_path, keep_open=[lock.fileno()])
            lock.truncate(0)
            json.dump({"pid": self._child.pid, "parent_pid": os.getpid(), "port": self.port, "kafka": KAFKA_VERSION}, lock)
        try:
            self._await_started(read_from, deadline)
        except BaseException:  # Ctrl-C, too: a broker that nobody has a handle on must not stay
            self.kill()
            raise
        return self

    def stop(self, timeout_s: float = 20) -> None:
        """End it in order (SIGTERM: segments closed, next start needs no recovery), by force after the time. Safe to repeat."""
        if not self._child or not self._archive:
            return
        if self._archive.is_recording:
            self._report("Saving the JVM's class archive: the next start takes half the time (only once)")
        self._child.signal(signal.SIGTERM)
        if self._child.wait(timeout_s):
            self._archive.keep()
        self.kill()

    def kill(self) -> None:
        """SIGKILL, for fault tests: the broker gets no chance to close anything. Returns when it is gone."""
        if self._child and self._archive:
            self._child.signal(signal.SIGKILL)
            self._child.wait(20)
            self._child = None
            self._archive.discard()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _lock(self, patience_s: float = 3) -> IO[str]:
        """The data folder's lock, or KafkaError naming who has it. Patient, as a broker that was just killed takes a moment to go."""
        lock = (self.data_dir / "broker.json").open("a+")
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.seek(0)
                    text = lock.read()
                    lock.close()
                    raise KafkaError(node.in_use(self.data_dir, text)) from None
                time.sleep(0.05)
            else:
                return lock

    def _await_started(self, read_from: int, deadline: float) -> None:
        """Watch the log from where this start began to write."""
        assert self._child
        with self.log_path.open("rb") as log:
            log.seek(read_from)
            seen = b""
            while STARTED not in seen:
                if self._child.wait(0.02):
                    require_free(self.port, "--kafka-port")  # lost a race for the port
                    what = f"The Kafka broker ended with code {self._child.exit_code} while starting."
                    raise KafkaError(f"{what}\n{node.last_words(self.log_path, read_from)}")
                if time.monotonic() > deadline:
                    raise KafkaError(f"The Kafka broker was not ready in time.\n{node.last_words(self.log_path, read_from)}")
                seen = seen[-len(STARTED) :] + log.read()
