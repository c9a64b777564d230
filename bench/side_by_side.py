"""`python -m bench`: the reference workload through ours and through the peers, in one run, beside each other.

The machine is never quiet, so no figure stands alone: ours and Kafka Streams take turns (A B A B) over the same broker and the same
topics, the ratios are of their medians, and each line says what else the machine was doing. Plain Faust runs the small variant, as the
large one would take it ten minutes; a system that this machine can't build or install is skipped, and said so. What does not fit into
LIMIT_S is skipped as well, the floor first.
"""

import statistics
import time
from collections.abc import Iterator
from typing import Any

from bench import systems
from bench.bed import broker
from bench.driver import Bed, System, keep, run
from bench.peers.kafka_streams import CannotBuildError
from bench.workload import SIZES, Size

LIMIT_S = 540
COLUMNS = ("system", "guarantee", "events/s", "CPU-s/M", "broker", "RSS MB", "others", "check", "ours is")


def measure(rounds: int = 2, size_name: str = "1m") -> list[dict[str, Any]]:
    """Run everything, print the table, write the results."""
    began = time.monotonic()
    large, small = SIZES[size_name], SIZES["50k"]
    results: list[dict[str, Any]] = []
    with broker([small, large]) as bed:
        for system, size in _plan(rounds, large, small):
            if time.monotonic() - began > LIMIT_S - 60:
                print(f"skipped for lack of time: {system.name}", flush=True)
                continue
            results.append(_run(system, size, bed))
    summary = summarise(results)
    print(table(summary))
    print(f"written to {keep('reference', {'summary': summary, 'runs': results})} after {time.monotonic() - began:.0f} s")
    return summary


def _plan(rounds: int, large: Size, small: Size) -> Iterator[tuple[System, Size]]:
    """Yield who runs in which order: the pair that is compared takes turns, the rest follows."""
    try:
        rival = [systems.kafka_streams_peer()]
    except CannotBuildError as error:
        print(f"!! Kafka Streams is SKIPPED: {error}", flush=True)
        rival = []
    for _ in range(rounds):
        for system in (systems.OURS, *rival, systems.OURS_TWO):
            yield system, large
    yield systems.PLAIN_FAUST, small
    yield systems.FLOOR, large
    yield systems.FLOOR_CONFLUENT, large


def _run(system: System, size: Size, bed: Bed) -> dict[str, Any]:
    print(f"{system.name} ({size.name}) …", end=" ", flush=True)
    try:
        result = run(system, size, bed)
    except RuntimeError as error:
        result = {"name": system.name, "guarantee": system.guarantee, "size": size.name, "check": str(error)}
    figures = {name: result.get(name) for name in ("events_per_s", "cpu_s_per_million", "others_cpu_share", "check")}
    print(figures, flush=True)
    return result


def summarise(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per system: medians over its runs that were ok, or over all when none was."""
    lines = []
    for name in dict.fromkeys(result["name"] for result in results):
        runs = [result for result in results if result["name"] == name]
        good = [result for result in runs if result["check"] == "ok"] or [result for result in runs if "events_per_s" in result]
        if not good:
            lines.append(runs[-1])
            continue
        figures = {key: statistics.median(r[key] for r in good) for key, value in good[0].items() if isinstance(value, int | float)}
        lines.append({**good[-1], **figures, "run_count": len(runs), "ok_count": sum(r["check"] == "ok" for r in runs)})
    ours = next((line for line in lines if line["name"] == systems.OURS.name and "events_per_s" in line), None)
    for line in lines:
        if ours and "events_per_s" in line:
            line["speed_ratio"] = round(ours["events_per_s"] / line["events_per_s"], 2)
            line["efficiency_ratio"] = round(line["cpu_s_per_million"] / ours["cpu_s_per_million"], 2)
    return lines


def table(lines: list[dict[str, Any]]) -> str:
    """Format the summary; `ours is`: how much faster, and how much cheaper, ours is than this line."""
    rows = [COLUMNS]
    for line in lines:
        size = "" if line["size"] == "1m" else f" ({line['size']})"
        if "events_per_s" not in line:
            rows.append((line["name"] + size, line["guarantee"], "-", "-", "-", "-", "-", line["check"][:60], "-"))
            continue
        rows.append((
            line["name"] + size, line["guarantee"], f"{line['events_per_s']:,.0f}", f"{line['cpu_s_per_million']:.1f}",
            f"{line['broker_cpu_s_per_million']:.1f}", f"{line['rss_mb']:.0f}", f"{line['others_cpu_share']:.0%}",
            f"{line['ok_count']}/{line['run_count']} ok", f"{line['speed_ratio']:.1f}x faster, {line['efficiency_ratio']:.1f}x cheaper",
        ))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
