"""The form of `make test`: the faults that found something, two rounds of them, one strike after another."""

import random
from itertools import cycle

from bench.chaos.faults import Fault, Strike, corrupt_state, kill, lose_state
from bench.chaos.faults_of_data import flip_settings, poison
from bench.chaos.faults_of_services import cut, unknown_fate
from bench.chaos.stack import ChaosStack


def in_turn(*strikes: Strike) -> Strike:
    """A strike that is each of these, one after the other."""
    following = cycle(strikes)

    async def strike(stack: ChaosStack, rng: random.Random) -> None:
        await next(following)(stack, rng)

    return strike


OF_ROLES, OF_THE_REST = (kill, lose_state, kill, corrupt_state, kill), (flip_settings, poison, cut, poison, unknown_fate, flip_settings)
SHORT = (
    Fault("kills, state lost and damaged", "roles may die", in_turn(*OF_ROLES), len(OF_ROLES), expected_s=1.5, is_of_roles=True),
    Fault("network, inserts, poison, settings", "the rest may fail", in_turn(*OF_THE_REST), len(OF_THE_REST), pause_s=0.2, expected_s=3),
)
