"""Collect: a visit becomes a click at the home of its click id, which passes it on to its e-mail, phone and other identifiers.

Two hops, because an identifier must find the *click*, with its time and campaign, not the form that was filled in later: a window that
began with the form would be too long, and a form behind the conversion would hide the click before it (rule 8). Stateless. A visit
without a click id (a tag without AutoTag) is found under its visit id: an ok row always has a click id (rule 11).
"""

from collections.abc import Sequence
from typing import Any

import orjson

from streams.lookups import CLICK_ID, identifier_key
from streams.partition import partition_of
from streams.stage import Outputs, RecordLike
from streams.topology import LOOKUPS

DETAILS = (("i", "ip"), ("a", "user_agent"), ("k", "country"), ("l", "lander_id"), ("f", "offer_id"), ("u", "url"))
LONGEST_DETAIL, MOST_DETAIL_BYTES = 500, 2_000  # of one; of all parameters


def collect(records: Sequence[RecordLike], partitions: int, out: Outputs) -> None:
    """Send each visit to the home of its click id."""
    topic, send, loads, dumps = LOOKUPS.name, out.send, orjson.loads, orjson.dumps  # localised: 60,000 visits/s pass here
    for record in records:
        if record.value is None:  # one was erased
            continue
        visit = loads(record.value)
        if "erased" in visit:  # what is left of one that came before
            continue
        click_id = visit["click_id"] or visit["visit_id"]
        click = {"id": click_id, "t": visit["occurred_ms"], "p": visit["property_id"]}
        if visit.get("campaign_id"):
            click["c"] = visit["campaign_id"]
        if visit.get("traffic_source_id"):
            click["s"] = visit["traffic_source_id"]
        if visit.get("owner"):
            click["o"] = visit["owner"]
        if details := _details(visit):
            click["d"] = details
        message = {"click": click}
        if visit["identifiers"]:
            message["ids"] = visit["identifiers"]
        to = identifier_key(visit["account_id"], CLICK_ID, click_id)
        send(topic, partition_of(to, partitions), to, dumps(message))


def _details(visit: dict[str, Any]) -> dict[str, Any]:
    """What a postback may tell of the click (lookups.py): kept small, for it lies under each of the click's identifiers."""
    found: dict[str, Any] = {short: visit[name] for short, name in DETAILS if visit.get(name) and len(visit[name]) <= LONGEST_DETAIL}
    if passed := visit.get("parameters"):
        kept: dict[str, str] = {}
        room = MOST_DETAIL_BYTES
        for name, value in passed.items():
            room -= len(name) + len(value)
            if room < 0:
                break
            kept[name] = value
        if kept:
            found["q"] = kept
    return found
