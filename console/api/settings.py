"""The settings of the workspace, one entity at a time: read, saved, deleted, each change with its author and reason in the activity log.

    GET    /api/v1/settings                       what kinds there are
    GET    /api/v1/settings/source                all of a kind
    GET    /api/v1/settings/source/shop           one, with its ETag; secrets are ***
    PUT    /api/v1/settings/source/shop           {"value": {…}, "reason": "…"}; If-Match: the ETag that was seen
    DELETE /api/v1/settings/source/shop?reason=…

Users and tokens are people's matter: routes of their own, which only an owner may take (`people.py` makes the changes).
"""

from collections import Counter
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from console import editing, people
from console.api import revealing
from console.api.revealing import REASON, REVEAL
from console.server.answers import Refused, json_response
from console.server.openapi import shape
from console.server.route import Ask, Route
from schemas.entities import ENTITY_MODELS
from schemas.permissions import PERMISSIONS, ROLES
from schemas.workspace import SECTIONS
from streams.runtime.errors import near_match
from streams.runtime.settings_diff import hide_secrets
from streams.runtime.settings_store import Activity, Change

PEOPLE = ("user", "token")
SHARED = ("traffic_source", "affiliate_network", "lander", "offer", "flow")  # of all accounts
KINDS = tuple(kind for kind in ENTITY_MODELS if kind not in PEOPLE)


class Wanted(BaseModel):
    """What an entity shall be, and why."""

    model_config = ConfigDict(extra="forbid")
    value: dict[str, Any]
    reason: str = Field(default="", max_length=500)


