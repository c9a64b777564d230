"""Collect: a visit becomes one small record per identifier, on the partition where a conversion will look for it.

Stateless. A visit without a click id (a tag without AutoTag) is found under its visit id: an ok row always has a click id (rule 11).
"""

from collections.abc import Sequence

import orjson

from streams.lookups import CLICK_ID, identifier_key
from streams.partition import partition_of
from streams.stage import Outputs, RecordLike
from streams.topology import LOOKUPS


def collect(records: Sequence[RecordLike], partitions: int, out: Outputs) -> None:
    """Fan visits out by identifier."""
    topic, send, loads, dumps = LOOKUPS.name, out.send, orjson.loads, orjson.dumps  # localised: 60,000 visits/s pass here
    for record in records:
        visit = loads(record.value or b"")
        click_id = visit["click_id"] or visit["visit_id"]
        click = {"id": click_id, "t": visit["occurred_ms"], "p": visit["property_id"]}
        if visit.get("campaign_id"):
            click["c"] = visit["campaign_id"]
        if visit.get("traffic_source_id"):
            click["s"] = visit["traffic_source_id"]
        value = dumps({"click": click})
        account = visit["account_id"]
        for kind, key in ((CLICK_ID, click_id), *visit["identifiers"]):
            to = identifier_key(account, kind, key)
            send(topic, partition_of(to, partitions), to, value)
