"""`python -m bench.chaos`: the full form (under 25 minutes); `--short` is the one of `make test`; `--only WORD` runs the faults named so."""

import argparse
import asyncio
import logging
import shutil
import signal
import tempfile
import time
from pathlib import Path

from bench.chaos import table
from bench.chaos.faults import OF_PROCESSES, Fault
from bench.chaos.faults_of_data import OF_DATA, OF_DISKS
from bench.chaos.faults_of_services import OF_A_CLUSTER, OF_SERVICES
from bench.chaos.overload import overload
from bench.chaos.round import Round, Row
from bench.chaos.short import SHORT
from bench.chaos.stack import ChaosStack

FAULTS: tuple[Fault, ...] = (*OF_PROCESSES, *OF_SERVICES, *OF_DATA, *OF_DISKS)
FLOOD_S = 20
Chosen = list[tuple[Fault, int]]


def show(row: Row) -> Row:
    """Print a row as it comes, and what was wrong."""
    print(table.line(table.cells(row)), flush=True)
    for said in (row.note, *row.named):
        if said:
            print(f"    {said}", flush=True)
    return row


async def rounds(folder: Path, chosen: Chosen, given: argparse.Namespace, *, flood_s: float = 0, is_cluster: bool = False) -> list[Row]:
    """One stack, fault after fault, a row each; at last a flood."""
    found = []
    async with ChaosStack(folder, is_cluster=is_cluster) as stack:
        first = 0
        for number, (fault, tries) in enumerate(chosen):
            if fault in OF_DISKS and not stack.has_disks:
                print(f"not run, as file systems can't be mounted here: {fault.name}")
                continue
            await stack.merge(is_on=False)
            one = Round(stack, fault, tries, rate=given.rate, first=first, seed=given.seed + number, patience_s=given.patience)
            found.append(show(await one.run()))
            first = one.next
            await stack.merge(is_on=True)
        if flood_s:
            found.append(show(await overload(stack, flood_s)))
    return found


async def everything(folder: Path, given: argparse.Namespace) -> list[Row]:
    """The chosen faults on one stack, those of a cluster on another."""

    def chosen(faults: tuple[Fault, ...]) -> Chosen:
        wanted = [f for f in faults if not given.only or any(word in f.name for word in given.only)]
        return [(f, given.tries or f.tries) for f in wanted]

    print(table.line(table.HEAD), flush=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own clients meet the faults, too, and say so
    if given.short:
        return await rounds(folder / "one", chosen(SHORT), given)
    found: list[Row] = []
    flood_s = FLOOD_S if not given.only or "overload" in given.only else 0
    if (on_one := chosen(FAULTS)) or flood_s:
        found += await rounds(folder / "one", on_one, given, flood_s=flood_s)
    if on_three := chosen(OF_A_CLUSTER):
        found += await rounds(folder / "three", on_three, given, is_cluster=True)
    return found


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    found.add_argument("--short", action="store_true", help="two rounds of some faults each")
    found.add_argument("--only", nargs="*", default=[], help="faults whose name contains one of these words")
    found.add_argument("--tries", type=int, help="strikes of each fault")
    found.add_argument("--rate", type=float, default=100, help="payloads a second")
    found.add_argument("--patience", type=float, default=150, help="seconds that rows may take to be what they must be")
    found.add_argument("--seed", type=int, default=1)
    return found


def main(words: list[str] | None = None) -> int:
    """Run and report; 0 when every promise is kept."""
    given = parser().parse_args(words)
    folder = Path(tempfile.mkdtemp(prefix="clicktrail-chaos-"))
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # an end in order, with all that was started
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        found = asyncio.run(everything(folder, given))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - began
    if not given.only:
        table.keep(found, "short" if given.short else "full", seconds)
    is_kept = all(row.is_kept for row in found)
    print(f"{'kept' if is_kept else 'BROKEN'}: {len(found)} faults in {seconds:.0f} s")
    return 0 if is_kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