class WantedUser(BaseModel):
    """A user as an owner changes one."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=200)
    email: str = Field(min_length=3, max_length=254)
    role: Literal["viewer", "analyst", "editor", "owner"] = "viewer"
    account_ids: list[str] = Field(default_factory=list, max_length=100)
    reason: str = Field(default="", max_length=500)


class WantedToken(BaseModel):
    """A token to be made: whose, and what it is called."""

    model_config = ConfigDict(extra="forbid")
    user_id: str = Field(min_length=1, max_length=64)
    id: str = Field(min_length=1, max_length=64)
    reason: str = Field(default="", max_length=500)


async def kinds(ask: Ask) -> list[dict[str, Any]]:
    """Return the kinds of settings with how many there are of each, and the schema of their values."""
    found = ask.context.following.entities
    seen = Counter(key[0] for key, value in found.items() if _is_seen(ask, *key, value))
    return [
        {"entity": kind, "section": SECTIONS[kind], "count": seen[kind], "schema": ENTITY_MODELS[kind].model_json_schema()}
        for kind in KINDS
    ]


async def every(ask: Ask) -> dict[str, Any]:
    """Return all entities of a kind."""
    kind = _kind(ask)
    found = {key: value for key, value in sorted(ask.context.following.entities.items()) if key[0] == kind and _is_seen(ask, *key, value)}
    return {"entity": kind, "rows": [_shown(key[1], value) for key, value in found.items()], "version": ask.context.following.version}


async def one(ask: Ask) -> web.Response:
    """Return one entity with its ETag; its secrets in clear for an owner who asks for them."""
    kind, entity_id, value = _there(ask)
    body = {"entity": kind, "used_by": editing.users_of(kind, entity_id, ask.context.following.entities), **_shown(entity_id, value)}
    if ask.flag("reveal"):
        await revealing.note(ask, "read_secrets", "revealed", kind, entity_id, {"part": "secrets"})
        body["value"] = value
    return json_response(body, headers={"ETag": f'"{editing.etag(value)}"'})


async def save(ask: Ask) -> web.Response:
    """Make an entity what the body says."""
    kind, entity_id = _kind(ask), ask.path["entity_id"]
    entities = ask.context.following.entities
    if (kind, entity_id) in entities:
        _there(ask)
    try:
        value = editing.wanted(kind, entity_id, ask.body.value, entities)
        if not _is_own(ask, kind, entity_id, value):
            raise Refused("other_account", "This belongs to an account that is not yours.")
        done = await _change(ask, [Change(kind, entity_id, value)], ask.body.reason, kind, entity_id)
    except editing.NotValid as error:
        raise Refused("invalid", error.what) from error
    body = {"changed": _said(done), "entity": kind, **_shown(entity_id, value)}
    return json_response(body, headers={"ETag": f'"{editing.etag(value)}"'})


async def delete(ask: Ask) -> dict[str, Any]:
    """Delete an entity that nothing refers to."""
    kind, entity_id, value = _there(ask)
    if not _is_own(ask, kind, entity_id, value):
        raise Refused("other_account", "This belongs to all accounts, or to one that is not yours.")
    try:
        changes = editing.deletion(kind, entity_id, ask.context.following.entities)
    except editing.InUse as error:
        raise Refused("in_use", error.what, error.remedy) from error
    return {"changed": _said(await _change(ask, changes, ask.text("reason"), kind, entity_id))}


async def users(ask: Ask) -> dict[str, Any]:
    """Return the users with their roles, and what each role may."""
    rights = [
        {**right._asdict(), "roles": [role for role in ROLES if ROLES.index(role) >= ROLES.index(right.least)]} for right in PERMISSIONS
    ]
    return {"rows": people.user_rows(ask.context.following.entities), "rights": rights}


async def save_user(ask: Ask) -> dict[str, Any]:
    """Add a user, or change one."""
    entities, user_id = ask.context.following.entities, ask.path["entity_id"]
    value = {**entities.get(("user", user_id), {}), **ask.body.model_dump(exclude={"reason"}), "id": user_id}
    return {"changed": _said(await _change(ask, people.added(entities, value), ask.body.reason, "user", user_id))}


async def delete_user(ask: Ask) -> dict[str, Any]:
    """Remove a user with all tokens: whoever used them is out at once."""
    user_id = ask.path["entity_id"]
    _known(ask, "user", user_id)
    return {
        "changed": _said(await _change(ask, people.removed(ask.context.following.entities, user_id), ask.text("reason"), "user", user_id))
    }


async def tokens(ask: Ask) -> dict[str, Any]:
    """Return the tokens: whose each is, never the token itself."""
    found = people.of_kind(ask.context.following.entities, "token")
    return {"rows": [{"id": token_id, "user_id": token["user_id"]} for token_id, token in found.items()]}


async def make_token(ask: Ask) -> web.Response:
    """Make a token and show it, this once."""
    body = ask.body
    token, changes = people.minted(ask.context.following.entities, body.user_id, body.id)
    await _change(ask, changes, body.reason, "token", body.id)
    return json_response({"id": body.id, "user_id": body.user_id, "token": token}, 201)


async def revoke_token(ask: Ask) -> dict[str, Any]:
    """Make a token worthless, and end its sessions."""
    token_id = ask.path["entity_id"]
    _known(ask, "token", token_id)
    return {
        "changed": _said(
            await _change(ask, people.revoked(ask.context.following.entities, token_id), ask.text("reason"), "token", token_id)
        )
    }


async def _change(ask: Ask, changes: list[Change], reason: str, kind: str, entity_id: str) -> list[Activity]:
    tag = ask.request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')[:100]
    try:
        return await ask.context.following.change(changes, ask.viewer.user_id, reason, editing.still(kind, entity_id, tag))
    except editing.ChangedMeanwhile as error:
        raise Refused("precondition_failed", error.what, error.remedy) from error


def _said(done: list[Activity]) -> list[dict[str, Any]]:
    names = ("activity_id", "action", "entity", "entity_id", "diff", "settings_version")
    return [{name: row[name] for name in names} for row in done]  # type: ignore[literal-required]


def _shown(entity_id: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": entity_id, "value": hide_secrets(value), "etag": editing.etag(value)}


def _kind(ask: Ask) -> str:
    kind = ask.path["entity"]
    kind = {section: entity for entity, section in SECTIONS.items()}.get(kind, kind)
    if kind not in KINDS:
        raise Refused(
            "not_found", f"There is no setting {kind[:64]!r}.", near_match(kind, list(KINDS)) or f"There are: {', '.join(KINDS)}."
        )
    return kind


def _known(ask: Ask, kind: str, entity_id: str) -> dict[str, Any]:
    found = ask.context.following.entities
    if (kind, entity_id) not in found:
        near = near_match(entity_id, [name for entity, name in found if entity == kind])
        raise Refused("not_found", f"There is no {kind} {entity_id[:64]!r}.", near)
    return found[kind, entity_id]


def _there(ask: Ask) -> tuple[str, str, dict[str, Any]]:
    kind, entity_id = _kind(ask), ask.path["entity_id"]
    value = _known(ask, kind, entity_id)
    if not _is_seen(ask, kind, entity_id, value):
        raise Refused("not_found", f"There is no {kind} {entity_id[:64]!r}.")
    return kind, entity_id, value


def _is_seen(ask: Ask, kind: str, entity_id: str, value: dict[str, Any]) -> bool:
    """Whoever is limited to accounts sees what is theirs, and what belongs to all."""
    return kind in SHARED or _is_own(ask, kind, entity_id, value)


def _is_own(ask: Ask, kind: str, entity_id: str, value: dict[str, Any]) -> bool:
    """Say whether an entity lies in the viewer's accounts; what belongs to all is only theirs who see all."""
    accounts = ask.viewer.accounts
    return accounts is None or account_of(ask, kind, entity_id, value) in accounts


