"""Payloads judged again, under other rules, with nothing written: the mapping tester and what-if.

The judge is the pipeline's own, on lists (`streams/runtime/memory.py`): nothing here knows a rule. What this module does is bring together what
the judge would have had: the settings with the change laid over them, the payloads as they stand in Kafka (their headers say how to read them),
the clicks by which they could be found, and earlier payloads that may be the same conversion. Which clicks those are is not guessed: the
judge is run once without any, the identifiers that it asked for are looked up in ClickHouse, and it is run again with them.

What is not there any more cannot be judged again: records that Kafka does not keep are counted as missing. A visit's row does not say who owns a
member link, so the self-referral rule finds nothing here; whoever compares sees that in the number of payloads that are not reproduced.
"""

# ruff: noqa: S608 - only columns and views of our own are pasted into SQL here; values are parameters

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from console.apply import Entities
from console.asking import Asker
from console.listing import Accounts, Question
from console.records import Place, Records
from schemas.event import SETTINGS_VERSION, SOURCE, Event, Identifier
from schemas.identity import event_id as event_id_of
from streams.runtime.memory import Memory
from streams.topology import LOOKUPS, PAYLOADS
from streams.workspace import Workspace

Tell = Callable[[int], None]
EPOCH = 1
CHUNK = 200  # records that are judged before others have their turn on the loop
AT_ONCE = 2_000  # values in one question: they travel in its address
MOST_VISITS = 50_000
LOOK_BACK_MS = 90 * 86_400_000  # of clicks before the first payload, where no window is longer
PARTITIONS = 12
ID = re.compile(rf"\be{EPOCH}-\d+-\d+\b")
VISIT_COLUMNS = (
    "visit_id, kind, account_id, property_id, click_id, toUnixTimestamp64Milli(occurred_at) AS occurred_ms, "
    "toUnixTimestamp64Milli(received_at) AS received_ms, identifiers, campaign_id, traffic_source_id, lander_id, offer_id, parameters, "
    "device_type, browser, os, is_bot, user_agent, language, ip, country, referrer, url"
)


class Given(NamedTuple):
    """One payload to be judged: `event_id` is that of the log, or of none."""

    source_id: str
    value: bytes
    received_ms: int
    headers: Mapping[str, str]
    event_id: str = ""


class Judged(NamedTuple):
    """What became of a payload: its current row, with the ids of the log in it, and what it was read as."""

    given: Given
    row: dict[str, Any]
    postbacks: list[dict[str, Any]]


def workspace_of(entities: Entities, changes: Entities | None = None) -> Workspace:
    """Return the settings with changes laid over them, all in one version. SettingsRefused for a value that is none."""
    workspace = Workspace()
    for (kind, entity_id), value in {**entities, **(changes or {})}.items():
        if kind not in {"user", "token"} and value is not None:
            workspace.apply(0, kind, entity_id, value)
    return workspace


async def judged(
    payloads: Sequence[Given], workspace: Workspace, visits: Iterable[Mapping[str, Any]], pii_key: bytes, tell: Tell | None = None
) -> tuple[list[Judged], Memory]:
    """Judge payloads in the order given, after visits. The loop has its turn between chunks; `tell` hears of every chunk of payloads."""
    memory = Memory(workspace, partitions=PARTITIONS, pii_key=pii_key, epoch=EPOCH)
    for visit in visits:
        memory.visit(visit)
    names: dict[str, Given] = {}
    for given in payloads:
        record = memory.payload(given.source_id, given.value, received_ms=given.received_ms, headers=given.headers)
        names[event_id_of(EPOCH, record.partition, record.offset)] = given
    while waiting := memory.waiting():
        memory.step(waiting[0], CHUNK)
        if tell is not None and waiting[0][0] == PAYLOADS.name:
            tell(CHUNK)
        await asyncio.sleep(0)
    ids = {mine: given.event_id or mine for mine, given in names.items()}
    sent: dict[str, list[dict[str, Any]]] = {}
    for request in memory.postbacks():
        sent.setdefault(request["event_id"], []).append(request)
    rows = memory.events()
    return [Judged(given, renamed(rows[mine], ids), sent.get(mine, [])) for mine, given in names.items() if mine in rows], memory


