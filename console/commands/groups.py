"""`clicktrail lag`: how far each role is behind the log, per partition."""

import asyncio
from typing import Any

from console import context, output
from console.lagging import measure


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lag per role and topic."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for line in rows:
        total = found.setdefault((line["role"], line["topic"]), {"role": line["role"], "topic": line["topic"], "partitions": 0, "lag": 0})
        total["partitions"] += 1
        total["lag"] += line["lag"]
    return list(found.values())


def lag(as_json: output.AsJson = False, partitions: bool = False) -> None:
    """Show how far each role is behind (its committed offsets against the end of its inputs)."""
    rows = asyncio.run(measure(context.load()))
    output.show(rows if partitions or as_json else summary(rows), as_json)
