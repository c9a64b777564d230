"""Who am I, log in with a token, log out. A browser gets a cookie, a program goes on with its token."""

import contextlib
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from console.server.answers import Refused, json_response
from console.server.openapi import shape
from console.server.route import Ask, Route
from console.server.sessions import COOKIE
from schemas.permissions import PERMISSIONS
from streams.runtime.errors import Unavailable
from streams.runtime.settings_store import Change

LONGEST_NEXT = 2000


class Login(BaseModel):
    """A token, and where to go from here (a path of ours) when a form sent it."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(min_length=1, max_length=200)
    next: str = Field(default="", max_length=LONGEST_NEXT)


async def who(ask: Ask) -> dict[str, Any]:
    """Return the viewer with its rights."""
    viewer = ask.viewer
    return {
        "user_id": viewer.user_id,
        "name": viewer.name,
        "role": viewer.role,
        "accounts": list(viewer.accounts) if viewer.accounts is not None else None,
        "way": viewer.way,
        "may": [permission.action for permission in PERMISSIONS if viewer.may(permission.action)],
        "csrf": viewer.csrf,
    }


async def log_in(ask: Ask) -> web.StreamResponse:
    """Open a session with a token."""
    context, login = ask.context, ask.body
    context.limits.take("login", ask.request.remote or "")
    token_id = context.following.token_id(login.token.strip())
    if token_id is None:
        raise Refused("unknown_token")
    is_form = ask.request.content_type == "application/x-www-form-urlencoded"
    response: web.Response = web.Response(status=303, headers={"Location": place(login.next)}) if is_form else json_response({"ok": True})
    csrf = context.sessions.open(response, token_id)
    if not is_form:
        response.headers["X-CSRF-Token"] = csrf
    return response


async def log_out(ask: Ask) -> web.StreamResponse:
    """End the session, here at once and everywhere by a change of its token; while Kafka is away, here only."""
    response, cookie = json_response({"ok": True}), ask.request.cookies.get(COOKIE, "")
    sessions, following = ask.context.sessions, ask.context.following
    token_id = sessions.token_id(cookie)
    sessions.end(response, cookie)
    token = following.entities.get(("token", token_id)) if token_id else None
    if token_id and token:
        with contextlib.suppress(Unavailable):
            await following.change([Change("token", token_id, sessions.with_ended(token, cookie))], ask.viewer.user_id, "logged out")
    return response


def place(wanted: str) -> str:
    """Return a path of ours to go on to: nobody may send a person who has just logged in to another site."""
    is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable() and "\\" not in wanted
    return wanted if is_ours else "/"


ROUTES = (
    Route("GET", "/api/v1/session", who, "read_log", "Who I am, and what I may", answer=shape("user_id", "role", "may", "way", "csrf")),
    Route(
        "POST", "/api/v1/session", log_in, None, "Log in with a token: sets the session's cookie", body=Login, refusals=("unknown_token",)
    ),
    Route("DELETE", "/api/v1/session", log_out, "read_log", "Log out"),
)
