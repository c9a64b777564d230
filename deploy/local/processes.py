"""One supervised process: started, watched, started again when it dies, however often.

Restarting is the only healing there is (5-reliability, rule 1: an unexpected error ends the process, its successor reads from what is
committed), so it must be quick: 0.1 s at first, under the same name, hence the same Kafka membership and state folder. Waiting grows with
each death in a row, and after MANY_DEATHS of them the fault is not a passing one: a start that was never complete ends with that, and shows
the end of the log. Once everything has run, one role that keeps dying must not take ingest and the broker with it (30 kills in 100 s
did): it is tried again every few seconds, and the terminal says so. A life of HEALTHY_S forgets earlier deaths.
"""

import signal
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.local.jvm import Child

BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
MANY_DEATHS = len(BACKOFF_S)
HEALTHY_S = 30.0
LOG_KEEP_BYTES = 8 << 20


class Supervised:
    """A role's process. `watch` is called often; everything else follows from it."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.restarts = 0
        self._command = list(command)
        self._child: Child | None = None
        self._deaths = 0
        self._started_at = 0.0
        self._due_at: float | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        return self._child.pid if self._child and self._child.exit_code is None else None

    @property
    def keeps_dying(self) -> bool:
        """Whether it died often, and never lived long."""
        return self._deaths > MANY_DEATHS

    def start(self) -> None:
        """Start it; its output goes behind what its log already has."""
        if self.log.exists() and self.log.stat().st_size > LOG_KEEP_BYTES:
            self.log.replace(self.log.with_suffix(".old.log"))
        self._child = Child(self._command, self.log)
        self._started_at = time.monotonic()
        self._due_at = None

    def watch(self) -> str | None:
        """Look after it; returns a sentence when something happened that a person should know."""
        now = time.monotonic()
        if self._due_at is not None:
            if now >= self._due_at:
                self.restarts += 1
                self.start()
            return None
        if self._child is None or self._child.exit_code is None:
            return None
        code = self._child.exit_code
        self._deaths = 1 if now - self._started_at > HEALTHY_S else self._deaths + 1
        wait_s = BACKOFF_S[min(self._deaths, MANY_DEATHS) - 1]
        self._due_at = now + wait_s
        often = f", {self._deaths} times in a row" if self.keeps_dying else ""
        return f"{self.name} {ended(code)}{often}; starting it again in {wait_s:g} s"

    def ask_to_end(self) -> None:
        """SIGTERM; no restart any more."""
        self._due_at = None
        if self._child:
            self._child.signal(signal.SIGTERM)

    def end(self, patience_s: float) -> None:
        """Wait for its end, by force after the time."""
        if self._child and not self._child.wait(patience_s):
            self._child.signal(signal.SIGKILL)
            self._child.wait(5)

    def last_words(self, limit: int = 15) -> str:
        """The end of its log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 20_000))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line[:300]}" for line in lines[-limit:])


def ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
