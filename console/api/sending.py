"""Sending again: one postback, all that failed since a time; and the test button, pause and resume of a destination.

What is asked for here is executed by the delivery role and noted by it in the activity log, with who asked and why (`streams/delivery/orders.py`).
"""

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from console import filters
from console.api.events import scoped
from console.api.settings import account_of
from console.server.answers import Refused, json_response
from console.server.jobs import Job, Progress
from console.server.openapi import shape
from console.server.route import Ask, Route
from schemas.destinations import Destination
from streams.delivery import orders, trial
from streams.delivery.message import NotSent
from streams.delivery.orders import Place
from streams.runtime.errors import near_match

# ruff: noqa: S608 - only columns and conditions of our own are pasted into SQL here; values are parameters

MOST_RECOVERED = 100_000
PLACE = "postback_id, event_id, request_offset"


class Why(BaseModel):
    """Why it is done; stands in the activity log."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(default="", max_length=500)


class Recovery(BaseModel):
    """Which postbacks to send again: those that failed for good, since a time, of a destination."""

    model_config = ConfigDict(extra="forbid")
    since: str = Field(min_length=1, max_length=40, description="2026-11-25, 24h, 7d")
    destination: str = Field(default="", max_length=64)
    reason: str = Field(default="recovered after failures", max_length=500)
    dry_run: bool = Field(default=False, description="only count and list what would be sent")


class Trial(BaseModel):
    """An event to make a destination's request of, and whether to send it, marked as a test."""

    model_config = ConfigDict(extra="forbid")
    event_id: str = Field(min_length=1, max_length=100)
    kind: str = Field(default="conversion", pattern="^(conversion|restatement|retraction)$")
    send: bool = False


async def resend(ask: Ask) -> dict[str, Any]:
    """Send a postback again, whatever became of it."""
    postback_id = ask.path["postback_id"]
    row = await ask.context.asker.one(
        scoped(ask, f"SELECT {PLACE} FROM postbacks WHERE postback_id = {{id:String}}{{scope}} LIMIT 1", id=postback_id)
    )
    if row is None:
        raise Refused("not_found", f"There is no postback {postback_id[:100]}.", "The postback status list shows the latest.")
    reason = ask.body.reason or "sent again by hand"
    done = await orders.resend(ask.context.settings, [_place(row)], ask.viewer.user_id, reason)
    return {"postback_id": postback_id, "resent": done}


async def recover(ask: Ask) -> web.Response:
    """Start the job that sends again what has failed for good, or list it."""
    wish = ask.body
    condition, values = filters.where(filters.POSTBACKS, {"state": "failed", "since": wish.since, "destination": wish.destination})
    columns = f"{PLACE}, destination_id, postback_time, error_message, postback_url"
    sql = f"SELECT {columns} FROM postbacks WHERE {condition}{{scope}} ORDER BY postback_time DESC LIMIT {MOST_RECOVERED + 1}"
    rows = await ask.context.asker.rows(scoped(ask, sql, **values))
    if len(rows) > MOST_RECOVERED:
        raise Refused("too_much", f"More than {MOST_RECOVERED:,} postbacks failed since then.", "Take a later time, or one destination.")
    if wish.dry_run:
        return json_response(
            {
                "job": None,
                "postbacks": len(rows),
                "sample": [{name: row[name] for name in row if name != "request_offset"} for row in rows[:100]],
            }
        )
    places = [_place(row) for row in rows]

    async def work(progress: Progress) -> dict[str, Any]:
        return {"resent": await orders.resend(ask.context.settings, places, ask.viewer.user_id, wish.reason, progress)}

    job = ask.context.jobs.start("recover", ask.viewer.user_id, len(places), work)
    return json_response({"job": job.shown(), "postbacks": len(places), "sample": []}, 202)


async def job(ask: Ask) -> dict[str, Any]:
    """How far a job is."""
    return _job(ask).shown()


async def cancel(ask: Ask) -> dict[str, Any]:
    """End a job; what it has done stays done."""
    found = _job(ask)
    if found.task is not None:
        found.task.cancel()
    return found.shown()


