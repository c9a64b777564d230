"""A home as it lies in state: its entries, and the payloads of those whose verdict may still change.

    h:<home>   JSON of the entries in log order (all payloads of a home are on one partition, so append order is log order), a newline, and
               then, for each entry that is open (`b`), its **frame**: length, and the record of its payload as far as parsing reads it

What is kept of an open payload is what was received, not what became of it: parsing again gives the same event, and state, changelog and
disk carry 0.4 KB instead of 1.6. It is parsed again only when its answer comes after a restart, or much later; the usual one comes half
a second later and finds the home at hand. One key, because each key more is a record in the changelog and a write in RocksDB.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable

import orjson

from schemas.event import CONTENT_TYPE, METHOD, QUERY, RECEIPT, SETTINGS_VERSION, SOURCE, TRACEPARENT, Event
from streams import finality, restate
from streams.dedup import Entry, Verdict
from streams.stage import Record, RecordLike, State
from streams.topology import PAYLOADS

AT_HAND = 4_000  # homes of a partition; 5 KB each. At 70,000 payloads/s some 8,000 are out at a time, over all partitions
PARSED = frozenset((SOURCE, SETTINGS_VERSION, CONTENT_TYPE, METHOD, QUERY, RECEIPT, TRACEPARENT))  # headers that parsing reads
_LENGTH = struct.Struct(">I")

Held = tuple[Event, bytes]
"""An event without its heavy fields, and its **body**: the JSON of these (parameters and payload), which no rule reads, without its
opening brace."""

Parse = Callable[[RecordLike], Event]
Kept = tuple[bytes, list[Entry], dict[str, Held], dict[str, bytes]]
"""A home's bytes in state, and what they say: entries, events by id, frames by id."""


def split(event: Event) -> Held:
    """Take parameters and payload out of an event, as the body of its row."""
    heavy = {name: event.pop(name) for name in ("parameters", "payload", "payload_b64") if name in event}  # type: ignore[misc]
    return event, orjson.dumps(heavy)[1:]


def framed(record: RecordLike) -> bytes:
    """The record of a payload as it is kept: time and headers as JSON, a newline, the value."""
    headers = [(name, value.decode("latin-1")) for name, value in record.headers if name in PARSED]
    return b"%b\n%b" % (orjson.dumps((record.timestamp, headers)), record.value or b"")


def unframed(frame: bytes, event_id: str) -> Record:
    """The record of a frame; where it stood in the log is in the id of its event (e<epoch>-<partition>-<offset>)."""
    line, _, value = frame.partition(b"\n")
    timestamp, headers = orjson.loads(line)
    _, partition, offset = event_id.split("-")
    return Record(
        PAYLOADS.name, int(partition), int(offset), timestamp, None, value, [(name, text.encode("latin-1")) for name, text in headers]
    )


class Home:
    """One home, for the time that one record is judged."""

    __slots__ = ("_events", "_frames", "_held", "_key", "_parse", "_state", "entries", "name")

    def __init__(self, name: str, state: State, parse: Parse, key: bytes, recent: Kept | None) -> None:
        self.name = name
        self._state = state
        self._parse = parse
        self._key = key
        self._held: bytes | None = None
        self.entries: list[Entry] = []
        self._events: dict[str, Held] = {}
        self._frames: dict[str, bytes] = {}
        if recent is not None:
            self._held, self.entries, self._events, self._frames = recent

    def add(self, entry: Entry, held: Held, record: RecordLike) -> None:
        """Put a new payload behind the others."""
        self.entries.append(entry)
        self._events[entry["id"]] = held
        self._frames[entry["id"]] = framed(record)

    def event(self, entry: Entry) -> Held:
        """The event of an entry that is new or open."""
        event_id = entry["id"]
        held = self._events.get(event_id)
        if held is None:
            held = self._events[event_id] = split(self._parse(unframed(self._frames[event_id], event_id)))
        return held

    def keep(self, verdicts: list[Verdict]) -> Kept | None:
        """Keep an open home with its open payloads, a final one as its claims; write only what differs from what is held.

        Returns an open home as it lies in state now.
        """
        entries = self.entries
        finals = finality.final(entries, verdicts)
        is_final_all = all(finals)
        if len(entries) > 1:
            restate.absorb(entries, verdicts, finals)
        if is_final_all:
            kept = finality.claims(entries, verdicts)
        else:
            kept = finality.bounded(entries, verdicts, finals)
            for entry, is_final in zip(entries, finals, strict=True):
                if is_final and "z" not in entry:
                    entry.pop("b", None)
                elif entry["id"] in self._frames:  # else it was erased
                    entry["b"] = 1
        now = self._packed(kept) if kept else None
        if now is None:
            if self._held is not None:
                self._state.delete(self._key)
        elif now != self._held:
            self._state.put(self._key, now)
        return None if now is None or is_final_all else (now, kept, self._events, self._frames)

    def _packed(self, kept: list[Entry]) -> bytes:
        frames: list[bytes] = []
        for entry in kept:
            if "b" in entry:
                frame = self._frames[entry["id"]]
                frames += (_LENGTH.pack(len(frame)), frame)
        return b"%b\n%b" % (orjson.dumps(kept), b"".join(frames)) if frames else orjson.dumps(kept)


def _unpacked(held: bytes) -> Kept:
    line, _, rest = held.partition(b"\n")
    entries: list[Entry] = orjson.loads(line)
    frames: dict[str, bytes] = {}
    at = 0
    for entry in entries:
        if entry.get("b"):
            begin = at + _LENGTH.size
            at = begin + _LENGTH.unpack_from(rest, at)[0]
            frames[entry["id"]] = rest[begin:at]
    return held, entries, {}, frames


class Homes:
    """The homes of a partition. Those that are out for attribution stay decoded at hand: the answer comes half a second later.

    What is at hand is used only if its bytes are those in state, and is let go of while it is worked on: a chunk that is dropped and judged
    again finds the truth. Decoding a home and parsing its payload costs 15 us, comparing 0.1.
    """

    __slots__ = ("_parse", "_recent")

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._recent: OrderedDict[str, Kept] = OrderedDict()  # a dict walks over all that was deleted to find its oldest

    def open(self, name: str, state: State) -> Home:
        """The home of this name, empty if there is none."""
        key = b"h:" + name.encode()
        held = state.get(key)
        recent = self._recent.pop(name, None)
        if held is None:
            recent = None
        elif recent is None or recent[0] != held:
            recent = _unpacked(held)
        return Home(name, state, self._parse, key, recent)

    def close(self, home: Home, verdicts: list[Verdict]) -> None:
        """Keep a home."""
        kept = home.keep(verdicts)
        if kept is not None:
            if len(self._recent) >= AT_HAND:
                self._recent.popitem(last=False)
            self._recent[home.name] = kept
