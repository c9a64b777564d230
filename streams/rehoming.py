"""Where each piece of state belongs when topics have more partitions: the rules by which `clicktrail topics grow` moves it.

A key lives on `hash % partitions`. More partitions send the next payload of an identity elsewhere, where nobody knows it: a retry would
be recorded a second time. So state moves with its key, once nothing is under way. A rule per changelog, beside the stages that write it;
without one a changelog's topics cannot grow, and a test says so.

    ledger       h:<home>        the home's name is the key of its payloads
    attribution  i:<identifier>  the key of lookups.v1; its watches send answers to their home's partition, which may be another one now
    delivery     stays: a postback lies on the partition of its event's payload, which is in the event's id and never changes
"""

from collections.abc import Callable

import orjson

from streams.partition import partition_of
from streams.topology import ATTRIBUTION_STATE, DELIVERY_STATE, LEDGER_STATE

Rule = Callable[[bytes, bytes, int, int], tuple[int, bytes]]
"""(key, value, partition where it is, partitions) -> (partition where it belongs, the value as it must be there)."""

_PREFIX = 2  # "h:", "i:"


def _home(key: bytes, value: bytes, _: int, partitions: int) -> tuple[int, bytes]:
    return partition_of(key[_PREFIX:], partitions), value


def _identifier(key: bytes, value: bytes, _: int, partitions: int) -> tuple[int, bytes]:
    entry = orjson.loads(value)
    for watch in entry["w"]:
        watch["at"] = partition_of(watch["h"].encode(), partitions)
    return partition_of(key[_PREFIX:], partitions), orjson.dumps(entry) if entry["w"] else value


def _stays(_: bytes, value: bytes, at: int, __: int) -> tuple[int, bytes]:
    return at, value


RULES: dict[str, Rule] = {LEDGER_STATE.name: _home, ATTRIBUTION_STATE.name: _identifier, DELIVERY_STATE.name: _stays}
"""By the name of the changelog."""
