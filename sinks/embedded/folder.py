"""The data folder: one process owns it, and says so to the next one.

Layout: `engine/` is chDB's, `spool/` holds bodies too large for memory (emptied at each start), `endpoint.lock` is the lock. The lock is
held by the system (flock) and falls with the process, however it ends; the pid inside is only there for the error's text, so
what `kill -9` leaves behind never stands in the way.
"""

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import IO

from deploy.local import LocalServiceError
from deploy.local.ports import process_name


class FolderTakenError(LocalServiceError):
    """Another process owns the data folder. The message says which and what to do."""


class DataFolder:
    """An owned data folder."""

    def __init__(self, root: Path, patience_s: float = 1) -> None:
        """Take it, or raise FolderTakenError; patient, as a process that was just killed takes a moment to go."""
        root.mkdir(parents=True, exist_ok=True)
        self._lock = _take(root / "endpoint.lock", patience_s)
        self.engine = root / "engine"
        self.spool = root / "spool"
        shutil.rmtree(self.spool, ignore_errors=True)
        self.spool.mkdir()

    def close(self) -> None:
        """Give it back."""
        self._lock.close()


def _take(path: Path, patience_s: float) -> IO[str]:
    lock = path.open("a+")
    ends_at = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() < ends_at:
                time.sleep(0.05)
                continue
            lock.seek(0)
            text = lock.read()
            lock.close()
            raise FolderTakenError(_sentence(path.parent, text)) from None
    lock.seek(0)
    lock.truncate()
    json.dump({"pid": os.getpid()}, lock)
    lock.flush()
    return lock


def _sentence(root: Path, text: str) -> str:
    try:
        pid = int(json.loads(text)["pid"])
    except (ValueError, KeyError, TypeError):
        owner = "another process"
    else:
        name = process_name(pid)
        owner = f"pid {pid} ({name})" if name else f"pid {pid}"
    return f"The data folder {root} is used by {owner}. Stop it (`clicktrail down`, or `kill` that pid), or choose another with --data-dir."
