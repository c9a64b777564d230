"""`python -m bench real`: the product's rules over the reference payloads: payload record -> judged row record, trace and evidence in it.

Two processes, ledger and attribution, as `clicktrail up` runs them, on a broker of the bench's own with 4 partitions. Checked against an
independent loop (`product.expected`): each payload has its first revision exactly once, and the last ones say what the loop says. The
clock runs from the first row until neither role has anything left to read, all committed.
"""

import asyncio
import sys
import time
from typing import Any

import orjson

from bench import product
from bench.bed import broker
from bench.check import Checked, read_topic
from bench.driver import Bed, System, Watched, keep, result_of
from bench.workload import PARTITIONS, SIZES, Size, conversions, index
from deploy.local.ports import free_ports
from streams.runtime.settings import Settings
from streams.topology import EVENTS

GUARANTEE = "exactly once, all rules, trace, evidence"


def measure(rounds: int = 1, size_name: str = "1m") -> list[dict[str, Any]]:
    """Run it `rounds` times, each on a fresh broker."""
    results = []
    for _ in range(rounds):
        with broker([]) as bed:
            results.append(run(SIZES[size_name], bed))
        print(results[-1], flush=True)
    print(f"written to {keep('real', results)}")
    return results


def run(size: Size, bed: Bed) -> dict[str, Any]:
    """Load, run, check."""
    environment = {
        "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": bed.bootstrap, "CLICKTRAIL_DATA_DIR": str(bed.folder), "CLICKTRAIL_PARTITIONS": str(PARTITIONS),
        "CLICKTRAIL_PII_KEY": product.PII_KEY, "CLICKTRAIL_METRICS_PORT": str(free_ports(8)[0]), "CLICKTRAIL_LOG_LEVEL": "warning",
    }  # fmt: skip
    bed.folder.mkdir(parents=True)
    load(size, bed)
    system = System("clicktrail, real rules", GUARANTEE, [])
    watched = Watched([sys.executable, "-m", "bench.real_app"], environment, bed.folder / "roles.log", bed.broker_pid)
    try:
        last = watched.wait(60 + size.conversion_count / 5_000, time.time_ns)
    finally:
        watched.end()
    done = watched.said.get("DONE", last)
    checked = check(size, bed, done.at)
    if not checked.is_ok:
        print((bed.folder / "roles.log").read_text()[-2000:])
    return result_of(system, size, watched, last, checked)


def load(size: Size, bed: Bed) -> None:
    """Write workspace, visits and payloads."""
    settings = Settings.model_validate(
        {"kafka": {"bootstrap_servers": bed.bootstrap}, "partitions": PARTITIONS, "pii_key": product.PII_KEY}
    )
    workspace = asyncio.run(product.set_up(settings))
    began = time.monotonic()
    count = product.produce(bed.bootstrap, product.visits(size), PARTITIONS)
    count += product.produce(bed.bootstrap, product.payloads(size, workspace), PARTITIONS)
    print(f"loaded {count:,} records in {time.monotonic() - began:.0f} s", flush=True)


def check(size: Size, bed: Bed, last_at: float) -> Checked:
    """Compare the rows with the independent loop."""
    wanted = product.expected(conversions(size.conversion_count, size.click_count), dict(index(size.click_count)))
    found, firsts, twice = product.counted(orjson.loads(record.value) for record in read_topic(bed.bootstrap, EVENTS.name))
    differences = {name: (found[name], wanted[name]) for name in sorted(found | wanted) if found[name] != wanted[name]}
    is_ok = not differences and not twice and firsts == size.conversion_count
    return Checked(is_ok, firsts, twice, size.conversion_count - found.total(), 0.0, last_at, differences)
