"""A click and a postback: what happened to the one, what was sent and answered of the other."""

import asyncio
from typing import Any

from console import masking, timelines
from console.api import revealing
from console.api.events import ATTEMPTS, scoped
from console.api.revealing import REASON, REVEAL
from console.listing import Question
from console.server.answers import Refused
from console.server.openapi import shape
from console.server.route import Ask, Parameter, Route
from schemas.entities import Property

DAY_MS = 86_400_000
WINDOW = Parameter(
    "window_days", "draw an attribution window of so many days; 0: that of the property", "int", default="0", least=0, most=3650
)


async def timeline(ask: Ask) -> dict[str, Any]:
    """Everything that happened to a click, in order, with the attribution window that it opens."""
    click_id = ask.path["click_id"]
    visits, events, postbacks = await asyncio.gather(*map(ask.context.asker.rows, timelines.questions(click_id, ask.viewer.accounts)))
    if not (visits or events or postbacks):
        raise Refused(
            "not_found",
            f"Nothing is known of click {click_id[:100]}.",
            "Check that the tag or tracking link of its property records clicks.",
        )
    found = timelines.entries(visits, events, postbacks)
    property_id = next((row["property_id"] for row in (*visits, *events)), "")
    return {
        "click_id": click_id,
        "property_id": property_id,
        "window": timelines.window(found, _wanted_ms(ask) or _window_ms(ask, property_id)),
        "own_days": _own_days(ask, property_id),
        "entries": [masking.deep(entry | {"row": masking.row(entry["row"])}) for entry in found],
        "counts": {"visits": len(visits), "events": len(events), "postbacks": len(postbacks)},
    }


def _wanted_ms(ask: Ask) -> int:
    return ask.number("window_days") * DAY_MS


def _window_ms(ask: Ask, property_id: str) -> int | None:
    days = _own_days(ask, property_id)
    return None if days is None else int(days * DAY_MS)


def _own_days(ask: Ask, property_id: str) -> float | None:
    found = ask.context.following.workspace.get("property", property_id)
    return found.attribution.window_days if isinstance(found, Property) else None


async def postback(ask: Ask) -> dict[str, Any]:
    """A postback with every attempt: what was sent and what came back."""
    postback_id = ask.path["postback_id"]
    current, attempts = await asyncio.gather(
        ask.context.asker.one(scoped(ask, "SELECT * FROM postbacks WHERE postback_id = {id:String}{scope} LIMIT 1", id=postback_id)),
        ask.context.asker.rows(_attempts(ask, postback_id)),
    )
    if current is None:
        raise Refused("not_found", f"There is no postback {postback_id[:100]}.", "The postback status list shows the latest.")
    found, is_clear = await revealing.shown(ask, current, "postback", postback_id)
    return {
        "postback": found,
        "attempts": attempts if is_clear else [masking.row(each) for each in attempts],
        "is_clear": is_clear,
        "may_reveal": ask.viewer.may("read_pii"),
        "may_resend": ask.viewer.may("resend"),
    }


def _attempts(ask: Ask, postback_id: str) -> Question:
    sql = f"SELECT {ATTEMPTS} FROM postback_attempts WHERE postback_id = {{id:String}}{{scope}} ORDER BY attempt, log_offset LIMIT 500"  # noqa: S608 - columns of ours
    return scoped(ask, sql, id=postback_id)


ROUTES = (
    Route("GET", "/api/v1/clicks/{click_id}/timeline", timeline, "read_log", "All that happened to a click", (WINDOW,), refusals=("not_found",), answer=shape("click_id", "window", "entries")),
    Route("GET", "/api/v1/postbacks/{postback_id}", postback, "read_log", "A postback with every attempt", (REVEAL, REASON),
          refusals=("not_found",), answer=shape("postback", "attempts")),
)  # fmt: skip
