"""`clicktrail up`, `down`, `status`: everything on this machine."""

import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from console import context, output
from streams.runtime.connections import masked
from streams.runtime.errors import BadSettings, Unavailable
from streams.runtime.settings import Settings

READY_S = 120.0
DOWN_S = 15.0
HEALTH_S = 5.0  # a health page asks its services itself, and gives them 2 s

Port = Annotated[int | None, typer.Option(min=1, max=65535, show_default=False)]


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Come back when everything is ready; `clicktrail down` stops it.")] = False,
    kafka_port: Port = None,
    clickhouse_port: Port = None,
    ingest_port: Port = None,
    console_port: Port = None,
    metrics_port: Port = None,
    seed: Annotated[bool, typer.Option("--seed/--no-seed", envvar="SEED", help="Bring in the demo when the workspace is empty.")] = True,
    services_only: Annotated[
        bool, typer.Option("--services-only", help="Kafka and ClickHouse alone, for `topics grow` and `erase`.")
    ] = False,
    as_json: output.AsJson = False,
) -> None:
    """Start everything on this machine: Kafka, ClickHouse, all roles, a demo at the first start. Ctrl-C stops all of it."""
    if detach:
        _detached()
        if as_json:
            output.show_json(state())
        return
    from deploy.local import LocalServiceError
    from deploy.local.plan import Ports
    from deploy.local.up import Up
    from sinks.embedded import ClickHouseError

    ports = Ports(kafka_port, clickhouse_port, ingest_port, console_port, metrics_port)
    try:
        Up(ports, is_seeding=seed and not services_only, has_roles=not services_only).run()
    except (LocalServiceError, ClickHouseError) as error:
        raise Unavailable(str(error)) from error


def _detached() -> None:
    """Start the same command in the background, pass on what it says, return when it is ready."""
    from deploy.local import running
    from streams.runtime import folders

    data_dir = context.data_dir()
    if running.is_alive(data_dir):
        raise BadSettings(f"`clicktrail up` already runs on {data_dir}.", "See `clicktrail status`; stop it with `clicktrail down`.")
    log = folders.made(data_dir / "logs") / "up.log"
    flags = [flag for flag in sys.argv[1:] if flag not in {"--detach", "-d", "--json"}]
    begin = log.stat().st_size if log.exists() else 0
    with log.open("ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "console.cli", *flags], stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    _relay(log, begin, child)


def _relay(log: Path, begin: int, child: "subprocess.Popen[bytes]") -> None:
    from deploy.local import running

    deadline = time.monotonic() + READY_S
    with log.open("rb") as said:
        said.seek(begin)
        while True:
            is_ready = (
                running.record(context.data_dir()).get("state") == "running" and running.record(context.data_dir()).get("pid") == child.pid
            )
            code = child.poll()
            sys.stderr.write(said.read().decode(errors="replace"))
            sys.stderr.flush()
            if code is not None:
                raise typer.Exit(code or 1)
            if is_ready:
                return
            if time.monotonic() > deadline:
                child.terminate()
                raise Unavailable(f"Not ready after {READY_S:g} s.", f"See {log}.")
            time.sleep(0.1)


def down(as_json: output.AsJson = False) -> None:
    """Stop the `up` that runs on the data folder; the data stays."""
    from deploy.local import running

    began = time.monotonic()
    is_stopped = running.stop(context.data_dir(), DOWN_S)
    if as_json:
        output.show_json({"stopped": is_stopped, "seconds": round(time.monotonic() - began, 2)})
    else:
        output.note(
            f"Stopped in {time.monotonic() - began:.1f} s; the data stays." if is_stopped else f"Nothing runs on {context.data_dir()}."
        )


def state() -> dict[str, Any]:
    """Return what runs on the data folder, with the answer of each role's health page."""
    from deploy.local import running

    is_alive = running.is_alive(context.data_dir())
    found = running.record(context.data_dir()) if is_alive else {}
    settings = context.load()
    facts = found.get("processes", {})
    with ThreadPoolExecutor(len(facts) or 1) as pool:  # side by side: each may take its whole time to say nothing
        ready = dict(zip(facts, pool.map(lambda name: _answer_of(name, facts[name]["pid"], settings), facts), strict=True))
    processes = [
        {"name": name, **fact, "state": "running" if _is_there(fact["pid"]) else "stopped", "ready": ready[name]}
        for name, fact in facts.items()
    ]
    return {
        "state": found.get("state", "stopped"),
        "pid": found.get("pid"),
        "data_dir": str(context.data_dir().absolute()),
        "ingest": settings.ingest_url(),
        "console": settings.console_url(),
        "clickhouse": masked(settings.clickhouse.url),
        "kafka": settings.kafka.bootstrap_servers,
        "processes": processes,
    }


def _answer_of(name: str, pid: int | None, settings: Settings) -> str:
    """Return ok, or what is wrong: a role's health page says it, a service is asked something."""
    from deploy.local.plan import ROLES
    from streams.runtime import probes
    from streams.runtime.role_ports import port_of

    if not _is_there(pid):
        return "stopped"
    if name in ROLES:
        return _ready(f"http://127.0.0.1:{port_of(settings, name)}/readyz?verbose")
    found = asyncio.run(probes.kafka(settings.kafka)) if name == "kafka" else probes.clickhouse(settings.clickhouse)
    return "ok" if found == probes.ANSWERS else found


def _is_there(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except OSError:
        return False
    return pid is not None


def _ready(url: str) -> str:
    """Return ok, or what is not ready."""
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_S):  # noqa: S310 - our own health page
            return "ok"
    except urllib.error.HTTPError as error:
        lines = error.read().decode(errors="replace").splitlines()
        return "; ".join(line[3:] for line in lines if line.startswith("[-]")) or "not ready"
    except (urllib.error.URLError, OSError):
        return "no answer"


def status(as_json: output.AsJson = False) -> None:
    """Say what runs here: exit code 0 when all of it is ready, 1 when something is not, 3 when nothing runs."""
    found = state()
    if as_json:
        output.show_json(found)
    elif found["state"] == "stopped":
        output.note(f"Nothing runs on {found['data_dir']}. Start it: clicktrail up")
    else:
        output.show_table(
            [{"what": name, "where": found[name]} for name in ("state", "pid", "data_dir", "console", "ingest", "clickhouse", "kafka")]
        )
        output.stdout().print()
        output.show_table(found["processes"])
    if found["state"] == "stopped":
        raise typer.Exit(3)
    output.finding(found["state"] != "running" or any(p["state"] != "running" or p["ready"] != "ok" for p in found["processes"]))
