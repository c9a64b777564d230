"""One event: all that is known of it, its bytes, the record it came in, and why its verdict is what it is."""

import asyncio
import base64
from typing import Any

from aiohttp import web

from console import inspecting, masking, records
from console.api import revealing
from console.api.revealing import REASON, REVEAL
from console.explaining import JSON_COLUMNS, decoded, explained
from console.listing import Question
from console.server.answers import Refused
from console.server.openapi import shape
from console.server.route import Ask, Route
from schemas import pii
from schemas.event import SENDER_IP

# ruff: noqa: S608 - only names of views and columns of our own are pasted into SQL here; values are parameters

MOST_RELATED = 50
ATTEMPTS = (
    "postback_id, attempt, destination_id, integration_id, sent_at, duration_ms, is_error, error_message, status_code, postback_url, ct, "
    "next_attempt_at, state, kind, follows, request, response"
)
BRIEF = "event_id, source_id, received_at, status, reason, message, duplicate_of"


def scoped(ask: Ask, sql: str, **values: object) -> Question:
    """Return a question kept to the accounts of the viewer: {scope} in its text becomes the condition."""
    accounts = ask.viewer.accounts
    scope = "" if accounts is None else " AND account_id IN {accounts:Array(String)}"
    return Question(sql.replace("{scope}", scope), values | ({} if accounts is None else {"accounts": list(accounts)}))


async def revisions(ask: Ask, event_id: str) -> list[dict[str, Any]]:
    """Return every verdict on an event, the current one last. An answer's receipt finds its event, too. Refused("not_found")."""
    for column in ("event_id", "receipt_id"):
        sql = f"SELECT * EXCEPT (payload) FROM event_revisions WHERE {column} = {{id:String}}{{scope}} ORDER BY event_id, revision LIMIT 1 BY event_id, revision"
        if found := await ask.context.asker.rows(scoped(ask, f"{sql} LIMIT 1000", id=event_id)):
            ids = list(dict.fromkeys(row["event_id"] for row in found))
            if len(ids) > 1:
                raise Refused("not_found", f"Several events came with receipt {event_id}.", f"Name one: {', '.join(ids[:10])}.")
            return found
    raise Refused("not_found", f"There is no event {event_id[:100]}.", "Ids look like e1-4-1027; the event log shows the latest.")


async def event(ask: Ask) -> dict[str, Any]:
    """The event with all its parts. What it needs from other rows is asked side by side."""
    rows = await revisions(ask, ask.path["event_id"])
    row = rows[-1]
    postbacks, related = await asyncio.gather(_postbacks(ask, row), _related(ask, row))
    clear, is_clear = await revealing.shown(ask, row, "event", row["event_id"])
    parts = {
        "event": {name: decoded(value) if name in JSON_COLUMNS else value for name, value in clear.items()},
        "data": inspecting.data(clear),
        "explanation": explained(clear),
        "attribution": inspecting.attribution(row),
        "duplicate": inspecting.duplicate(row),
        "payload": inspecting.payload(clear, await _bytes(ask, row["event_id"]) if is_clear else None),
        "position": {
            "topic": row["topic"],
            "partition": row["partition"],
            "offset": row["offset"],
            "settings_version": row["settings_version"],
        },
        "postbacks": postbacks if is_clear else [masking.row(each) for each in postbacks],
        "revisions": [inspecting.revision(each) for each in rows],
        "related": related,
        "is_clear": is_clear,
        "may_reveal": ask.viewer.may("read_pii"),
    }
    return parts if is_clear else {name: masking.deep(part) if name not in {"event", "postbacks"} else part for name, part in parts.items()}


async def _postbacks(ask: Ask, row: dict[str, Any]) -> list[dict[str, Any]]:
    sql = f"SELECT {ATTEMPTS} FROM postback_attempts WHERE event_id = {{id:String}}{{scope}} ORDER BY postback_id, attempt, log_offset LIMIT 500"
    return await ask.context.asker.rows(scoped(ask, sql, id=row["event_id"]))


