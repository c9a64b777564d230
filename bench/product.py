"""The product's own input for measurements: one property, one source whose mapping fits the reference payloads, clicks as visits.

The payloads are those of the reference workload, byte for byte, with the headers that ingest writes and on the partition that ingest would
choose (their home); each click is a visit with its e-mail hashed. Records carry the time that is in them, so that clicks lie 2 to 3 hours
before conversions.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from bench.workload import Row, Size, clicks, conversions
from schemas import event
from streams.identifiers import key as identifier_key
from streams.ingest.record import Record
from streams.parse import Parser
from streams.partition import partition_of
from streams.runtime import topics
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Change, SettingsStore
from streams.topology import PAYLOADS, VISITS
from streams.workspace import Workspace

PII_KEY = "bench"
SOURCE = "network"
MAPPING = {"click_id": ["cid"], "events": ["Purchase", "Lead"]}
CHANGES = (
    Change("property", "shop", {"id": "shop", "name": "Shop"}),
    Change("source", SOURCE, {"id": SOURCE, "name": "Network", "kind": "postback", "property_id": "shop", "mapping": MAPPING}),
)


async def set_up(settings: Settings) -> Workspace:
    """Create the topics, write the workspace, return it as every role will see it."""
    await topics.create_missing(settings)
    workspace = Workspace()
    feed = SettingsFeed(settings, workspace)
    await feed.start()
    await SettingsStore(settings, feed).apply(CHANGES, "bench", "load")
    await feed.stop()
    return workspace


def visits(size: Size) -> Iterator[Record]:
    """Yield the clicks as records of visits.v1."""
    nothing = dict.fromkeys(("lander_id", "offer_id", "device_type", "browser", "os", "country", "referrer", "url", "traffic_source_id"))
    for number, click in enumerate(clicks(size.click_count)):
        email = identifier_key("email", click["email"], PII_KEY.encode()) if "email" in click else None
        at_ms = click["ts"] * 1000
        visit = {
            "visit_id": f"v{number}", "kind": "click", "account_id": "default", "property_id": "shop", "click_id": click["click_id"],
            "occurred_ms": at_ms, "received_ms": at_ms, "identifiers": [["email", email]] if email else [],
            "campaign_id": click["campaign"], "ip": click["ip"], "parameters": {}, **nothing,
        }  # fmt: skip
        yield Record(VISITS.name, click["click_id"].encode(), orjson.dumps(visit), at_ms, [])


def payloads(size: Size, workspace: Workspace) -> Iterator[Record]:
    """Yield the conversions as records of payloads.v1."""
    rules = workspace.source(SOURCE, workspace.version)
    assert rules is not None
    route = Parser(workspace, PII_KEY.encode(), 1).route
    headers = [
        (event.SOURCE, SOURCE.encode()), (event.SETTINGS_VERSION, b"%d" % workspace.version), (event.RECEIPT, b"0" * 26),
        (event.METHOD, b"POST"), (event.SENDER_IP, b"192.0.2.1"), (event.CONTENT_TYPE, b"application/json"), (event.USER_AGENT, b"bench/1"),
    ]  # fmt: skip
    for row in conversions(size.conversion_count, size.click_count):
        value = orjson.dumps(row)
        yield Record(PAYLOADS.name, route(rules, value, headers).encode(), value, row["ts"] * 1000, headers)


def produce(bootstrap: str, records: Iterable[Record], partitions: int) -> int:
    """Write records in order, each to the partition of its key; returns how many."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "batch.num.messages": 20_000, "max.in.flight": 1, "acks": "all"})
    count = 0
    for record in records:
        while True:
            try:
                producer.produce(
                    record.topic, record.value, record.key, partition_of(record.key, partitions), timestamp=record.timestamp_ms, headers=record.headers
                )  # fmt: skip
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
    if producer.flush(60):
        raise RuntimeError("not everything was written within 60 s")
    return count


def expected(rows: Iterable[Row], known: Mapping[str, Row]) -> Counter[str]:
    """Judge in a plain loop, independent of the stages: status/reason/match of each payload's last revision.

    In the product a payload is a duplicate only of a *recorded* conversion of the same transaction and name, and only what passed status
    and name is asked for its click: so the shares differ from those of the reference workload.
    """
    recorded: set[tuple[str, str]] = set()
    counts: Counter[str] = Counter()
    for row in rows:
        identity = (row["transaction_id"], row["event"])
        if row["status"] != "approved":
            counts["discarded/wrong_status/"] += 1
        elif row["event"] == "AddToCart":
            counts["discarded/filtered_event/"] += 1
        elif identity in recorded:
            counts["deduplicated/duplicate/"] += 1
        else:
            kind = "click_id" if "cid" in row else "email" if "email" in row else None
            found = kind is not None and _key(row, kind) in known
            if found:
                recorded.add(identity)
                counts[f"ok/recorded/{kind}"] += 1
            else:
                reason = {"click_id": "unknown_click_id", "email": "cant_find_refid", None: "no_click_id"}[kind]
                counts[f"error/{reason}/"] += 1
    return counts


def _key(row: Row, kind: str) -> str:
    return "c:" + row["cid"] if kind == "click_id" else "e:" + row["email"]


def counted(rows: Iterable[dict[str, Any]]) -> tuple[Counter[str], int, int]:
    """(status/reason/match of each event's highest revision, first revisions, events that came more than once in one revision)."""
    current: dict[str, tuple[int, str]] = {}
    firsts = 0
    seen: set[tuple[str, int]] = set()
    twice = 0
    for row in rows:
        event_id, revision = row["event_id"], row["revision"]
        twice += (event_id, revision) in seen
        seen.add((event_id, revision))
        firsts += revision == 1
        if revision >= current.get(event_id, (0, ""))[0]:
            current[event_id] = revision, f"{row['status']}/{row['reason']}/{row['match_kind'] or ''}"
    return Counter(verdict for _, verdict in current.values()), firsts, twice
