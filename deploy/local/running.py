"""Who runs on a data folder: one `up` at a time, and where it listens.

The lock is held by the process that supervises; the kernel lets go of it when that process dies, however it dies. So a file that a
`kill -9` left behind never blocks the next start, and never makes a dead `up` look alive. The file beside it only says what to tell.
"""

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import IO, Any

from streams.runtime import folders
from streams.runtime.errors import BadSettings

LOCK, RECORD = "up.lock", "up.json"


def take(data_dir: Path) -> IO[str]:
    """Return the held lock of a data folder; keep it open as long as you run. BadSettings names who has it."""
    try:
        lock = (folders.made(data_dir) / LOCK).open("a+")
    except OSError as error:
        raise folders.unusable(data_dir, error) from error
    for _ in range(10):  # `is_alive` of somebody else holds it for some microseconds
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return lock
    lock.close()
    pid = record(data_dir).get("pid", "unknown")
    raise BadSettings(f"`clicktrail up` already runs on {data_dir} (pid {pid}).", "Stop it (`clicktrail down`) or set CLICKTRAIL_DATA_DIR.")


def is_alive(data_dir: Path) -> bool:
    """Say whether an `up` runs on this folder."""
    try:
        with (data_dir / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def write(data_dir: Path, facts: dict[str, Any]) -> None:
    """Say what runs; replaces the file as a whole, so that nobody reads half of it. Readable by the owner only."""
    fresh = data_dir / f"{RECORD}.new"
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(facts, indent=1))
    fresh.replace(data_dir / RECORD)


def record(data_dir: Path) -> dict[str, Any]:
    """Return what the last `up` wrote; empty when nothing readable is there."""
    try:
        found = json.loads((data_dir / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def settings_of(data_dir: Path) -> dict[str, str]:
    """Return {environment name: value} of the `up` that runs here, empty if none does."""
    return dict(record(data_dir).get("settings", {})) if is_alive(data_dir) else {}


def stop(data_dir: Path, patience_s: float) -> bool:
    """Ask the `up` of this folder to end and wait for it; False when none runs. BadSettings when it does not end in time."""
    if not is_alive(data_dir):
        return False
    pid = record(data_dir).get("pid")
    if not isinstance(pid, int):
        raise BadSettings(f"{data_dir} is locked, but {RECORD} does not say by whom.", "Find it with `fuser` and stop it.")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while is_alive(data_dir):
        if time.monotonic() > deadline:
            raise BadSettings(f"pid {pid} did not end within {patience_s:.0f} s.", f"`kill -9 {pid}` takes all of its processes with it.")
        time.sleep(0.05)
    _until_gone(pid)
    return True


def _until_gone(pid: int, patience_s: float = 3.0) -> None:
    """Wait for a process that has let go of everything and only has to end; a zombie that nobody collects is not waited for."""
    deadline = time.monotonic() + patience_s
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.02)
