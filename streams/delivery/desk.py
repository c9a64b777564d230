"""One partition's desk: turns the committed state of delivery into tickets for the lanes, and knows nothing that is not committed.

It opens with a *hello* in deliveries.v1, and begins when that hello has come back through the stage: then everything that was logged
before, by whatever sender, is in the state. A begun try without an end is an interrupted one. Its end may still come (a former sender
that lost the partition, but not its connection, reports as usual), so it is waited for as long as a try can last.

Tickets hold keys, not requests, and at most TICKETS of a destination: the others stay in RocksDB, in order of due time, until these
are done. A destination that is down for a week costs disk, not memory.
"""

import uuid
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from streams.delivery.stage import HELLO, due_of, sent_key
from streams.runtime.store import Store

if TYPE_CHECKING:
    from streams.delivery.sender import Sender

TICKETS = 4_000
GRACE_MS = 2_000  # between the longest a try can last and calling it interrupted


class Ticket:
    """One postback that is to be tried: where it lies, and when."""

    __slots__ = ("_desk", "at_ms", "attempt", "begun_ms", "is_interrupted", "is_live", "key", "partition", "postback_id", "tries")

    def __init__(self, desk: "Desk", key: bytes, postback_id: str, at_ms: int, partition: int) -> None:
        self._desk, self.key, self.postback_id, self.at_ms, self.partition = desk, key, postback_id, at_ms, partition
        self.is_live = True
        self.is_interrupted = False
        self.attempt, self.tries, self.begun_ms = 1, 1, 0

    def request(self) -> bytes | None:
        """The request's record; None when the partition is not ours any more."""
        return self._desk.request(self)


class Desk:
    """The follower of one partition (`streams/runtime/task.py`)."""

    def __init__(self, partition: int, sender: "Sender") -> None:
        self.partition = partition
        self.failing_since: dict[str, int] = {}
        self._sender = sender
        self._session = uuid.uuid4().hex.encode()
        self._store: Store | None = None
        self._is_awake = False
        self._known: dict[bytes, Ticket] = {}
        self._count: Counter[str] = Counter()
        self._has_more: set[str] = set()

    def opened(self, store: Store) -> None:
        """Say hello."""
        self._store = store
        if not self._sender.is_stopping:
            self._sender.say(self.partition, {"type": "hello", "by": self._session.decode(), "at": self._sender.instance})

    def kept(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Follow what was committed."""
        if self._sender.is_stopping:
            return
        if not self._is_awake:
            if changes.get(HELLO + self._sender.instance.encode()) == self._session:
                self._awake()
            return
        for key, value in changes.items():
            if key.startswith(b"q:"):
                if value is None:
                    self._drop(key)
                else:
                    self._add(key)
            elif key.startswith(b"f:"):
                self._fails(key, value)
        for destination_id in [name for name in self._has_more if self._count[name] < TICKETS // 2]:
            self._fill(destination_id)

    def closed(self) -> None:
        """Nothing more of this partition begins."""
        self._store, self._is_awake = None, False
        for ticket in self._known.values():
            ticket.is_live = False
        self._known.clear()
        self._sender.forget(self)

    def request(self, ticket: Ticket) -> bytes | None:
        """The request of a ticket, None when it is not to be sent any more."""
        return self._store.get(ticket.key) if self._store is not None and ticket.is_live else None

    def _awake(self) -> None:
        assert self._store is not None
        self._is_awake = True
        begin = b"q:"
        while found := self._store.scan(b"q:", begin, 1):
            destination_id = due_of(found[0])[0]
            self._fill(destination_id)
            begin = b"q:%b\x01" % destination_id.encode()
        for key in self._store.scan(b"f:", b"f:", 10_000):
            self._fails(key, self._store.get(key))

    def _fill(self, destination_id: str) -> None:
        """Take the next tickets of a destination out of the store."""
        assert self._store is not None
        prefix = b"q:%b\x00" % destination_id.encode()
        self._has_more.discard(destination_id)
        for key in self._store.scan(prefix, prefix, 2 * TICKETS):
            self._add(key)

    def _add(self, key: bytes) -> None:
        if key in self._known or self._store is None:
            return
        destination_id, due_ms, postback_id = due_of(key)
        if self._count[destination_id] >= TICKETS:
            self._has_more.add(destination_id)
            return
        sent = orjson.loads(self._store.get(sent_key(postback_id)) or b"{}")
        ticket = Ticket(self, key, postback_id, due_ms, self.partition)
        ticket.attempt, ticket.tries = sent["a"] + 1, sent["a"] + 1 - sent.get("r", 0)
        if sent.get("b", 0) > sent["a"]:
            ticket.is_interrupted, ticket.begun_ms = True, sent["m"]
            ticket.at_ms = sent["m"] + self._sender.longest_try_ms(destination_id) + GRACE_MS
        self._known[key] = ticket
        self._count[destination_id] += 1
        self._sender.lane(destination_id).push(ticket)

    def _drop(self, key: bytes) -> None:
        ticket = self._known.pop(key, None)
        if ticket is not None:
            ticket.is_live = False
            self._count[due_of(key)[0]] -= 1

    def _fails(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.failing_since.pop(key[2:].decode(), None)
        else:
            self.failing_since[key[2:].decode()] = int(value)
