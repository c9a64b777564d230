"""`python -m bench reference`: the reference workload through our runtime only. For working on the runtime: a change shows in a minute."""

from typing import Any

from bench import systems
from bench.bed import broker
from bench.driver import keep, run
from bench.workload import SIZES


def measure(rounds: int = 2, size_name: str = "1m") -> list[dict[str, Any]]:
    """One process and two, in turns."""
    size = SIZES[size_name]
    results = []
    with broker([size], with_index=False) as bed:
        for _ in range(rounds):
            for system in (systems.OURS, systems.OURS_TWO):
                results.append(run(system, size, bed))
                print(results[-1], flush=True)
    print(f"written to {keep('ours', results)}")
    return results
