"""What is left of a record when a person is forgotten: the verdict, the sums and the ids of ours; nothing that a sender or a browser wrote freely.

A record that is about them loses all of its free text, not only the word that was looked for: beside an address stand a name, a street, an IP.
What stays distinct but named them (an order number that is an address) becomes a pseudonym, the same one everywhere, so counts and joins stand.
The SQL of the same rules, for rows whose records the log has dropped, is in `console/erasure/rows.py`; no test compares the two yet.

State: a home keeps its claims, so a retry is a duplicate as ever; its open payloads are decided for good, as they cannot be judged again without
what they said. A postback that still waited is not sent. A home or a click whose *key* names the person is forgotten whole.
"""

import struct
from typing import Any

import orjson

from schemas import reasons
from streams.person import Person

LENGTH = struct.Struct(">I")
EVIDENCE = {"erased": True}
ERASED = "erased"  # header of a record that took another one's place
FREE_OF_VISIT = ("user_agent", "language", "ip", "referrer", "url")
FREE_OF_ENTRY = ("b", "z", "f", "g", "j")
OPEN_STATES = ("waiting", "held")
NOT_SENT = "not_sent"

Json = dict[str, Any]


def scrub(value: Any, who: Person) -> Any:
    """The JSON with the pseudonym wherever the person is named."""
    if isinstance(value, str):
        return who.scrubbed(value) if value and who.is_in(value) else value
    if isinstance(value, dict):
        return {scrub(name, who): scrub(inner, who) for name, inner in value.items()}
    if isinstance(value, list):
        return [scrub(inner, who) for inner in value]
    return value


def row(value: Json, who: Person) -> Json:
    """A row of the event log."""
    kept = {name: inner for name, inner in value.items() if name not in ("payload", "payload_b64")}
    kept |= {
        "payload": "", "payload_sha256": "", "parameters": {}, "trace": [], "evidence": EVIDENCE,
        "message": reasons.message(value["reason"], None),
    }  # fmt: skip
    return scrub(kept, who)  # type: ignore[no-any-return]


def visit(value: Json, who: Person) -> Json:
    """A visit. `erased` tells the attribution that it has had this one."""
    kept = value | dict.fromkeys(FREE_OF_VISIT) | {"parameters": {}, "identifiers": [], "erased": True}
    kept.pop("owner", None)
    return scrub(kept, who)  # type: ignore[no-any-return]


def attempt(value: Json, who: Person) -> Json:
    """A try at a postback."""
    kept = value | {"postback_url": "", "request": "", "response": None, "error_message": None, "next_attempt_ms": None}
    if value["state"] in OPEN_STATES:
        kept["state"] = NOT_SENT
    return scrub(kept, who)  # type: ignore[no-any-return]


def home(value: bytes, events: set[str], who: Person) -> bytes:
    """A home of the ledger's state without what was said by these events (home.py has its form)."""
    line, _, rest = value.partition(b"\n")
    entries, frames, at = orjson.loads(line), b"", 0
    for place, entry in enumerate(entries):
        begin = at
        if entry.get("b"):
            at += LENGTH.size + LENGTH.unpack_from(rest, at)[0]
        if entry["id"] in events:
            kept = {name: inner for name, inner in entry.items() if name not in FREE_OF_ENTRY}
            if isinstance(answer := entry.get("a"), dict) and "click" in answer:
                kept["a"] = answer | {"click": {name: inner for name, inner in answer["click"].items() if name not in ("d", "o")}}
            entries[place] = scrub(kept, who)
        else:
            frames += rest[begin:at]
    packed = orjson.dumps(entries)
    return b"%b\n%b" % (packed, frames) if frames else packed


def identifier(value: bytes, clicks: set[str], events: set[str], who: Person) -> bytes:
    """An identifier of the attribution's state: its clicks stay without their details, what waits for these events goes."""
    entry = orjson.loads(value)

    def names(each: Json) -> bool:
        return who.is_in(orjson.dumps(each).decode())

    entry["c"] = [
        scrub({name: inner for name, inner in click.items() if name not in ("d", "o")}, who)
        if click["id"] in clicks or names(click)
        else click
        for click in entry["c"]
    ]
    entry["w"] = [watch for watch in entry["w"] if watch["e"] not in events and not names(watch)]
    return orjson.dumps(entry)


def not_sent(value: bytes) -> bytes:
    """A postback of the send ledger that will not be sent."""
    sent = orjson.loads(value)
    sent.pop("q", None)
    return orjson.dumps(sent | {"st": NOT_SENT})
