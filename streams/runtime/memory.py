"""The topology on lists: the same stages without Kafka, clocks or processes. For tests, documentation and what-if questions.

Records go in by `payload` and `visit`; `run` moves everything until nothing moves any more, one partition's chunk at a time. `schedule`
chooses which waiting (topic, partition) goes next and how many of its records, so that a test can try every interleaving that the real
runtime could show: between topics and partitions any order is possible, within a partition only log order.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from schemas.event import SETTINGS_VERSION, SOURCE
from streams.attribution import Attribution
from streams.ledger import Ledger
from streams.parse import Parser
from streams.partition import partition_of
from streams.stage import Outputs, Record, RecordLike, Stage
from streams.topology import ATTRIBUTION, EVENTS, LEDGER, PAYLOADS, POSTBACKS, VISITS
from streams.workspace import Workspace

Waiting = tuple[str, int]
Schedule = Callable[[list[Waiting]], tuple[Waiting, int]]


def first_come(waiting: list[Waiting]) -> tuple[Waiting, int]:
    """The plain schedule: whole chunks, topics in the order in which they came to have records."""
    return waiting[0], 1_000_000


class MemoryState(dict[bytes, bytes]):
    """A partition's state as a plain dict."""

    def put(self, key: bytes, value: bytes) -> None:
        """Write a value."""
        self[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self.pop(key, None)


class Memory:
    """Ledger and attribution over lists."""

    def __init__(self, workspace: Workspace, *, partitions: int = 4, pii_key: bytes = b"memory", epoch: int = 1) -> None:
        """`workspace` as it is: payloads are judged with its current version unless they name another."""
        self.workspace = workspace
        self.partitions = partitions
        self.parser = Parser(workspace, pii_key, epoch)
        self._stages: dict[str, Stage] = {
            LEDGER.name: Ledger(self.parser, workspace, partitions, pii_key),
            ATTRIBUTION.name: Attribution(partitions),
        }
        self._role_of = {topic.name: role.name for role in (LEDGER, ATTRIBUTION) for topic in role.inputs}
        self.states: dict[tuple[str, int], MemoryState] = {}
        self.log: dict[Waiting, list[RecordLike]] = {}
        self._read: dict[Waiting, int] = {}

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Any = (), timestamp: int = 0) -> Record:
        """Append a record to a topic."""
        records = self.log.setdefault((topic, partition), [])
        record = Record(topic, partition, len(records), timestamp, key, value, headers)
        records.append(record)
        return record

    def payload(self, source_id: str, value: bytes, *, received_ms: int, headers: Mapping[str, str] | None = None) -> Record:
        """Receive a payload as ingest would."""
        named = {SOURCE: source_id, SETTINGS_VERSION: str(self.workspace.version), **(headers or {})}
        packed = [(name, text.encode()) for name, text in named.items()]
        rules = self.workspace.source(source_id, int(named[SETTINGS_VERSION]))
        home = (self.parser.route(rules, value, packed) if rules else source_id).encode()
        return self.append(PAYLOADS.name, partition_of(home, self.partitions), home, value, packed, received_ms)

    def visit(self, visit: Mapping[str, Any]) -> Record:
        """Receive a visit (schemas.event.Visit) as ingest would."""
        key = (visit["click_id"] or visit["visit_id"]).encode()
        return self.append(VISITS.name, partition_of(key, self.partitions), key, orjson.dumps(dict(visit)), (), visit["received_ms"])

    def waiting(self) -> list[Waiting]:
        """The (topic, partition)s with records that were not read."""
        return [at for at, records in self.log.items() if at[0] in self._role_of and self._read.get(at, 0) < len(records)]

    def run(self, schedule: Schedule = first_come) -> None:
        """Read, judge and append until nothing waits."""
        while waiting := self.waiting():
            at, count = schedule(waiting)
            self.step(at, count)

    def step(self, at: Waiting, count: int) -> None:
        """Judge the next records of one partition."""
        begin = self._read.get(at, 0)
        records = self.log[at][begin : begin + count]
        role = self._role_of[at[0]]
        out = Outputs()
        self._stages[role](records, self.states.setdefault((role, at[1]), MemoryState()), out)
        self._read[at] = begin + len(records)
        for topic, partition, key, value, headers in out:
            self.append(topic, partition, key, value, headers, records[-1].timestamp)

    def rows(self) -> list[dict[str, Any]]:
        """Every verdict ever given, per partition in order."""
        return [orjson.loads(r.value or b"") for (topic, _), records in self.log.items() if topic == EVENTS.name for r in records]

    def events(self) -> dict[str, dict[str, Any]]:
        """Event id -> current row."""
        return {row["event_id"]: row for row in sorted(self.rows(), key=lambda row: row["revision"])}

    def postbacks(self) -> list[dict[str, Any]]:
        """Every postback request."""
        return [orjson.loads(r.value or b"") for (topic, _), records in self.log.items() if topic == POSTBACKS.name for r in records]
