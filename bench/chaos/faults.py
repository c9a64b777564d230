"""The faults of processes: each strikes once and undoes itself.

A fault is a name, the promise that it tries, and a coroutine. `expected_s` is about how long one strike takes with the pause before it: so
much traffic is prepared. Only processes that the stack started are touched, by their ids.
"""

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.chaos.stack import ChaosStack

ROLES = ("ingest", "ledger", "attribution", "delivery", "sink", "console")
STAGES = ("ledger", "attribution", "sink", "delivery")
ZOMBIE_S = 12.5  # the session is 10 s

Strike = Callable[[ChaosStack, random.Random], Awaitable[None]]


def silent(_: ChaosStack) -> str:
    """No note."""
    return ""


class Fault(NamedTuple):
    """`tries` is how often it strikes in the full run."""

    name: str
    promise: str
    strike: Strike
    tries: int
    pause_s: float = 0.5
    expected_s: float = 5
    is_of_roles: bool = False
    note: Callable[[ChaosStack], str] = silent


KILLED = "kill any process: nothing lost, nothing doubled"


async def kill(stack: ChaosStack, rng: random.Random, number: int = signal.SIGKILL) -> None:
    """End a role or the engine; `up` starts the role again, we the engine."""
    victim = rng.choice((*ROLES, "clickhouse"))
    if victim == "clickhouse":
        await engine(stack, number)
        return
    os.kill(await stack.alive(victim), number)


async def engine(stack: ChaosStack, number: int = signal.SIGKILL, away_s: float = 0.0) -> None:
    """End the engine, mid-insert if one runs, and start it again."""
    await asyncio.to_thread(stack.clickhouse.kill if number == signal.SIGKILL else stack.clickhouse.stop)
    await asyncio.sleep(away_s)
    await asyncio.to_thread(stack.clickhouse.start)


async def terminate(stack: ChaosStack, rng: random.Random) -> None:
    """An orderly end, as a deployment makes it."""
    await kill(stack, rng, signal.SIGTERM)


async def freeze(stack: ChaosStack, rng: random.Random) -> None:
    """A worker stops for longer than its session while another one takes over, and goes on where it stood: a zombie."""
    role = rng.choice(STAGES)
    stack.join(role, f"{role}-second")
    await asyncio.sleep(6)  # it joins, and shares the partitions
    pid = await stack.alive(role)
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(ZOMBIE_S)
    os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(2)
    stack.leave(f"{role}-second", signal.SIGKILL)


async def join_and_leave(stack: ChaosStack, rng: random.Random) -> None:
    """A second worker of a role comes, works for a moment, and goes, in order or not."""
    role = rng.choice(STAGES)
    stack.join(role, f"{role}-guest")
    await asyncio.sleep(rng.uniform(1, 6))
    await asyncio.to_thread(stack.leave, f"{role}-guest", rng.choice([signal.SIGTERM, signal.SIGKILL]))


def states(stack: ChaosStack, role: str) -> Iterator[Path]:
    """The state folders of the workers of a role."""
    yield from (stack.folder / "state").glob(f"*-{role}-*/{role}")


async def in_its_sleep(stack: ChaosStack, role: str, harm: Callable[[Path], None]) -> None:
    """Harm the state of a role while it is frozen, then kill it: it finds the harm when it starts."""
    pid = await stack.alive(role)
    os.kill(pid, signal.SIGSTOP)
    for folder in states(stack, role):
        await asyncio.to_thread(harm, folder)
    os.kill(pid, signal.SIGKILL)


async def lose_state(stack: ChaosStack, rng: random.Random) -> None:
    """The state folder of a role is gone, and the role was killed."""
    await in_its_sleep(stack, rng.choice(("ledger", "attribution", "delivery")), lambda folder: shutil.rmtree(folder, ignore_errors=True))


async def corrupt_state(stack: ChaosStack, rng: random.Random) -> None:
    """Bytes of the state's files are others, and the role was killed."""

    def harm(folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_size > 64 and rng.random() < 0.5:
                with path.open("r+b") as file:
                    for _ in range(8):
                        file.seek(rng.randrange(path.stat().st_size))
                        file.write(rng.randbytes(16))

    await in_its_sleep(stack, rng.choice(("ledger", "attribution", "delivery")), harm)


OF_PROCESSES = (
    Fault("kill -9 of any role or the engine", KILLED, kill, 200, pause_s=0.3, expected_s=1.0, is_of_roles=True),
    Fault("SIGTERM of any role or the engine", KILLED, terminate, 10, pause_s=1, expected_s=3, is_of_roles=True),
    Fault("frozen past the session, then on", "a zombie writes nothing", freeze, 3, expected_s=25),
    Fault("workers join and leave", "a rebalance loses and doubles nothing", join_and_leave, 8, pause_s=0.5, expected_s=6),
    Fault("state folder deleted, and kill -9", "state is a cache", lose_state, 4, pause_s=1, expected_s=4),
    Fault("state files corrupted, and kill -9", "state is a cache", corrupt_state, 6, pause_s=1, expected_s=4),
)
