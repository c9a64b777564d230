"""The faults of Kafka, the network before it, and ClickHouse."""

import asyncio
import os
import random
import signal

from bench.chaos.answers import REFUSALS, UNKNOWN_FATE
from bench.chaos.faults import Fault, engine
from bench.chaos.stack import ChaosStack
from deploy.local.kafka import Kafka

BROKER = "broker away: accepted payloads wait in the spool"
ROWS_ONCE = "each row once, whatever ClickHouse says"


def one(stack: ChaosStack) -> Kafka:
    """The broker of a stack that has one."""
    assert isinstance(stack.kafka, Kafka)
    return stack.kafka


async def one_of_three(stack: ChaosStack, rng: random.Random) -> None:
    """SIGKILL for one broker of three, some seconds without it, and up again."""
    await asyncio.to_thread(stack.kafka.kill)
    await asyncio.sleep(rng.uniform(6, 10))
    await asyncio.to_thread(stack.kafka.start)
    await asyncio.sleep(5)  # its copies catch up, before the next one goes


async def broker_restart(stack: ChaosStack, _: random.Random) -> None:
    """SIGTERM, and up again."""
    await asyncio.to_thread(stack.kafka.stop)
    await asyncio.to_thread(stack.kafka.start)


async def broker_kill(stack: ChaosStack, rng: random.Random) -> None:
    """SIGKILL, some seconds without one, and up again."""
    await asyncio.to_thread(stack.kafka.kill)
    await asyncio.sleep(rng.uniform(0, 3))
    await asyncio.to_thread(stack.kafka.start)


async def broker_frozen(stack: ChaosStack, _: random.Random) -> None:
    """The broker's process stops for a while: connections stand, nothing moves."""
    pid = one(stack).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(8)
    os.kill(pid, signal.SIGCONT)


async def cut(stack: ChaosStack, rng: random.Random) -> None:
    """Every connection to the broker is reset, and none is let in."""
    stack.network.cut()
    await asyncio.sleep(rng.uniform(1, 8))
    stack.network.clear()


async def half_open(stack: ChaosStack, _: random.Random) -> None:
    """Longer than the session: what is sent is swallowed."""
    stack.network.swallow()
    await asyncio.sleep(14)
    stack.network.clear()


async def slow(stack: ChaosStack, _: random.Random) -> None:
    """0.3 s more for every piece, in both directions."""
    stack.network.slow(0.3)
    await asyncio.sleep(8)
    stack.network.clear()


async def narrow(stack: ChaosStack, _: random.Random) -> None:
    """40 kB/s for each connection and direction."""
    stack.network.narrow(40_000)
    await asyncio.sleep(8)
    stack.network.clear()


async def engine_killed(stack: ChaosStack, rng: random.Random) -> None:
    """Kill -9, and up again."""
    await engine(stack, away_s=rng.uniform(0, 1))


async def engine_away(stack: ChaosStack, _: random.Random) -> None:
    """Down for two minutes."""
    await engine(stack, away_s=120)


async def unknown_fate(stack: ChaosStack, _: random.Random) -> None:
    """Half of the inserts are done and answered with nothing or an error, or arrive in half."""
    stack.answers.spoil(UNKNOWN_FATE, 0.5)
    await asyncio.sleep(8)
    stack.answers.clear()


async def refusals(stack: ChaosStack, _: random.Random) -> None:
    """Four of five inserts are refused with errors that pass."""
    stack.answers.spoil(REFUSALS, 0.8)
    await asyncio.sleep(8)
    stack.answers.clear()


def spoilt(stack: ChaosStack) -> str:
    """How many inserts ended in which way."""
    return ", ".join(f"{way}: {count}" for way, count in sorted(stack.answers.spoilt.items()) if way)


OF_SERVICES = (
    Fault("broker SIGTERM and restart", BROKER, broker_restart, 2, pause_s=1, expected_s=12),
    Fault("broker kill -9", BROKER, broker_kill, 3, pause_s=1, expected_s=12),
    Fault("broker frozen 8 s", BROKER, broker_frozen, 1, pause_s=1, expected_s=11),
    Fault("network to the broker cut", BROKER, cut, 5, pause_s=1, expected_s=7),
    Fault("network half open 14 s", BROKER, half_open, 1, pause_s=1, expected_s=17),
    Fault("network 0.6 s slow", "slow is only slow", slow, 1, expected_s=10),
    Fault("network 40 kB/s narrow", "slow is only slow", narrow, 1, expected_s=10),
    Fault("ClickHouse kill -9 mid-insert", ROWS_ONCE, engine_killed, 10, pause_s=0.7, expected_s=4),
    Fault("ClickHouse down 2 min", ROWS_ONCE, engine_away, 1, expected_s=125),
    Fault("inserts of unknown fate", ROWS_ONCE, unknown_fate, 2, expected_s=9, note=spoilt),
    Fault("inserts refused for a while", ROWS_ONCE, refusals, 1, expected_s=9, note=spoilt),
)
OF_A_CLUSTER = (
    Fault("one of three brokers kill -9 (RF 3, min ISR 2)", "a broker of a cluster may die", one_of_three, 3, pause_s=1, expected_s=22),
)