async def try_destination(ask: Ask) -> dict[str, Any]:
    """Show the populated request of a destination for an event, secrets masked; or send it once, marked as a test."""
    wish, context = ask.body, ask.context
    destination = _destination(ask)
    event = await context.asker.one(
        scoped(ask, "SELECT * EXCEPT (payload) FROM events WHERE event_id = {id:String}{scope} LIMIT 1", id=wish.event_id)
    )
    if event is None or event["conversion_name"] is None:
        raise Refused("not_found", f"There is no event {wish.event_id[:100]} that could be reported.", "Take one that was recorded.")
    sql = "SELECT * FROM visits WHERE click_id = {id:String}{scope} ORDER BY received_at LIMIT 1"
    visit = await context.asker.one(scoped(ask, sql, id=event["click_id"])) if event["click_id"] else None
    try:
        request = trial.request_of(event, visit, destination, context.following.workspace, wish.kind)
        done = await trial.tried(context.settings, destination, request, is_sending=wish.send)
    except NotSent as why:
        raise Refused("invalid", f"There is nothing to send: {why}.") from why
    answer, outcome = done.answer, done.outcome
    return {
        "destination_id": destination.id,
        "url": done.ready.url,
        "request": done.ready.text,
        "is_sent": answer is not None,
        "outcome": outcome.verdict if outcome else None,
        "error": outcome.message if outcome else None,
        "status_code": answer.status if answer else None,
        "duration_ms": done.duration_ms,
        "response": answer.body.decode(errors="replace")[:2000] if answer else None,
    }


async def pause(ask: Ask) -> dict[str, Any]:
    """Send nothing to a destination until it is resumed; its requests are kept."""
    return await _paused(ask, is_paused=True)


async def resume(ask: Ask) -> dict[str, Any]:
    """Send to a destination again."""
    return await _paused(ask, is_paused=False)


async def _paused(ask: Ask, *, is_paused: bool) -> dict[str, Any]:
    destination = _destination(ask)
    row = await orders.pause(ask.context.settings, destination.id, "by_hand" if is_paused else None, ask.viewer.user_id, ask.body.reason)
    return {"destination_id": destination.id, "state": "paused" if is_paused else "sending", "changed": row is not None}


def _place(row: dict[str, Any]) -> Place:
    return Place(row["postback_id"], row["event_id"], row["request_offset"])


def _job(ask: Ask) -> Job:
    return ask.context.jobs.get(ask.path["job_id"], ask.viewer.user_id, sees_all=ask.viewer.may("manage_users"))


def _destination(ask: Ask) -> Destination:
    destination_id = ask.path["destination_id"]
    known = ask.context.following.workspace.all("destination")
    found = known.get(destination_id)
    value = ask.context.following.entities.get(("destination", destination_id), {})
    is_seen = ask.viewer.accounts is None or account_of(ask, "destination", destination_id, value) in ask.viewer.accounts
    if not isinstance(found, Destination) or not is_seen:
        raise Refused("not_found", f"There is no destination {destination_id[:64]!r}.", near_match(destination_id, list(known)))
    return found


_POSTBACK, _DESTINATION = "/api/v1/postbacks/{postback_id}", "/api/v1/destinations/{destination_id}"
_NOT_FOUND = ("not_found",)
ROUTES = (
    Route("POST", "/api/v1/postbacks/recover", recover, "resend", "Send again what has failed for good since a time: a job", body=Recovery,
          refusals=("too_much",), answer=shape("job", "postbacks")),
    Route("POST", f"{_POSTBACK}/resend", resend, "resend", "Send a postback again", body=Why, refusals=_NOT_FOUND,
          answer=shape("postback_id", "resent")),
    Route("GET", "/api/v1/jobs/{job_id}", job, "resend", "How far a job is", refusals=_NOT_FOUND, answer=shape("id", "state", "done", "total")),
    Route("DELETE", "/api/v1/jobs/{job_id}", cancel, "resend", "End a job", refusals=_NOT_FOUND, answer=shape("id", "state", "done", "total")),
    Route("POST", f"{_DESTINATION}/trial", try_destination, "resend", "The request of a destination for an event; sent as a test if wanted", body=Trial,
          refusals=("not_found", "invalid"), answer=shape("destination_id", "url", "is_sent")),
    Route("POST", f"{_DESTINATION}/pause", pause, "resend", "Send nothing to a destination for now", body=Why, refusals=_NOT_FOUND),
    Route("POST", f"{_DESTINATION}/resume", resume, "resend", "Send to a destination again", body=Why, refusals=_NOT_FOUND),
)  # fmt: skip
