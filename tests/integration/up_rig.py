"""An installation of its own, as `clicktrail up --detach` makes one: every role as a process, the demo in it, ports that nobody else has."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import orjson
import psutil

from deploy.local.ports import free_ports
from streams.runtime.role_ports import ROLES
from tests import command_line

FOUND = "SELECT event_id, status, reason, coalesce(sub_reason, '') AS sub_reason, coalesce(match_kind, '') AS match_kind, revision, message FROM events"


class Installation:
    """A data folder of its own, on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kafka, clickhouse, ingest, console, metrics, *_ = free_ports(4 + len(ROLES))
        self.ports = {"kafka": kafka, "clickhouse": clickhouse, "ingest": ingest, "console": console, "metrics": metrics}
        # Four partitions instead of twelve: the same code, a third of the broker's work.
        self.environment = command_line.environment(DATA_DIR=folder, PARTITIONS=4) | {"NO_COLOR": "1"}

    def command(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run the CLI as a process; returns its stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "console.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode in codes, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run the CLI in this process, which saves a second a time; returns its stdout."""
        ended = command_line.run(*arguments, env=self.environment)
        assert ended.code in codes, f"{arguments}: {ended.code}\n{ended.out!r}\n{ended.said}\n{self.logs()}"
        return ended.out.decode()

    def json(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> object:
        return orjson.loads(self.run(*arguments, "--json", codes=codes))

    def up(self) -> None:
        flags = [part for name, port in self.ports.items() for part in (f"--{name}-port", str(port))]
        self.command("up", "--detach", *flags)

    def rows(self, statement: str) -> list[dict]:
        return [orjson.loads(line) for line in self.run("sql", statement, "--json").splitlines()]

    def processes(self) -> list[psutil.Process]:
        """Every living process that belongs to this installation."""
        found = []
        for process in psutil.process_iter(["environ", "cmdline"]):
            environment = process.info["environ"] or {}
            if environment.get("CLICKTRAIL_DATA_DIR") == str(self.folder) and process.pid != os.getpid():
                found.append(process)
        return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]

    def pid_of(self, name: str) -> int:
        status = self.json("status", codes=(0, 1))
        return next(process["pid"] for process in status["processes"] if process["name"] == name)

    def wait_until(self, is_so: Callable[[dict[str, str]], bool]) -> None:
        """Wait for what `status` says of each process."""
        deadline = time.monotonic() + 60
        while not is_so(ready := {process["name"]: process["ready"] for process in self.json("status", codes=(0, 1))["processes"]}):
            assert time.monotonic() < deadline, f"{ready}\n{self.logs()}"
            time.sleep(0.1)

    def send(self, path: str, body: bytes | None = None, method: str = "GET") -> dict:
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['ingest']}{path}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 202
            return orjson.loads(response.read())

    def row_of(self, event_id: str, within_s: float) -> tuple[dict, float]:
        """The row of an event, and how long it took to appear; asked over HTTP, as starting a command costs a second."""
        began = time.monotonic()
        statement = f"{FOUND} WHERE event_id = '{event_id}' FORMAT JSONEachRow"
        while time.monotonic() - began < within_s:
            url = f"http://127.0.0.1:{self.ports['clickhouse']}/?database=clicktrail"
            with urllib.request.urlopen(urllib.request.Request(url, data=statement.encode()), timeout=10) as response:
                if raw := response.read().strip():
                    return orjson.loads(raw), time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError(f"no row of {event_id} within {within_s} s\n{self.logs()}")

    def logs(self) -> str:
        """The end of every log, for a test that failed."""
        files = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-1500:]}" for file in files)

    def remove(self) -> None:
        """Stop it, and whatever it left."""
        self.command("down", codes=(0, 1, 2))
        for process in self.processes():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
