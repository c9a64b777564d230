"""What travels between ledger and attribution: clicks by identifier, probes, answers. All JSON with short keys: each hop is paid for.

A **click** (in lookups.v1, keyed by identifier) carries its summary, so that a hit needs no second look-up:
    {"click": {id, t, p, c?, s?, o?, d?}, "ids"?}  id click id · t occurred_ms · p property · c campaign · s traffic source ·
                                           o identifiers of the member whose link it is · ids, only at the home of a click id: further identifiers to pass it on to
                                           d what a postback may tell: i ip · a user agent · k country · l lander · f offer · u url · q parameters
A **probe** (same topic, same key) asks for the best click, and travels on along its list of identifiers until one has it:
    {"e", "h", "at", "t", "p", "w", "m", "q": [[kind, key], …], "n", "tried": [[kind, sub_reason, detail], …], "l"?, "traceparent"?}
        e event id · h home · at the partition of that home · t event_ms · p property · w window ms or null · m model · n which of q ·
        l how many conversions of a day its click may have
An **answer** (in matches.v1, on partition `at`, keyed by home):
    {"e", "h", "n", "m" match kind, "model", "click"?, "over"?, "losers"?, "tried", "traceparent"?}       without "click" it is a miss; over: the limit was reached
"""

from typing import Any

import orjson

from schemas.event import Event, Identifier
from streams.partition import partition_of
from streams.stage import Outputs
from streams.topology import LOOKUPS
from streams.workspace import Policy

Probe = dict[str, Any]
Answer = dict[str, Any]

CLICK_ID, IP = "click_id", "ip"


def identifier_key(account_id: str, kind: str, key: str) -> bytes:
    """The key of lookups.v1. The property is not in it: `other_property` must be found to be said."""
    return f"{account_id}|{kind}|{key}".encode()


def identifiers_of(event: Event, policy: Policy, ip_key: str | None) -> list[Identifier]:
    """By what the click of an event is looked for, in order (rule 7): the click id; else e-mail, phone, external ids; else the IP."""
    if event["click_id"] is not None:
        first: list[Identifier] = [(CLICK_ID, event["click_id"])]
        return first + event["refs"] if policy.fallback_to_refs_on_unknown_click else first
    if event["refs"]:
        return event["refs"]
    if policy.ip_matching and ip_key is not None:
        return [(IP, ip_key)]
    return []


def probe(event: Event, policy: Policy, home: str, at: int, identifiers: list[Identifier]) -> Probe:
    """The question for the best click of an event, to be sent to its first identifier. `at` is where its home is *now*: a home that moved
    when partitions were added (rehoming.py) holds events whose payloads lie elsewhere.
    """
    return {
        "e": event["event_id"], "h": home, "at": at, "t": event["event_ms"], "p": event["property_id"],
        "w": policy.window_ms, "m": policy.model, "a": event["account_id"], "q": identifiers, "n": 0, "tried": [],
    }  # fmt: skip


def send_probe(question: Probe, partitions: int, out: Outputs) -> None:
    """Send a probe to the home of the identifier that it is at."""
    kind, key = question["q"][question["n"]]
    to = identifier_key(question["a"], kind, key)
    out.send(LOOKUPS.name, partition_of(to, partitions), to, orjson.dumps(question))
