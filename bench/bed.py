"""What a measurement stands on: a broker of its own, with the workload in it, in a folder that goes away with it.

A free port and a temporary folder, so that a bench never touches a running `clicktrail up`; the folder lies beside the repository's
caches and not in the system's temporary folder, which is memory on some machines.The broker is
configured as in `up`.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import workload
from bench.driver import Bed
from bench.workload import Size
from deploy.local.kafka import Kafka
from deploy.local.ports import free_port

# Members join within half a second, so that a group of several starts with one rebalance instead of two: for all systems alike.
BROKER = {"group.initial.rebalance.delay.ms": "500"}


@contextlib.contextmanager
def broker(sizes: Sequence[Size], *, with_index: bool = True) -> Iterator[Bed]:
    """Start Kafka, load the workload; both gone at the end."""
    workload.CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=workload.CACHE))
    try:
        with Kafka(folder / "kafka", free_port(), settings=BROKER, report=lambda _: None) as kafka:
            for size in sizes:
                workload.load(kafka.bootstrap_servers, size, with_index=with_index)
            assert kafka.pid
            yield Bed(kafka.bootstrap_servers, kafka.pid, folder / "state")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
