"""Sending again: one postback, or all that failed since a time as a job with its progress; a destination tried, paused and resumed."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from console.api import sending as api
from console.pages import drawing
from console.pages.settings import done, problems
from console.server.answers import Refused
from console.server.route import Ask, Route
from streams.runtime.errors import BadSettings, Unavailable


class RecoveryForm(BaseModel):
    """The form of a recovery. `act` is look or send."""

    model_config = ConfigDict(extra="forbid")
    since: str = Field(default="", max_length=40)
    destination: str = Field(default="", max_length=64)
    reason: str = Field(default="", max_length=500)
    act: str = Field(default="look", pattern="^(look|send)$")


class TrialForm(BaseModel):
    """The form of a trial. `act` is look or send."""

    model_config = ConfigDict(extra="forbid")
    event_id: str = Field(default="", max_length=100)
    act: str = Field(default="look", pattern="^(look|send)$")


async def resend(ask: Ask) -> web.StreamResponse:
    """Ask for a postback to be sent again."""
    return await _said(ask, lambda: api.resend(ask), "resent.html")


async def recover(ask: Ask) -> web.StreamResponse:
    """List what would be sent again, or start the job."""
    form: RecoveryForm = ask.body
    if not form.since.strip():
        return problems(ask, BadSettings("since: it is missing", "Times look like 2026-11-25, 24h or 7d."), "")
    wish = api.Recovery(
        since=form.since, destination=form.destination, reason=form.reason or "recovered after failures", dry_run=form.act == "look"
    )

    async def act() -> Any:
        return orjson.loads((await api.recover(dataclasses.replace(ask, body=wish))).body or b"{}")  # type: ignore[arg-type]

    return await _said(ask, act, "recovery.html")


async def job(ask: Ask) -> web.StreamResponse:
    """Draw how far a job is."""
    return await _said(ask, lambda: api.job(ask), "job.html")


async def cancel(ask: Ask) -> web.StreamResponse:
    """End a job."""
    return await _said(ask, lambda: api.cancel(ask), "job.html")


async def trial(ask: Ask) -> web.StreamResponse:
    """Draw the request that a destination would get for an event; send it as a test if wanted."""
    form: TrialForm = ask.body
    if not form.event_id.strip():
        return problems(ask, BadSettings("event_id: it is missing", "Take the id of a recorded conversion from the event log."), "")
    wish = api.Trial(event_id=form.event_id.strip(), send=form.act == "send")
    return await _said(ask, lambda: api.try_destination(dataclasses.replace(ask, body=wish)), "tried.html")


async def pause(ask: Ask) -> web.StreamResponse:
    """Send nothing to a destination for now."""
    return await done(ask, lambda: api.pause(ask), f"/settings/destination/{ask.path['destination_id']}")


async def resume(ask: Ask) -> web.StreamResponse:
    """Send to a destination again."""
    return await done(ask, lambda: api.resume(ask), f"/settings/destination/{ask.path['destination_id']}")


async def _said(ask: Ask, act: Callable[[], Awaitable[Any]], template: str) -> web.StreamResponse:
    """Act, and draw what came of it; what stands in the way is drawn in the same place."""
    try:
        found = await act()
    except (Refused, BadSettings) as error:
        return problems(ask, error, "")
    except Unavailable as error:
        return problems(ask, BadSettings(error.what, error.remedy), "")
    return drawing.page(ask, template, it=found)


def _route(method: str, path: str, handler: Any, doc: str, body: type[BaseModel] | None = None) -> Route:
    return Route(method, path, handler, "resend", doc, body=body, produces=("text/html",), kind="page")


_DESTINATION = "/settings/destination/{destination_id}"
ROUTES = (
    _route("POST", "/postbacks/recover", recover, "Send again what failed", RecoveryForm),
    _route("POST", "/postbacks/{postback_id}/resend", resend, "Send a postback again", api.Why),
    _route("GET", "/jobs/{job_id}", job, "How far a job is"),
    _route("POST", "/jobs/{job_id}/cancel", cancel, "End a job", api.Why),
    _route("POST", f"{_DESTINATION}/trial", trial, "Try a destination", TrialForm),
    _route("POST", f"{_DESTINATION}/pause", pause, "Pause a destination", api.Why),
    _route("POST", f"{_DESTINATION}/resume", resume, "Resume a destination", api.Why),
)
