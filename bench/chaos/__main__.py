"""`python -m bench.chaos`: the full form (under 25 minutes); `--short` is the one of `make test`; `--only WORD` runs the faults named so."""

import argparse
import asyncio
import shutil
import tempfile
import time
from pathlib import Path

from bench.chaos import table
from bench.chaos.faults import OF_PROCESSES, Fault
from bench.chaos.faults_of_services import OF_SERVICES
from bench.chaos.round import Round, Row
from bench.chaos.stack import ChaosStack

FAULTS: tuple[Fault, ...] = (*OF_PROCESSES, *OF_SERVICES)


async def rounds(folder: Path, chosen: list[tuple[Fault, int]], *, rate: float, seed: int) -> list[Row]:
    """One stack, fault after fault; a row each, printed as it comes."""
    found = []
    print(table.line(table.HEAD))
    async with ChaosStack(folder) as stack:
        first = 0
        for number, (fault, tries) in enumerate(chosen):
            await stack.merge(is_on=False)
            one = Round(stack, fault, tries, rate=rate, first=first, seed=seed + number)
            row = await one.run()
            first = one.next
            found.append(row)
            print(table.line(table.cells(row)), flush=True)
            for said in row.named:
                print(f"    {said}", flush=True)
            await stack.merge(is_on=True)
    return found


def main(words: list[str] | None = None) -> int:
    """Run and report; 0 when every promise is kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few faults, one or two strikes each")
    parser.add_argument("--only", nargs="*", default=[], help="faults whose name contains one of these words")
    parser.add_argument("--tries", type=int, help="strikes of each fault")
    parser.add_argument("--rate", type=float, default=150, help="payloads a second")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(words)
    chosen = [(f, given.tries or (f.short if given.short else f.tries)) for f in FAULTS if not given.short or f.short]
    chosen = [(f, tries) for f, tries in chosen if not given.only or any(word in f.name for word in given.only)]
    folder = Path(tempfile.mkdtemp(prefix="clicktrail-chaos-"))
    began = time.monotonic()
    try:
        found = asyncio.run(rounds(folder, chosen, rate=given.rate, seed=given.seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - began
    if not given.only:
        table.keep(found, "short" if given.short else "full", seconds, [])
    is_kept = all(row.is_kept for row in found)
    print(f"{'kept' if is_kept else 'BROKEN'}: {len(found)} faults in {seconds:.0f} s")
    return 0 if is_kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
