"""The form of `make test`: one round in which the faults that found something strike one after another, briefly."""

import asyncio
import random
from itertools import cycle

from bench.chaos.answers import UNKNOWN_FATE
from bench.chaos.faults import Fault, Strike, corrupt_state, kill, lose_state
from bench.chaos.faults_of_data import flip_settings, poison
from bench.chaos.stack import ChaosStack


async def cut(stack: ChaosStack, _: random.Random) -> None:
    """The network to the broker is away for 2 s."""
    stack.network.cut()
    await asyncio.sleep(2)
    stack.network.clear()


async def unknown_fate(stack: ChaosStack, _: random.Random) -> None:
    """Two of three inserts end nobody knows how, for 2 s."""
    stack.answers.spoil(UNKNOWN_FATE, 0.6)
    await asyncio.sleep(2)
    stack.answers.clear()


def in_turn(*strikes: Strike) -> Strike:
    """A strike that is each of these, one after the other."""
    following = cycle(strikes)

    async def strike(stack: ChaosStack, rng: random.Random) -> None:
        await next(following)(stack, rng)

    return strike


STRIKES = (kill, flip_settings, lose_state, poison, kill, unknown_fate, corrupt_state, cut, kill, poison, flip_settings)
SHORT = (
    Fault(
        "roles killed, state lost and damaged, network cut, …", "a bit of everything", in_turn(*STRIKES), len(STRIKES), pause_s=0.4, expected_s=1.5,
        is_of_roles=True,
    ),
)  # fmt: skip