def renamed(row: dict[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """Return a row of the judge with the ids that its events have in the log, wherever they stand."""
    text = orjson.dumps(row).decode()
    found: dict[str, Any] = orjson.loads(ID.sub(lambda match: ids.get(match[0], match[0]), text))
    return found | {
        name: row[name] for name in ("parameters", "payload", "payload_b64", "transaction_id") if name in row
    }  # senders' words stay


def asked_for(memory: Memory) -> set[Identifier]:
    """Return the identifiers by which the judge looked for clicks."""
    found: set[Identifier] = set()
    for (topic, _), records in memory.log.items():
        if topic == LOOKUPS.name:
            for record in records:
                question = orjson.loads(record.value or b"{}")
                found.update((kind, key) for kind, key in question.get("q", []))
    return found


async def visits_of(asker: Asker, wanted: Iterable[Identifier], accounts: Accounts, first_ms: int, last_ms: int) -> list[dict[str, Any]]:
    """Return the visits that have one of the identifiers, as they were in the log, oldest first."""
    clicks = sorted({key for kind, key in wanted if kind == "click_id"})
    others = sorted({f"{kind}|{key}" for kind, key in wanted if kind != "click_id"})
    has_other = "hasAny(arrayMap(x -> concat(x.kind, '|', x.key), identifiers), {keys:Array(String)})"
    asked = [_visits("click_id IN {keys:Array(String)}", part, accounts, first_ms, last_ms) for part in _parts(clicks)]
    asked += [_visits(has_other, part, accounts, first_ms, last_ms) for part in _parts(others)]
    found = {row["visit_id"]: row for question in asked for row in await asker.rows(question)}
    return sorted((_visit(row) for row in found.values()), key=lambda row: (row["received_ms"], row["visit_id"]))


def _parts(values: list[str]) -> list[list[str]]:
    return [values[at : at + AT_ONCE] for at in range(0, len(values), AT_ONCE)]


def _visits(condition: str, keys: list[str], accounts: Accounts, first_ms: int, last_ms: int) -> Question:
    scope = "" if accounts is None else " AND account_id IN {accounts:Array(String)}"
    span = "received_at BETWEEN fromUnixTimestamp64Milli({first:Int64}, 'UTC') AND fromUnixTimestamp64Milli({last:Int64}, 'UTC')"
    sql = f"SELECT {VISIT_COLUMNS} FROM visits WHERE {span} AND {condition}{scope} ORDER BY received_at LIMIT {MOST_VISITS}"
    values: dict[str, object] = {"keys": keys, "first": first_ms, "last": last_ms} | (
        {} if accounts is None else {"accounts": list(accounts)}
    )
    return Question(sql, values)


def _visit(row: dict[str, Any]) -> dict[str, Any]:
    identifiers = [[each["kind"], each["key"]] if isinstance(each, dict) else list(each) for each in row["identifiers"]]
    return {**row, "identifiers": identifiers}


def look_back_ms(workspace: Workspace) -> int:
    """Return how long before a payload its click may lie: the longest window of any property or source."""
    policies = [each.attribution.window_days for kind in ("property", "source") for each in workspace.all(kind).values()]  # type: ignore[attr-defined]
    return max([LOOK_BACK_MS, *(int(days * 86_400_000) for days in policies if days is not None)])


async def stored(records: Records, rows: Iterable[Mapping[str, Any]], limit_s: float) -> tuple[list[Given], int]:
    """Return the payloads of rows (event_id, topic, partition, offset) as they stand in Kafka, in log order; and how many are gone."""
    places: dict[Place, str] = {(row["topic"], row["partition"], row["offset"]): row["event_id"] for row in rows}
    found = await records.read(places, limit_s)
    payloads = []
    for place, record in sorted(found.items(), key=lambda item: (item[1].timestamp, item[0])):
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        source_id = headers.pop(SOURCE, "")
        headers.pop(SETTINGS_VERSION, None)  # the version that is tried judges them
        payloads.append(Given(source_id, record.value or b"", record.timestamp, headers, places[place]))
    return payloads, len(places) - len(found)


def relatives(events: Iterable[Event], accounts: Accounts, before_ms: int) -> list[Question]:
    """Return the questions for earlier events that may be the same conversions: by transaction id, reference and click id."""
    transactions = sorted({text for event in events for text in (event["transaction_id"], event["reference"]) if text})
    clicks = sorted({event["click_id"] for event in events if event["click_id"]})
    scope = "" if accounts is None else " AND account_id IN {accounts:Array(String)}"
    before = "received_at < fromUnixTimestamp64Milli({before:Int64}, 'UTC')"
    limits: dict[str, object] = {"before": before_ms} | ({} if accounts is None else {"accounts": list(accounts)})
    return [
        Question(
            f"SELECT event_id, topic, partition, offset FROM events WHERE {column} IN {{ids:Array(String)}} AND {before}{scope} LIMIT 20000",
            {"ids": part, **limits},
        )
        for column, values in (("transaction_id", transactions), ("click_id", clicks))
        for part in _parts(values)
    ]
