"""`python -m bench.chaos`: the full form (under 25 minutes); `--short` is the one of `make test`; `--only WORD` runs the faults named so."""

import argparse
import asyncio
import logging
import os
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
FLOOD_LONGEST_S, CLUSTER_LONGEST_S = 150, 150  # kept free for them at the end
Chosen = list[tuple[Fault, int]]


class Run:
    """One run: what is chosen, what was found, what there was no time or no right for."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self._folder = folder
        self._given = given
        self._began = time.monotonic()
        self.rows: list[Row] = []
        self.not_run: list[str] = []

    def chosen(self, faults: tuple[Fault, ...]) -> Chosen:
        """The faults that were asked for, and how often each strikes."""
        wanted = [f for f in faults if not self._given.only or any(word in f.name for word in self._given.only)]
        return [(f, self._given.tries or f.tries) for f in wanted]

    async def everything(self) -> list[Row]:
        """The chosen faults on one stack, those of a cluster on another."""
        print(table.line(table.HEAD), flush=True)
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own clients meet the faults, too, and say so
        if self._given.short:
            await self._rounds("one", self.chosen(SHORT), until_s=self._given.minutes * 60)
            return self.rows
        flood_s = FLOOD_S if not self._given.only or "overload" in self._given.only else 0
        on_three = self.chosen(OF_A_CLUSTER)
        if (on_one := self.chosen(FAULTS)) or flood_s:
            rest_s = (FLOOD_LONGEST_S if flood_s else 0) + (CLUSTER_LONGEST_S if on_three else 0)
            await self._rounds("one", on_one, until_s=self._given.minutes * 60 - rest_s, flood_s=flood_s)
        if on_three:
            await self._rounds("three", on_three, until_s=self._given.minutes * 60)
        return self.rows

    async def _rounds(self, name: str, chosen: Chosen, *, until_s: float, flood_s: float = 0) -> None:
        """One stack, fault after fault, a row each; at last a flood."""
        async with ChaosStack(self._folder / name, is_cluster=name == "three") as stack:
            first = 0
            for number, (fault, tries) in enumerate(chosen):
                if why := self._why_not(fault, stack, until_s):
                    self.not_run.append(f"{fault.name}: {why}")
                    continue
                await stack.merge(is_on=False)
                seed = self._given.seed + number
                one = Round(stack, fault, tries, rate=self._given.rate, first=first, seed=seed, patience_s=self._given.patience)
                self._show(await one.run())
                first = one.next
                await stack.merge(is_on=True)
            if flood_s:
                self._show(await overload(stack, flood_s))

    def _why_not(self, fault: Fault, stack: ChaosStack, until_s: float) -> str:
        if fault in OF_DISKS and not stack.has_disks:
            return "file systems can't be mounted here, it needs root"
        return "the time was over" if time.monotonic() - self._began > until_s else ""

    def _show(self, row: Row) -> None:
        self.rows.append(row)
        print(table.line(table.cells(row)), flush=True)
        for said in (row.note, *row.named):
            if said:
                print(f"    {said}", flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    found.add_argument("--short", action="store_true", help="one round of some faults")
    found.add_argument("--only", nargs="*", default=[], help="faults whose name contains one of these words")
    found.add_argument("--tries", type=int, help="strikes of each fault")
    found.add_argument("--rate", type=float, default=100, help="payloads a second")
    found.add_argument("--patience", type=float, default=150, help="seconds that rows may take to be what they must be")
    found.add_argument("--minutes", type=float, default=24, help="no round begins when these are over")
    found.add_argument("--add", action="store_true", help="put the rows among those that are kept, instead of keeping only a run of all")
    found.add_argument("--to", type=Path, default=table.RESULT, help="where the result is kept")
    found.add_argument("--seed", type=int, default=1)
    return found


def main(words: list[str] | None = None) -> int:
    """Run and report; 0 when every promise is kept."""
    given = parser().parse_args(words)
    folder = Path(tempfile.mkdtemp(prefix="clicktrail-chaos-"))
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # an end in order, with all that was started
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run = Run(folder, given)
    try:
        found = asyncio.run(run.everything())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - began
    if given.add or not given.only:
        table.keep(found, "short" if given.short else "full", seconds, run.not_run, given.to, is_added=given.add)
    for missing in run.not_run:
        print(f"not run: {missing}")
    is_kept = all(row.is_kept for row in found)
    print(f"{'kept' if is_kept else 'BROKEN'}: {len(found)} faults in {seconds:.0f} s, load {os.getloadavg()[0]:.0f}")
    return 0 if is_kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