def account_of(ask: Ask, kind: str, entity_id: str, value: dict[str, Any]) -> str | None:
    """Return the account that an entity belongs to, None for what belongs to all."""
    del entity_id
    if kind in {"property", "destination"}:
        return str(value.get("account_id", "default"))
    if kind in {"source", "campaign"}:
        found = ask.context.following.entities.get(("property", value.get("property_id", "")))
        return str(found.get("account_id", "default")) if found else None
    return None


_ONE = "/api/v1/settings/{entity}/{entity_id}"
_SAVED = ("not_found", "invalid", "precondition_failed", "other_account")
ROUTES = (
    Route("GET", "/api/v1/settings/user", users, "manage_users", "Users with their roles"),
    Route("PUT", "/api/v1/settings/user/{entity_id}", save_user, "manage_users", "Add or change a user", body=WantedUser, refusals=_SAVED),
    Route("DELETE", "/api/v1/settings/user/{entity_id}", delete_user, "manage_users", "Remove a user with all tokens", (REASON,),
          refusals=("not_found", "precondition_failed")),
    Route("GET", "/api/v1/settings/token", tokens, "manage_users", "Tokens: whose each is"),
    Route("POST", "/api/v1/settings/token", make_token, "manage_users", "Make a token; it is shown once", body=WantedToken, refusals=("invalid",)),
    Route("DELETE", "/api/v1/settings/token/{entity_id}", revoke_token, "manage_users", "Revoke a token", (REASON,),
          refusals=("not_found", "precondition_failed")),
    Route("GET", "/api/v1/settings", kinds, "read_log", "The kinds of settings"),
    Route("GET", "/api/v1/settings/{entity}", every, "read_log", "All settings of a kind", refusals=("not_found",), answer=shape("entity", "rows", "version")),
    Route("GET", _ONE, one, "read_log", "One entity with its ETag", (REVEAL, REASON), refusals=("not_found",), answer=shape("entity", "id", "value", "etag")),
    Route("PUT", _ONE, save, "change_settings", "Save an entity", body=Wanted, refusals=_SAVED),
    Route("DELETE", _ONE, delete, "change_settings", "Delete an entity that nothing refers to", (REASON,), refusals=("in_use", *_SAVED)),
)  # fmt: skip
