"""What `up` says: one line per thing that is ready, with what it took. On stderr, so that `--json` and pipes stay clean.

Calm on purpose: a first run is read by somebody who does not know yet which of forty log lines matter. Everything else is in the logs.
"""

import os
import sys
import time

from rich.console import Console
from rich.text import Text


class Progress:
    """Prints lines; knows when it began."""

    def __init__(self) -> None:
        # Without styles, too, where NO_COLOR is set: rich alone would leave bold and dim.
        self._console = Console(
            file=sys.stderr, highlight=False, soft_wrap=True, color_system=None if os.environ.get("NO_COLOR") else "auto"
        )
        self.began = time.monotonic()

    def say(self, text: str = "", style: str = "") -> None:
        """Print a sentence."""
        self._console.print(Text(text, style=style))

    def done(self, what: str, where: str = "", seconds: float | None = None) -> None:
        """Print that something is ready."""
        took = "" if seconds is None else f"{seconds:5.1f} s"
        self._console.print(Text.assemble(("  ✔ ", "green"), f"{what:<44}", (f"{where:<28}", "cyan"), (took, "dim")))

    def warn(self, text: str) -> None:
        """Print that something happened which is being taken care of."""
        self._console.print(Text.assemble(("  ! ", "yellow"), time.strftime("%H:%M:%S "), text))

    def fact(self, name: str, value: str) -> None:
        """Print an address or a command that can be copied."""
        self._console.print(Text.assemble((f"  {name:<14}", "bold"), value))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began
