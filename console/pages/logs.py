"""ClickFlare's three logs: System logs, System activity and Postback status, each with a panel for its row."""

import dataclasses
import shlex
from typing import Any

from console import listing, masking
from console.api import clicks
from console.explaining import decoded
from console.listing import Question
from console.lists import listed
from console.pages import inspecting, lists
from console.pages.inspecting import sql_text
from console.server.answers import Refused
from console.server.route import Ask

COLLECTED = (
    "device_type", "browser", "os", "ip", "country", "language", "user_agent", "is_bot", "url", "referrer", "occurred_at", "received_at",
    "lander_id", "offer_id", "traffic_source_id", "account_id",
)  # fmt: skip
JSON_COLUMNS = ("before", "after", "diff")
SYSTEM = lists.About(
    "/visits", "system_logs", "system_logs.html", "System logs", "Visits, clicks, and the conversions that sources reported.", "rows",
    ("event_type", "campaign", "traffic_source", "from", "to"), "Details",
)  # fmt: skip
POSTBACKS = lists.About(
    "/postbacks", "postbacks", "postbacks.html", "Postback status", "What was fired to traffic sources, and what they answered.", "postbacks",
    ("q", "state", "is_error", "destination", "from", "to"), "Attempts", "status",
)  # fmt: skip
ACTIVITY = lists.About(
    "/activity", "activity", "activity.html", "System activity", "Who changed what, when and why.", "changes",
    ("entity", "action", "author", "from", "to"), "Change",
)  # fmt: skip


async def visit(ask: Ask, row_id: str) -> dict[str, Any]:
    """Return a visit with what was passed and what was collected; for a conversion the inspector's event."""
    found = await ask.context.asker.one(listing.page(listed("visits"), {"q": row_id}, ask.viewer.accounts, None, 1))
    if found is None:
        return await inspecting.panel(ask, row_id)
    shown = masking.row(found)
    shown.pop("cursor_key_")
    return {"visit": shown, "collected": {name: shown[name] for name in COLLECTED if shown[name] is not None}}


async def attempts(ask: Ask, postback_id: str) -> dict[str, Any]:
    """Return a postback with every try of it, the last one first. Refused("not_found")."""
    found = await clicks.postback(dataclasses.replace(ask, path={"postback_id": postback_id}))
    url = found["postback"]["postback_url"]
    return {**found, "attempts": found["attempts"][::-1], "quoted_url": shlex.quote(url), "sql_id": sql_text(postback_id)}


async def change(ask: Ask, activity_id: str) -> dict[str, Any]:
    """Return one change with its difference. Refused("not_found")."""
    question = Question("SELECT * FROM activity WHERE activity_id = {id:String} LIMIT 1", {"id": activity_id})
    row = None if ask.viewer.accounts is not None else await ask.context.asker.one(question)
    if row is None:
        raise Refused("not_found", f"There is no change {activity_id}.", "System activity lists them.")
    return {name: decoded(value) if name in JSON_COLUMNS else value for name, value in row.items() if not name.startswith("log")}


ROUTES = (lists.route(SYSTEM, visit), lists.route(POSTBACKS, attempts), lists.route(ACTIVITY, change))
