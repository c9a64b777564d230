"""The live tail as server-sent events: at most a few pushes a second, however fast verdicts fall.

    event: rows      data: {"rows": [… the newest, oldest first], "counts": {"ok": 12}, "total": 12, "missed": false}
    id: <place>      comes back as Last-Event-ID when the browser connects again

`missed: true` says that something fell while this reader was away and is not remembered any more: load the list anew.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp_sse import sse_response

from console import json_text, masking
from console.lists import columns_of, listed
from console.passing import passes
from console.server.answers import Refused
from console.server.route import Ask, Parameter, Route

EVENTS = listed("events")
EVERY_MS = Parameter("every_ms", "shortest time between two pushes", "int", default="500", least=100, most=10_000)
PING_S = 10.0
SEND_S = 20.0
_TIMES = {"received_at": "received_ms", "event_time": "event_ms", "judged_at": "judged_ms"}
_COLUMNS = tuple(column.name for column in columns_of(EVENTS, is_whole=False))


async def events(ask: Ask) -> web.StreamResponse:
    """Push until the browser goes away."""
    tail, every_s = ask.context.tail, ask.number("every_ms") / 1000
    found = tail.join(passes(ask.filters(), ask.viewer.accounts), ask.request.headers.get("Last-Event-ID", "")[:100])
    if found is None:
        raise Refused("rate_limited", "Too many live tails are open.", Retry_After="5")
    try:
        async with sse_response(ask.request, send_timeout=SEND_S, ping_interval=PING_S) as response:
            await response.send(json_text.dump({"place": tail.position}).decode(), event="open", id=tail.position, retry=1000)
            while response.is_connected():
                await found.news.wait()
                rows, counts, has_missed = found.given()
                body = {"rows": [shown(row) for row in rows], "counts": counts, "total": counts.total(), "missed": has_missed}
                await response.send(json_text.dump(body).decode(), event="rows", id=tail.position)
                await asyncio.sleep(every_s)
    except (ConnectionResetError, TimeoutError):
        pass  # the browser went away, or reads too slowly: it connects again, and goes on where it was
    finally:
        tail.leave(found)
    return response


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the log as a line of the list, masked."""
    found = {name: _time(row[_TIMES[name]]) if name in _TIMES else row.get(name) for name in _COLUMNS}
    return masking.row(found)


def _time(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


ROUTES = (
    Route("GET", "/api/v1/stream/events", events, "read_log", "Verdicts as they fall (server-sent events)", (EVERY_MS,), EVENTS,
          produces=("text/event-stream",)),
)  # fmt: skip
