"""The generated blocks of README.md and deploy/README.md: `python -m tests.docs.readme_blocks` writes them, a test checks that they are current."""

import json
import re
from pathlib import Path
from typing import Any

from streams.topology import mermaid

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
READMES = (README, ROOT / "deploy" / "README.md")


def topology() -> str:
    return f"```mermaid\n{mermaid()}\n```"


def results() -> str:
    """One line per committed figure; each names its command and the load beside it."""
    lines = ["| what | measured | load beside it | date | command |", "|---|---|---|---|---|"]
    for name, reader in (
        ("reference", reference),
        ("real", real),
        ("latency", latency),
        ("kills", kills),
        ("delivery", delivery),
        ("console", console),
    ):
        path = ROOT / "bench" / "results" / f"{name}.json"
        if path.exists():
            lines += reader(json.loads(path.read_text()))
    return "\n".join(lines)


def line(what: str, measured: str, load: str, date: str, command: str) -> str:
    return f"| {what} | {measured} | {load} | {date[:10]} | `{command}` |"


def _speed(row: dict[str, Any]) -> str:
    return f"{row['events_per_s']:,.0f} events/s, {row['cpu_s_per_million']:.1f} CPU-s per million"


def reference(found: dict[str, Any]) -> list[str]:
    return [
        line(
            f"Reference workload, {row['name']} ({row['guarantee']})",
            _speed(row) if row["check"] == "ok" else "its log was not correct",
            f"others {row['others_cpu_share']:.0%}" if "others_cpu_share" in row else "",
            row["date"],
            "make bench",
        )
        for row in found["summary"]
    ]


def real(found: list[dict[str, Any]]) -> list[str]:
    return [
        line(
            "The real rules, payload record to row record",
            _speed(row),
            f"others {row['others_cpu_share']:.0%}",
            row["date"],
            "python -m bench real",
        )
        for row in found[-1:]
    ]


def latency(found: Any) -> list[str]:
    row = found[-1] if isinstance(found, list) else found
    measured = f"p50 {row['p50_ms']:,.0f} ms, p99 {row['p99_ms']:,.0f} ms at {row['rate']:,.0f}/s"
    return [
        line(
            "Ingest's answer to row visible in SQL",
            measured,
            f"others {row['others_cpu_share']:.0%}",
            row["date"],
            "python -m bench latency",
        )
    ]


def kills(found: dict[str, Any]) -> list[str]:
    count = sum(found["fire"]["kills"].values())
    said = "equal tables, none lost, none doubled" if found["is_kept"] else "BROKEN"
    return [
        line(
            f"{count} x kill -9 while {found['payloads']:,} payloads flow",
            said,
            f"load {found['load']:.0f}",
            found["date"],
            "python -m bench.kills",
        )
    ]


def delivery(found: dict[str, Any]) -> list[str]:
    calm, storm = found["calm"], found["one_hangs_one_fails"]
    said = f"p99 {calm['p99_ms']:,.0f} ms alone, {storm['p99_ms']:,.0f} ms while one hangs and one answers 500; {storm['delivered_per_s']:,} delivered/s"
    lost = sum(run["lost"] + run["doubled"] for run in (calm, storm))
    return [
        line(
            f"Postbacks at {found['rate']:,}/s to a fast destination, log to arrival",
            f"{said}, {lost} lost or doubled" + ("" if found["is_kept"] else "; NOT SUSTAINED"),
            f"others {found['others_cpu_share']:.0%}",
            found["date"],
            "python -m bench delivery",
        )
    ]


def chaos() -> str:
    """The table of the last `make chaos`, with its day and what else the machine did."""
    path = ROOT / "bench" / "results" / "chaos.json"
    if not path.exists():
        return "Nobody has kept a run yet."
    found = json.loads(path.read_text())
    lines = [
        f"`make chaos`, {found['form']} form, {found['date'][:10]}, {found['seconds'] / 60:.0f} minutes"
        + (f" in {found['runs']} runs, partly side by side" if found.get("runs", 1) > 1 else "")
        + f", beside a load of up to {found['load']:.0f}: "
        + ("every promise was kept." if found["is_kept"] else "NOT EVERY PROMISE WAS KEPT."),
        "",
        "| promise | fault | tries | payloads | lost | doubled | differing rows | recovery |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        recovery = "never" if row["recovery_s"] is None else f"{row['recovery_s']:.1f} s"
        note = f" ({row['note']})" if row["note"] else ""
        lines.append(
            f"| {row['promise']} | {row['fault']}{note} | {row['tries']} | {row['payloads']:,} | {row['lost']} | {row['doubled']} | {row['differing']} | {recovery} |"
        )
    if found["not_run"]:
        lines += ["", "Not run: " + "; ".join(found["not_run"]) + "."]
    return "\n".join(lines)


def console(found: list[dict[str, Any]]) -> list[str]:
    """Every page and filter; the slowest is named, because a mean hides it."""
    lines = []
    for kind, what in (
        ("page", "its pages"),
        ("numbers", "counter and histogram, where a page sends them later"),
        ("api", "rows and exact total by API"),
    ):
        rows = [row for row in found if row["what"].startswith(kind)]
        if rows:
            worst = max(rows, key=lambda row: row["p95_ms"])
            middle = sorted(row["p95_ms"] for row in rows)[len(rows) // 2]
            cpu = sorted(row["cpu_ms"] for row in rows)[len(rows) // 2]
            measured = f"p95 {middle} ms in the middle, {worst['p95_ms']} ms at worst ({worst['what'].partition(' ')[2]}); engine {cpu} CPU-ms in the middle"
            load = f"load {min(row['load'] for row in rows):.0f} to {max(row['load'] for row in rows):.0f}"
            lines.append(line(f"Console on {rows[0]['events']:,} events, {what}", measured, load, worst["date"], "python -m bench console"))
    return lines


BLOCKS = {"topology": topology, "results": results, "chaos": chaos}


def filled(text: str) -> str:
    for name, make in BLOCKS.items():
        text = re.sub(
            rf"(<!-- generated: {name} -->\n).*?(<!-- /generated -->)",
            lambda m, make=make: m[1] + make() + "\n" + m[2],
            text,
            flags=re.DOTALL,
        )
    return text


if __name__ == "__main__":
    for path in READMES:
        path.write_text(filled(path.read_text()))
