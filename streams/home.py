"""A home as it lies in state: its entries, and the events of those whose verdict may still change.

    h:<home>      JSON of the entries, in log order (all payloads of a home are on one partition, so append order is log order)
    e:<event id>  the event of an open entry, in two lines: what judging needs, and the **body**, the part of its row that no rule reads
                  (parameters and payload, two thirds of it), as JSON that is spliced into the row. Gone as soon as the verdict is final.

The usual conversion writes its home and its event, and half a second later its claim: 300 bytes that stay. Splicing the body saves
parsing and writing it again when the answer comes: 6 of 27 us per conversion.
"""

from typing import cast

import orjson

from schemas.event import Event
from streams import finality, restate
from streams.dedup import Entry, Verdict
from streams.stage import State

AT_HAND = 4_000  # homes of a partition; 5 KB each. At 70,000 payloads/s some 8,000 are out at a time, over all partitions

Held = tuple[Event, bytes]
"""An event without its heavy fields, and its body."""

Kept = tuple[bytes, list[Entry], dict[str, Held]]
"""A home's bytes in state, and what they say."""


def split(event: Event) -> Held:
    """Take parameters and payload out of an event, as the body of its row."""
    heavy = {name: event.pop(name) for name in ("parameters", "payload", "payload_b64") if name in event}  # type: ignore[misc]
    return event, orjson.dumps(heavy)[1:]


class Home:
    """One home, for the time that one record is judged."""

    __slots__ = ("_events", "_held", "_state", "entries", "name")

    def __init__(self, name: str, state: State, held: bytes | None, entries: list[Entry], events: dict[str, Held]) -> None:
        self.name = name
        self.entries = entries
        self._state = state
        self._held = held
        self._events = events

    def add(self, entry: Entry, held: Held) -> None:
        """Put a new payload behind the others."""
        self.entries.append(entry)
        self._events[entry["id"]] = held

    def event(self, entry: Entry) -> Held:
        """The event of an entry that is new or open."""
        held = self._events.get(entry["id"])
        if held is None:
            facts, _, body = (self._state.get(b"e:" + entry["id"].encode()) or b"").partition(b"\n")
            held = self._events[entry["id"]] = (cast("Event", orjson.loads(facts)), body)
        return held

    def keep(self, verdicts: list[Verdict]) -> Kept | None:
        """Keep an open home with its open events, a final one as its claims; write only what differs from what is held.

        Returns an open home as it lies in state now.
        """
        entries = self.entries
        finals = finality.final(entries, verdicts)
        is_final_all = all(finals)
        if len(entries) > 1:
            restate.absorb(entries, verdicts, finals)
        kept = finality.claims(entries, verdicts) if is_final_all else finality.bounded(entries, verdicts, finals)
        open_ids = {entry["id"] for entry in kept if "b" in entry or not is_final_all}
        for entry, is_final in zip(entries, finals, strict=True):
            if entry["id"] not in open_ids or (is_final and "z" not in entry):
                if entry.pop("b", None):
                    self._state.delete(b"e:" + entry["id"].encode())
            elif "b" not in entry:
                entry["b"] = 1
                event, body = self._events[entry["id"]]
                self._state.put(b"e:" + entry["id"].encode(), orjson.dumps(event) + b"\n" + body)
        now = orjson.dumps(kept) if kept else None
        if now is None:
            if self._held is not None:
                self._state.delete(b"h:" + self.name.encode())
        elif now != self._held:
            self._state.put(b"h:" + self.name.encode(), now)
        return None if is_final_all or now is None else (now, kept, self._events)


class Homes:
    """The homes of a partition. Those that are out for attribution stay decoded at hand: the answer comes half a second later.

    What is at hand is used only if its bytes are those in state, and is let go of while it is worked on: a chunk that is dropped and judged
    again finds the truth. Decoding a home and its event costs 13 us, comparing 0.1.
    """

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        self._recent: dict[str, Kept] = {}

    def open(self, name: str, state: State) -> Home:
        """The home of this name, empty if there is none."""
        held = state.get(b"h:" + name.encode())
        recent = self._recent.pop(name, None)
        if recent is not None and recent[0] == held:
            return Home(name, state, held, recent[1], recent[2])
        return Home(name, state, held, orjson.loads(held) if held else [], {})

    def close(self, home: Home, verdicts: list[Verdict]) -> None:
        """Keep a home."""
        kept = home.keep(verdicts)
        if kept is not None:
            if len(self._recent) >= AT_HAND:
                del self._recent[next(iter(self._recent))]
            self._recent[home.name] = kept
