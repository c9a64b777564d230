"""The contract of a stage: a pure function over a chunk. No await, no clock, no I/O, no log, no randomness.

    stage(records, state, out)

gets the records of one partition in log order, reads and writes `state` (which belongs to that partition), and sends to topics through
`out`. The runtime guarantees that all three move together, exactly once, whatever dies: so a stage that is handed the same records over
the state it had before makes the same outputs, byte for byte.

Why chunks: one trip through Faust costs 110 to 125 us, and per record that is the whole budget several times over. Per chunk of some
thousand records it vanishes (8,800 against 221,000 records/s for a stage that does nothing).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]
NO_HEADERS: list[tuple[str, bytes]] = []  # shared and never changed; aiokafka wants a list


class Record(NamedTuple):
    """One Kafka message. aiokafka's ConsumerRecord has the same attributes and is passed on as it is: copying costs 1 us."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # ms
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class RecordLike(Protocol):
    """What a stage may rely on in a record."""

    @property
    def topic(self) -> str:
        """Its topic."""

    @property
    def partition(self) -> int:
        """Its partition."""

    @property
    def offset(self) -> int:
        """Its offset."""

    @property
    def timestamp(self) -> int:
        """Milliseconds; for a payload, the time of receipt."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its bytes; None is a tombstone."""

    @property
    def headers(self) -> Headers:
        """Its headers."""


class State(Protocol):
    """A partition's state: bytes to bytes. Durable when the chunk's transaction commits, gone when it does not."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""

    def put(self, key: bytes, value: bytes) -> None:
        """Write a value."""

    def delete(self, key: bytes) -> None:
        """Remove a key; unknown keys are fine."""


class Outputs:
    """What a chunk sends: per (topic, partition) the records in order. Filled by stages, drained by the shell."""

    __slots__ = ("batches",)

    def __init__(self) -> None:
        self.batches: dict[tuple[str, int], list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]] = {}

    def send(self, topic: str, partition: int, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]] = NO_HEADERS) -> None:
        """Send to an explicit partition: whoever emits knows the home of what it emits."""
        at = (topic, partition)
        batch = self.batches.get(at)
        if batch is None:
            batch = self.batches[at] = []
        batch.append((key, value, headers))

    def __iter__(self) -> Iterator[tuple[str, int, bytes | None, bytes, list[tuple[str, bytes]]]]:
        for (topic, partition), batch in self.batches.items():
            for key, value, headers in batch:
                yield topic, partition, key, value, headers


class Stage(Protocol):
    """One role's work on one chunk. Raises only for a record that no rule can judge (poison): the shell finds out which."""

    def __call__(self, records: Sequence[RecordLike], state: State, out: Outputs) -> None:
        """Judge the records of one partition, in order."""


class MustWait(Exception):  # noqa: N818  no failure: the chunk comes again
    """The chunk can't be judged yet; the shell calls `ready` until it says True, then gives the same chunk again. Nothing was kept."""

    def ready(self) -> bool:
        """Say whether what the stage waits for has come."""
        raise NotImplementedError