async def _related(ask: Ask, row: dict[str, Any]) -> dict[str, Any]:
    """The original, the parent, and what came with the same transaction id: found by the indexes on both."""
    linked = [name for name in (row["duplicate_of"], row["parent_event_id"]) if name]
    asked = []
    if linked:
        asked.append(scoped(ask, f"SELECT {BRIEF} FROM events WHERE event_id IN {{ids:Array(String)}}{{scope}}", ids=linked))
    if row["transaction_id"]:
        sql = f"SELECT {BRIEF} FROM events WHERE transaction_id = {{id:String}} AND property_id = {{property:String}}{{scope}} ORDER BY received_at LIMIT {MOST_RELATED}"
        asked.append(scoped(ask, sql, id=row["transaction_id"], property=row["property_id"]))
    rows = [each for found in await asyncio.gather(*map(ask.context.asker.rows, asked)) for each in found]
    others = {each["event_id"]: masking.row(each) for each in rows if each["event_id"] != row["event_id"]}
    return {
        "original": others.get(row["duplicate_of"] or ""),
        "parent": others.get(row["parent_event_id"] or ""),
        "duplicates": [each for each in others.values() if each["duplicate_of"] == row["event_id"]],
        "same_transaction": [each for event_id, each in others.items() if event_id not in linked],
    }


async def _bytes(ask: Ask, event_id: str) -> bytes:
    """The payload's bytes; in base64 on the way, as the client would make text of them."""
    sql = "SELECT base64Encode(payload) AS payload FROM event_revisions WHERE event_id = {id:String}{scope} LIMIT 1"
    found = await ask.context.asker.one(scoped(ask, sql, id=event_id))
    return base64.b64decode(found["payload"]) if found else b""


async def payload(ask: Ask) -> web.StreamResponse:
    """The bytes as received, as a file that no browser runs. Reading them is a reveal."""
    row = (await revisions(ask, ask.path["event_id"]))[-1]
    await revealing.note(ask, "read_pii", "revealed", "event", row["event_id"], {"part": "payload"})
    headers = {
        "Content-Disposition": f'attachment; filename="{row["event_id"]}.bin"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Payload-SHA256": row["payload_sha256"],
    }
    return web.Response(body=await _bytes(ask, row["event_id"]), headers=headers, content_type="application/octet-stream")


async def record(ask: Ask) -> dict[str, Any]:
    """The record that the payload stands in: its headers and coordinates, as Kafka has them."""
    row = (await revisions(ask, ask.path["event_id"]))[-1]
    place = (row["topic"], row["partition"], row["offset"])
    found = (await ask.context.records.read([place])).get(place)
    if found is None:
        raise Refused("not_found", "The record is not in Kafka any more.", "Its bytes are in ClickHouse: see the payload.")
    headers = dict(records.headers(found))
    if SENDER_IP in headers:
        headers[SENDER_IP] = pii.masked("ip", headers[SENDER_IP])
    return {
        "topic": found.topic,
        "partition": found.partition,
        "offset": found.offset,
        "timestamp_ms": found.timestamp,
        "key": masking.deep((found.key or b"").decode("utf-8", "replace")),
        "bytes": len(found.value or b""),
        "headers": masking.deep(headers),
    }


async def explain(ask: Ask) -> Any:
    """The row's own trace in sentences."""
    return masking.deep(dict(explained(masking.row((await revisions(ask, ask.path["event_id"]))[-1]))))


_PATH = "/api/v1/events/{event_id}"
ROUTES = (
    Route("GET", _PATH, event, "read_log", "An event with all its parts", (REVEAL, REASON), refusals=("not_found",), answer=shape("event", "data", "explanation", "attribution", "payload", "postbacks", "revisions", "related", "position")),
    Route("GET", f"{_PATH}/payload", payload, "read_pii", "Its bytes as received", (REASON,), produces=("application/octet-stream",),
          refusals=("not_found",)),
    Route("GET", f"{_PATH}/record", record, "read_log", "The headers and coordinates of its record in Kafka", refusals=("not_found",), answer=shape("topic", "partition", "offset", "headers")),
    Route("GET", f"{_PATH}/explain", explain, "read_log", "Why its verdict is what it is, in numbered sentences", refusals=("not_found",), answer=shape("event_id", "status", "reason", "message", "steps", "evidence", "remedy")),
)  # fmt: skip
