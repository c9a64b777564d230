"""Log in and out, users and their tokens: pages for what an owner may, through the API's handlers."""

import dataclasses
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from console.api import session
from console.api import settings as api
from console.pages import drawing, wording
from console.pages.settings import Deleted, done, problems
from console.server.answers import Refused
from console.server.route import Ask, Parameter, Route
from schemas.permissions import ROLES
from streams.runtime.errors import BadSettings

NEXT = Parameter("next", "where to go after logging in", longest=session.LONGEST_NEXT)


class UserForm(BaseModel):
    """A user as the form has one; accounts by commas."""

    model_config = ConfigDict(extra="forbid")
    id: str = Field(min_length=1, max_length=64)
    name: str = Field(default="", max_length=200)
    email: str = Field(default="", max_length=254)
    role: str = Field(default="viewer", max_length=20)
    account_ids: str = Field(default="", max_length=2000)
    reason: str = Field(default="", max_length=500)


class Nothing(BaseModel):
    """A form that has only the page's token."""

    model_config = ConfigDict(extra="forbid")


async def login(ask: Ask) -> Any:
    """Draw the form; who is in goes on."""
    if ask.viewer.way == "session":
        return web.Response(status=303, headers={"Location": session.place(ask.text("next"))})
    return drawing.page(ask, "login.html", next=ask.text("next"), problem="")


async def log_in(ask: Ask) -> Any:
    """Open a session, or say that the token is none."""
    try:
        return await session.log_in(ask)
    except Refused as error:
        return drawing.page(ask, "login.html", error.status, next=ask.body.next, problem=f"{error.message} {error.remedy}")


async def log_out(ask: Ask) -> Any:
    """End the session."""
    ended = await session.log_out(ask)
    response = web.Response(status=303, headers={"Location": "/login"})
    response.cookies.update(ended.cookies)
    return response


async def users(ask: Ask) -> Any:
    """Draw the users, their tokens, and what each role may."""
    found, tokens = await api.users(ask), await api.tokens(ask)
    return drawing.page(ask, "users.html", rows=found["rows"], rights=found["rights"], tokens=tokens["rows"], roles=ROLES)


async def save_user(ask: Ask) -> web.StreamResponse:
    """Add or change a user."""
    form: UserForm = ask.body
    accounts = [text.strip() for text in form.account_ids.split(",") if text.strip()]
    try:
        body = api.WantedUser(name=form.name, email=form.email, role=form.role, account_ids=accounts, reason=form.reason)  # type: ignore[arg-type]
    except ValueError as error:
        return problems(ask, BadSettings(str(error).split("\n")[-2].strip() if "\n" in str(error) else str(error)), "")
    inner = dataclasses.replace(ask, path={"entity_id": form.id}, body=body)
    return await done(ask, lambda: api.save_user(inner), "/settings/user")


async def delete_user(ask: Ask) -> web.StreamResponse:
    """Remove a user with all tokens."""
    inner = dataclasses.replace(ask, given={"reason": [ask.body.reason]})
    return await done(ask, lambda: api.delete_user(inner), "/settings/user")


async def make_token(ask: Ask) -> web.StreamResponse:
    """Make a token and show it, this once."""
    try:
        made = await api.make_token(ask)
    except (Refused, BadSettings) as error:
        return problems(ask, error, "")
    return drawing.page(ask, "token_made.html", made=wording.from_json(made.body))


async def revoke_token(ask: Ask) -> web.StreamResponse:
    """Make a token worthless."""
    inner = dataclasses.replace(ask, given={"reason": [ask.body.reason]})
    return await done(ask, lambda: api.revoke_token(inner), "/settings/user")


def _route(method: str, path: str, handler: Any, may: Any, doc: str, body: type[BaseModel] | None = None, *parameters: Parameter) -> Route:
    return Route(method, path, handler, may, doc, parameters, body=body, produces=("text/html",), kind="page")


ROUTES = (
    _route("GET", "/login", login, None, "Log in", None, NEXT),
    _route("POST", "/login", log_in, None, "Log in with a token", session.Login),
    _route("POST", "/logout", log_out, "read_log", "Log out", Nothing),
    _route("GET", "/settings/user", users, "manage_users", "Users and tokens"),
    _route("POST", "/settings/user", save_user, "manage_users", "Add or change a user", UserForm),
    _route("POST", "/settings/user/{entity_id}/delete", delete_user, "manage_users", "Remove a user", Deleted),
    _route("POST", "/settings/token", make_token, "manage_users", "Make a token", api.WantedToken),
    _route("POST", "/settings/token/{entity_id}/delete", revoke_token, "manage_users", "Revoke a token", Deleted),
)
