"""`python -m bench [what]`: run a measurement. Without a name: the reference workload beside the peers (at most ten minutes)."""

import argparse
import importlib
from typing import NamedTuple


class Bench(NamedTuple):
    """A measurement: the function that makes it, and what it says."""

    name: str
    function: str  # module:function
    doc: str


BENCHES = (
    Bench("compare", "bench.side_by_side:measure", "the reference workload: ours, Kafka Streams, plain Faust, the floor, in one run"),
    Bench("reference", "bench.reference:measure", "the reference workload through ours only, one process and two"),
    Bench("real", "bench.real:measure", "the same payloads through the product's own rules: ledger and attribution"),
    Bench("latency", "bench.latency:measure", "1,000 payloads/s over HTTP into everything: from the answer to the row in SQL"),
    Bench("console", "bench.console:measure", "every page and filter of the console on 10 million events in ClickHouse"),
    Bench("fuzz", "bench.fuzz:measure", "mutated payloads through parse, mapping, dedup, templates: no crash, all accounted for"),
    Bench("delivery", "bench.delivery:measure", "2,000 postbacks/s to a fast destination, while one hangs and one answers 500"),
)


def main() -> None:
    """Parse the command line and measure."""
    listing = "\n".join(f"  {bench.name:<12}{bench.doc}" for bench in BENCHES)
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=f"{__doc__}\n\n{listing}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="compare", choices=[bench.name for bench in BENCHES], metavar="what")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each system (2)")
    parser.add_argument("--size", dest="size_name", default="1m", choices=["1m", "200k", "50k"], help="conversions (1m)")
    arguments = parser.parse_args()
    module, _, function = next(bench.function for bench in BENCHES if bench.name == arguments.what).partition(":")
    getattr(importlib.import_module(module), function)(rounds=arguments.rounds, size_name=arguments.size_name)


if __name__ == "__main__":
    main()
