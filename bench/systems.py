"""Who is measured: each system with its guarantee and its command."""

import sys
from pathlib import Path

from bench.driver import System
from bench.peers import kafka_streams

OURS = System("clicktrail", "exactly once, RocksDB, re-keyed through Kafka", [sys.executable, "-m", "bench.reference_app"])
OURS_TWO = System("clicktrail, 2 processes", OURS.guarantee, OURS.command, {"PROCESSES": "2"})
PLAIN_FAUST = System(
    "plain Faust", "at least once, tables in memory", [sys.executable, "-m", "bench.peers.plain_faust", "worker", "-l", "error"], is_prepared=True
)  # fmt: skip
FLOOR = System("floor: one aiokafka loop", "transactions, state in memory only, no re-keying", [sys.executable, "-m", "bench.peers.floor"])
FLOOR_CONFLUENT = System(
    "floor: one confluent loop", "none: no transactions, state in memory", FLOOR.command, {"CLIENT": "confluent"}
)  # fmt: skip
QUIX = System("Quix Streams", "exactly once, RocksDB", [sys.executable, "-m", "bench.peers.quix"], {"GUARANTEE": "exactly-once"})
BYTEWAX = System("bytewax", "none: state in memory", [sys.executable, "-m", "bytewax.run", "bench.peers.bytewax_flow"])

ON_DEMAND = Path(__file__).parents[1] / ".cache" / "bench" / "packages"


def kafka_streams_peer() -> System:
    """Kafka Streams with two threads. CannotBuildError when this machine can't compile it."""
    command = kafka_streams.command()
    return System("Kafka Streams", "exactly once v2, RocksDB, re-keyed through Kafka", command, {"THREADS": "2"}, is_prepared=True)
