"""The Event log in both vocabularies, and the inspector: beside the list, and as a page of its own."""

from typing import Any

from console.api.revealing import REASON, REVEAL
from console.pages import drawing, lists
from console.pages.inspecting import panel
from console.server.route import Ask, Route

LOG = lists.About(
    "/events", "events", "events.html", "Event log", "Everything that sources sent, and what became of it.", "events",
    ("q", "status", "reason", "source", "from", "to"), "Inspector", "status", is_live=True,
)  # fmt: skip
REFERRAL = lists.About(
    "/integration-events", "integration_events", "integration_events.html", "Integration Events",
    "One Click Access, API calls, Integration Scripts and all else, in Referral Rock's words.", "events", ("view_status", "type", "from", "to"),
    "Event Details",
)  # fmt: skip


async def page(ask: Ask) -> Any:
    """Draw one event."""
    return drawing.page(ask, "event.html", it=await panel(ask, ask.path["event_id"]))


ROUTES = (
    lists.route(LOG, panel),
    lists.route(REFERRAL, panel),
    Route("GET", "/events/{event_id}", page, "read_log", "One event with all its parts", (lists.TAB, lists.FORM, REVEAL, REASON), produces=("text/html",),
          kind="page"),
)  # fmt: skip
