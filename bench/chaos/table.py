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


def keep(rows: Sequence[Row], form: str, seconds: float, not_run: Sequence[str], path: Path = RESULT, *, is_added: bool = False) -> None:
    """Write the result; `is_added`: the rows of a run of some faults take their place among those of the run that is kept there."""
    found = {
        "name": "chaos", "form": form, "date": _now(), "load": round(os.getloadavg()[0], 1), "seconds": round(seconds), "is_kept": True,
        "not_run": list(not_run), "rows": [row._asdict() for row in rows],
    }  # fmt: skip
    if is_added and path.exists():
        found = added(json.loads(path.read_text()), found)
    found["is_kept"] = all(is_row_kept(row) for row in found["rows"])
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def added(kept: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """What was kept with the rows of another run: each fault has the row of its last run."""
    newer = {row["fault"]: row for row in more["rows"]}
    rows = [newer.pop(row["fault"], row) for row in kept["rows"]] + list(newer.values())
    ran = {row["fault"] for row in rows}
    not_run = [why for why in kept["not_run"] if why.partition(": the")[0].partition(": file")[0] not in ran]
    load = max(kept["load"], more["load"])
    runs = kept.get("runs", 1) + 1
    return kept | {
        "runs": runs,
        "date": more["date"],
        "load": load,
        "seconds": kept["seconds"] + more["seconds"],
        "not_run": not_run,
        "rows": rows,
    }


def is_row_kept(row: dict[str, Any]) -> bool:
    """As Row.is_kept."""
    return not (row["lost"] or row["doubled"] or row["differing"]) and row["recovery_s"] is not None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
