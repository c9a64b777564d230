"""The Event log in both vocabularies, and the inspector: beside the list, and as a page of its own."""

import asyncio
from typing import Any

from aiokafka.errors import KafkaError

from console.commands import dlq
from console.pages import drawing, lists
from console.pages.inspecting import TABS, inspected
from console.server.answers import Refused
from console.server.route import Ask, Route
from streams.runtime.errors import ClicktrailError

HEADERS_S = 5.0
LOG = lists.About(
    "/events", "events", "events.html", "Event log", "Everything that sources sent, and what became of it.", "events",
    ("q", "status", "reason", "source", "from", "to"), "Inspector", "status", is_live=True,
)  # fmt: skip
REFERRAL = lists.About(
    "/integration-events", "integration_events", "integration_events.html", "Integration Events",
    "One Click Access, API calls, Integration Scripts and all else, in Referral Rock's words.", "events", ("view_status", "type", "from", "to"),
    "Event details",
)  # fmt: skip


async def panel(ask: Ask, event_id: str) -> dict[str, Any]:
    """Return what the inspector draws; headers are read from Kafka when they are asked for."""
    tab = ask.text("tab")
    if tab not in dict(TABS):
        tab = TABS[0][0]
    found = {**await inspected(ask, event_id), "tab": tab, "tabs": TABS, "headers": {}, "headers_note": ""}
    if tab == "headers":
        found["headers"], found["headers_note"] = await _headers(ask, found["row"])
    return found


async def page(ask: Ask) -> Any:
    """Draw one event."""
    return drawing.page(ask, "event.html", it=await panel(ask, ask.path["event_id"]))


async def _headers(ask: Ask, row: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Return (the headers of the payload's record, why there are none)."""
    place, offset = (str(row["topic"]), int(row["partition"])), int(row["offset"])
    try:
        async with asyncio.timeout(HEADERS_S):
            records = await dlq.read(ask.context.settings, {place: (offset, offset + 1)})
    except (TimeoutError, KafkaError, ClicktrailError, OSError):
        return {}, "Kafka did not answer, and headers are only there."
    if not records:
        return {}, "The record is no longer in Kafka: its retention is over. The payload is kept here."
    return {name: str(value) for name, value in records[0].items() if name not in {"id", "value"}}, ""


async def unknown(_: Ask) -> Any:
    """Answer what no other page does."""
    raise Refused("unknown_route", "There is no such page.", "Take one of the menu.")


ROUTES = (
    lists.route(LOG, panel),
    lists.route(REFERRAL, panel),
    Route("GET", "/events/{event_id}", page, "read_log", "One event with all its parts", (lists.TAB, lists.FORM), produces=("text/html",), kind="page"),
)  # fmt: skip
