"""`clicktrail up`: everything on this machine, from nothing to a row on the screen, and down again without a trace.

    lock the data folder -> check ports -> [Kafka + topics | ClickHouse + tables] -> roles -> demo at the first start -> watch

Each role is a process of its own, as in production: it can be killed and comes back alone. All are children that the kernel ends when we
die (`leash`), so a `kill -9` of the supervisor leaves nothing behind that could block the next start.
"""

import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any

from deploy.local import plan, running
from deploy.local.addresses import show_addresses
from deploy.local.demo_receiver import DemoReceiver, is_wanted
from deploy.local.plan import Plan, Ports
from deploy.local.processes import Supervised
from deploy.local.progress import Progress
from deploy.local.services import Services
from streams.runtime.errors import Unavailable
from streams.runtime.role_ports import port_of

READY_S = 60.0
STOP_ROLES_S = 4.0
STOP_SERVICES_S = 5.0
LOOK_S = 0.1


class Up:
    """One run of everything. `run` returns when it was asked to end."""

    def __init__(self, ports: Ports, *, is_seeding: bool, has_roles: bool = True) -> None:
        self._progress = Progress()
        self._plan: Plan = plan.make(ports)
        self._is_seeding = is_seeding
        self._role_names = plan.ROLES if has_roles else ()
        self._receiver = DemoReceiver(self._plan) if is_wanted(self._plan, is_seeding=is_seeding) else None
        self._ended = threading.Event()
        self._services: Services | None = None
        self._roles: list[Supervised] = []
        self._has_demo = False
        self._state = "starting"
        self._began_ms = int(time.time() * 1000)

    def run(self) -> None:
        """Start, watch, stop. LocalServiceError, BadSettings or Unavailable say why it cannot."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        lock = running.take(self._plan.data_dir)
        try:
            self._record("starting")
            self._start()
            if not self._ended.is_set():
                self._record("running")
                self._progress.say()
                show_addresses(self._plan, self._progress, has_demo=self._has_demo)
                self._watch()
        finally:
            self._stop()
            lock.close()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The first one ends everything in order; the second one at once: the kernel takes the children along."""
        if self._ended.is_set():
            os._exit(130)
        self._ended.set()
        if self._state == "starting":
            self._progress.say()
            self._progress.say("Stopping as soon as the services stand; once more stops at once", "bold")

    def _start(self) -> None:
        self._progress.say(f"Clicktrail, data in {self._shown(self._plan.data_dir)}", "bold")
        plan.check_ports(self._plan)
        plan.keep_pii_key(self._plan.settings)
        (self._plan.data_dir / "logs").mkdir(exist_ok=True)
        self._services = Services(self._plan, self._progress)
        self._start_receiver()
        self._start_roles()  # they load while the services start, and wait for their topics
        self._services.start()
        self._record("starting")
        self._await_roles()
        if not self._ended.is_set():
            from deploy.local import demo  # loads much that the services' start must not wait for

            if self._is_seeding and self._receiver is not None:
                demo.seed_once(self._plan, self._progress, self._receiver.url)
            self._has_demo = demo.is_there(self._plan)

    def _start_receiver(self) -> None:
        if self._receiver is not None:
            try:
                self._receiver.start()
            except OSError as error:
                self._progress.warn(f"The demo's destination cannot listen on port {self._receiver.port}: {error.strerror}.")

    def _start_roles(self) -> None:
        for name in self._role_names:
            log = self._plan.data_dir / "logs" / f"{name}.log"
            role = Supervised(name, [sys.executable, "-m", "console.cli", "worker", name], log)
            role.start()
            self._roles.append(role)

    def _await_roles(self) -> None:
        began = time.monotonic()
        while waiting := [role.name for role in self._roles if not self.is_ready(role.name)]:
            if self._ended.wait(LOOK_S):
                return
            self._look_after()
            if time.monotonic() - began > READY_S:
                raise Unavailable(f"Not ready after {READY_S:g} s: {', '.join(waiting)}.", f"See {self._shown(self._plan.data_dir)}/logs.")
        self._progress.done(f"{len(self._roles)} roles, console included", self._plan.settings.ingest_url(), time.monotonic() - began)

    def is_ready(self, role: str) -> bool:
        """Ask a role's health page. An ingest that still spools is ready for senders, not for a newcomer who wants an event's id."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port_of(self._plan.settings, role)}/readyz?verbose", timeout=1) as page:
                return b"spooling" not in page.read()
        except (urllib.error.URLError, OSError):
            return False

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            self._look_after()

    def _look_after(self) -> None:
        """Start again what died, and say so; a start that was never complete gives up on what keeps dying."""
        assert self._services is not None
        before = self._facts()
        self._services.watch(self._progress.warn)
        for role in self._roles:
            if happened := role.watch():
                self._progress.warn(happened)
            if role.keeps_dying and self._state == "starting":
                raise Unavailable(f"{role.name} does not stay up. The end of {self._shown(role.log)}:\n{role.last_words()}")
        if self._facts() != before:
            self._record(self._state)

    def _stop(self) -> None:
        """Roles first, at once; then the services that they wrote to."""
        self._record("stopping")
        if self._ended.is_set():
            self._progress.say()
            self._progress.say("Stopping", "bold")
        began = time.monotonic()
        for role in self._roles:
            role.ask_to_end()
        for role in self._roles:
            role.end(max(0.1, STOP_ROLES_S - (time.monotonic() - began)))
        if self._receiver is not None:
            self._receiver.stop()
        if self._services is not None:
            self._services.stop(STOP_SERVICES_S)
        self._record("stopped")
        if self._ended.is_set():
            self._progress.done("Stopped; the data stays", self._shown(self._plan.data_dir), time.monotonic() - began)

    def _facts(self) -> dict[str, Any]:
        """What runs under which pid, and how often it was started again."""
        services = self._services.running if self._services else {}
        restarts = self._services.restarts if self._services else {}
        found = {name: {"pid": service.pid, "restarts": restarts.get(name, 0)} for name, service in services.items()}
        return found | {role.name: {"pid": role.pid, "restarts": role.restarts} for role in self._roles}

    def _record(self, state: str) -> None:
        self._state = state
        running.write(
            self._plan.data_dir,
            {
                "pid": os.getpid(),
                "state": state,
                "started_at_ms": self._began_ms,
                "settings": self._plan.environment,
                "processes": self._facts(),
            },
        )

    @staticmethod
    def _shown(path: Path) -> str:
        """A path as short as it can be said."""
        try:
            return f"./{path.relative_to(Path.cwd())}"
        except ValueError:
            return str(path)
