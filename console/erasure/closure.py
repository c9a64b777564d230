"""Clicks, events and postbacks of a person by their ids, and what has to become of a record that is theirs.

A click whose link belongs to a member, or under which somebody else's identifier of the same kind was seen, is not followed: it is many
people's. Under an IP address nothing is followed, for the same reason.
"""

from collections.abc import Callable
from typing import Any

import orjson

from schemas.identity import event_id
from streams import redaction
from streams.person import Person
from streams.topology import ATTEMPTS, ATTRIBUTION_STATE, DELIVERY_STATE, EVENTS, LEDGER_STATE, PAYLOADS, POSTBACKS, VISITS

FOLLOWED = ("email", "phone", "external_id")
SAME = b"\x00same"  # answer of a rule: the record is not the person's, or nothing of it has to go
QUEUED = (b"q:", b"w:")  # keys of requests that are to be sent

Rule = Callable[[Any], bytes | None]
"""Record -> what must stand in its place: None a tombstone, SAME nothing."""


class Closure:
    """Clicks, events and postbacks of a person, by id."""

    def __init__(self, who: Person, epoch: int) -> None:
        self.who = who
        self.epoch = epoch
        self.clicks: set[str] = set()
        self.events: set[str] = set()
        self.cancelled: set[str] = set()  # postbacks that wait
        self._shared: set[str] = set()

    def visit(self, seen: dict[str, Any]) -> None:
        """Follow a visit to its click."""
        click_id = click_of(seen)
        kinds = {key: kind for kind, key in seen.get("identifiers", ())}
        if self.who.kind == "click_id":
            if click_id in self.who.keys:
                self.clicks.add(click_id)
        elif self.who.kind in FOLLOWED:
            if self.who.keys & kinds.keys():
                self.clicks.add(click_id)
            if seen.get("owner") or any(kind == self.who.kind and key not in self.who.keys for key, kind in kinds.items()):
                self._shared.add(click_id)

    def settle(self) -> None:
        """All visits were seen: leave out the clicks that are many people's."""
        self.clicks -= self._shared

    def row(self, row: dict[str, Any]) -> None:
        """Add the event of a row."""
        if row.get("click_id") in self.clicks or self.who.is_in(orjson.dumps(row).decode()):
            self.events.add(row["event_id"])

    def payload(self, record: Any) -> None:
        """Add the event of a payload whose bytes or headers name the person."""
        if record.value is not None and (
            self.who.is_in_bytes(record.value) or any(self.who.is_in_bytes(value) for _, value in record.headers)
        ):
            self.events.add(event_id(self.epoch, record.partition, record.offset))

    def queued(self, value: bytes) -> None:
        """Add a postback that waits."""
        if self._is_request(value):
            self.cancelled.add(orjson.loads(value)["postback_id"])

    def _is_request(self, value: bytes) -> bool:
        return self.who.is_in_bytes(value) or orjson.loads(value).get("event_id") in self.events

    def rule(self, topic: str) -> Rule:
        """The rule of a topic."""
        rules: dict[str, Rule] = {
            PAYLOADS.name: self._of_payload, POSTBACKS.name: self._of_request, EVENTS.name: self._of_row, VISITS.name: self._of_visit,
            ATTEMPTS.name: self._of_attempt, LEDGER_STATE.name: self._of_home, ATTRIBUTION_STATE.name: self._of_identifier,
            DELIVERY_STATE.name: self._of_delivery,
        }  # fmt: skip
        return rules.get(topic, self._of_dead_letter)

    def _of_payload(self, record: Any) -> bytes | None:
        return None if event_id(self.epoch, record.partition, record.offset) in self.events else SAME

    def _of_request(self, record: Any) -> bytes | None:
        return None if self._is_request(record.value) else SAME

    def _of_row(self, record: Any) -> bytes | None:
        return self._changed(record, redaction.row, self.events, lambda row: row["event_id"])

    def _of_visit(self, record: Any) -> bytes | None:
        return self._changed(record, redaction.visit, self.clicks, click_of)

    def _of_attempt(self, record: Any) -> bytes | None:
        return self._changed(record, redaction.attempt, self.events, lambda tried: tried["event_id"])

    def _changed(self, record: Any, redact: Callable[[Any, Person], Any], theirs: set[str], of: Callable[[Any], str]) -> bytes | None:
        value = read(record.value)
        is_named = self.who.is_in_bytes(record.value) or self.who.is_in_bytes(record.key)
        if value is None:
            return None if is_named else SAME
        if not is_named and of(value) not in theirs:
            return SAME
        left = redact(value, self.who)
        return SAME if left == value else orjson.dumps(left)

    def _of_dead_letter(self, record: Any) -> bytes | None:
        headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
        origin = headers.get("origin_partition", ""), headers.get("origin_offset", "")
        is_payload = headers.get("origin_topic") == PAYLOADS.name and f"e{self.epoch}-{'-'.join(origin)}" in self.events
        is_theirs = is_payload or self.who.is_in_bytes(record.value) or any(map(self.who.is_in, headers.values()))
        return b"" if is_theirs and redaction.ERASED not in headers else SAME

    def _of_home(self, record: Any) -> bytes | None:
        if self.who.is_in_bytes(record.key):
            return None
        if not (self.who.is_in_bytes(record.value) or not _ids(record.value).isdisjoint(self.events)):
            return SAME
        left = redaction.home(record.value, self.events, self.who)
        return SAME if left == record.value else left

    def _of_identifier(self, record: Any) -> bytes | None:
        if self.who.is_in_bytes(record.key):
            return None
        left = redaction.identifier(record.value, self.clicks, self.events, self.who)
        return SAME if orjson.loads(left) == orjson.loads(record.value) else left

    def _of_delivery(self, record: Any) -> bytes | None:
        kind, key = record.key[:2], record.key.decode("utf-8", "replace")
        if kind in QUEUED:
            return None if self._is_request(record.value) else SAME
        if kind == b"s:" and key[2:] in self.cancelled and orjson.loads(record.value)["st"] in redaction.OPEN_STATES:
            return redaction.not_sent(record.value)
        return SAME


def click_of(visit: dict[str, Any]) -> str:
    """The click of a visit, as the attribution takes it."""
    return str(visit.get("click_id") or visit["visit_id"])


def read(value: bytes | None) -> dict[str, Any] | None:
    """The JSON of a record; None for a tombstone and for what is none, which lies in a topic until somebody reads it."""
    try:
        found = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _ids(value: bytes) -> set[str]:
    return {entry["id"] for entry in orjson.loads(value.partition(b"\n")[0])}
