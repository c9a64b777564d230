"""Three brokers as one cluster: what production has, three copies of everything, two of which must have a record before it counts.

The same surface as one `Kafka`, so that a stack runs on either. No proxy stands in front of them.
"""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.local.kafka import Kafka
from deploy.local.node import new_cluster_id
from deploy.local.ports import free_ports

COPIES = 3
REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "replica.lag.time.max.ms": "5000",
}


class Cluster:
    """Three nodes; `bootstrap_servers` names all of them."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(2 * COPIES)
        voters = ",".join(f"{n + 1}@127.0.0.1:{ports[COPIES + n]}" for n in range(COPIES))
        cluster_id = new_cluster_id()
        self.nodes = [
            Kafka(
                folder / f"kafka-{n + 1}", ports[n], ports[COPIES + n], heap="320m", cluster_id=cluster_id,
                settings={**REPLICATED, "node.id": str(n + 1), "controller.quorum.voters": voters},
            )
            for n in range(COPIES)
        ]  # fmt: skip
        self._rng = random.Random(11)

    @property
    def bootstrap_servers(self) -> str:
        """All nodes."""
        return ",".join(node.bootstrap_servers for node in self.nodes)

    def start(self, timeout_s: float = 90) -> None:
        """Return when all that did not run do: none is ready without another one."""
        with ThreadPoolExecutor(COPIES) as pool:
            list(pool.map(lambda node: node.start(timeout_s), self.nodes))

    def stop(self, timeout_s: float = 20) -> None:
        """End all in order."""
        with ThreadPoolExecutor(COPIES) as pool:
            list(pool.map(lambda node: node.stop(timeout_s), self.nodes))

    def kill(self) -> None:
        """SIGKILL for one of them."""
        self._rng.choice(self.nodes).kill()
