"""The reference workload as two roles on our runtime, as plain as a stage can be: what is measured is the runtime, not the rules.

    pf-raw ──> dedup ──> log (repeats, discards, no identity), lookups (probes)
    pf-clicks ──> collect ──> lookups (clicks, by click id and by e-mail) ──> attribute ──> log (found or not)

As in the product, dedup lives where the transaction id lives, attribution where the click id or the e-mail lives; both are durable
state with a changelog, and the way between them is a Kafka topic.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from streams.partition import partition_of
from streams.stage import Outputs, RecordLike, State
from streams.topology import Role, Topic

STATUSES = {"approved": "conversion"}
EVENTS = {"Purchase": "sale", "Lead": "lead"}
CLICK, PROBE = b"C", b"P"  # first byte of a record in `lookups`

Count = Callable[[int], None]


class Roles:
    """The topics and the two roles of one run."""

    def __init__(self, app_id: str, raw: str, clicks: str, log: str) -> None:
        self.lookups = Topic(f"{app_id}-lookups", "clicks and probes, by what they may be found by")
        self.seen = Topic(f"{app_id}-seen", "changelog of dedup", is_compacted=True)
        self.index = Topic(f"{app_id}-index", "changelog of the click index", is_compacted=True)
        inputs, output = (Topic(raw, ""), Topic(clicks, "")), Topic(log, "")
        self.dedup = Role("dedup", "", (inputs[0],), (output, self.lookups), self.seen)
        self.attribution = Role("attribution", "", (inputs[1], self.lookups), (self.lookups, output), self.index)
        self.made = (self.lookups, self.seen, self.index)


class Dedup:
    """First of its transaction id? Wanted at all? Then ask for its click. `log_rows` is told how many log records each chunk gave."""

    def __init__(self, log: str, lookups: str, partitions: int, log_rows: Count) -> None:
        self._log, self._lookups, self._partitions, self._log_rows = log, lookups, partitions, log_rows

    def __call__(self, records: Sequence[RecordLike], state: State, out: Outputs) -> None:
        """Judge a chunk."""
        loads, dumps, get, put, send = orjson.loads, orjson.dumps, state.get, state.put, out.send
        log, lookups, partitions = self._log, self._lookups, self._partitions
        probes = 0
        for record in records:
            payload = loads(record.value or b"")
            offset, key, partition = record.offset, record.key or b"", record.partition
            row = {
                "status": None, "reason": None, "transaction_id": payload["transaction_id"], "click_id": None, "campaign": None,
                "amount": payload["amount"], "lineage": {"topic": record.topic, "partition": partition, "offset": offset},
            }  # fmt: skip
            first = get(key)
            if first is not None:
                row["status"], row["reason"], row["duplicate_of"] = "DEDUPLICATED", "duplicate", int(first)
            else:
                put(key, b"%d" % offset)
                lookup = classify(payload, row)
                if lookup is not None:
                    probes += 1
                    home = lookup.encode()
                    send(lookups, partition_of(home, partitions), home, PROBE + dumps(row))
                    continue
            send(log, partition, key, dumps(row))
        self._log_rows(len(records) - probes)


def classify(payload: dict[str, Any], row: dict[str, Any]) -> str | None:
    """Give the row its verdict, or return the key of the click to look for."""
    if payload["status"] not in STATUSES:
        row["status"], row["reason"] = "DISCARDED", "status:" + payload["status"]
    elif payload["event"] not in EVENTS:
        row["status"], row["reason"] = "DISCARDED", "event:" + payload["event"]
    elif "cid" in payload:
        return "c:" + payload["cid"]  # type: ignore[no-any-return]
    elif "email" in payload:
        return "e:" + payload["email"]  # type: ignore[no-any-return]
    else:
        row["status"], row["reason"] = "ERROR", "no_identity"
    return None


class Attribution:
    """Keeps clicks under what they may be found by, answers probes. `indexed` is told how many keys each chunk brought."""

    def __init__(self, clicks: str, lookups: str, log: str, partitions: int, indexed: Count, log_rows: Count) -> None:
        self._clicks, self._lookups, self._log, self._partitions = clicks, lookups, log, partitions
        self._indexed, self._log_rows = indexed, log_rows

    def __call__(self, records: Sequence[RecordLike], state: State, out: Outputs) -> None:
        """Work on a chunk: of clicks (send each to its homes), or of lookups."""
        if records and records[0].topic == self._clicks:
            self._collect(records, out)
        else:
            self._attribute(records, state, out)

    def _collect(self, records: Sequence[RecordLike], out: Outputs) -> None:
        for record in records:
            click = orjson.loads(record.value or b"")
            value = CLICK + orjson.dumps({"click_id": click["click_id"], "campaign": click["campaign"]})
            keys = ["c:" + click["click_id"]] + (["e:" + click["email"]] if "email" in click else [])
            for home in [key.encode() for key in keys]:
                out.send(self._lookups, partition_of(home, self._partitions), home, value)

    def _attribute(self, records: Sequence[RecordLike], state: State, out: Outputs) -> None:
        loads, dumps, get, send, log = orjson.loads, orjson.dumps, state.get, out.send, self._log
        clicks = 0
        for record in records:
            key, value = record.key or b"", record.value or b""
            if value[0] == CLICK[0]:
                clicks += 1
                state.put(key, value[1:])
                continue
            row = loads(value[1:])
            found = get(key)
            if found is None:
                row["status"], row["reason"] = "ERROR", "unknown_click"
            else:
                row["status"], row["reason"] = "OK", "cid" if key[0] == ord("c") else "email"
                row.update(loads(found))
            send(log, row["lineage"]["partition"], row["transaction_id"].encode(), dumps(row))
        if clicks:
            self._indexed(clicks)
        self._log_rows(len(records) - clicks)
