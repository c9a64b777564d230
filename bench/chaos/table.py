"""The table: printed while it grows, and kept with the day and the load beside it."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.chaos.round import Row

RESULT = Path(__file__).parents[1] / "results" / "chaos.json"
HEAD = ("promise", "fault", "tries", "payloads", "lost", "doubled", "differing", "recovery")
WIDTHS = (50, 38, 5, 8, 6, 7, 9, 9)


def line(cells: Sequence[Any]) -> str:
    """One line; words to the left, numbers to the right."""
    return "  ".join(
        str(cell).ljust(width) if at < 2 else str(cell).rjust(width) for at, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    )


def cells(row: Row) -> tuple[Any, ...]:
    """A row as it is printed."""
    recovery = "never" if row.recovery_s is None else f"{row.recovery_s:.1f} s"
    return (row.promise, row.fault, row.tries, f"{row.payloads:,}", row.lost, row.doubled, row.differing, recovery)


def keep(rows: Sequence[Row], form: str, seconds: float, not_run: Sequence[str], path: Path = RESULT) -> None:
    """Write the result."""
    found = {
        "name": "chaos", "form": form, "date": datetime.now(UTC).isoformat(timespec="seconds"), "load": round(os.getloadavg()[0], 1),
        "seconds": round(seconds), "is_kept": all(row.is_kept for row in rows), "not_run": list(not_run), "rows": [row._asdict() for row in rows],
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
