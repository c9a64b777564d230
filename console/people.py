"""Users and their tokens: made, changed and taken away as entities of the workspace, so each is a row of the activity log.

A token is shown once, when it is made. What is kept is its SHA-256, and nothing turns that back: a lost token is revoked and another one
made. It begins with `ct_`, so that scanners of repositories and logs find one that got loose.
"""

import hashlib
import secrets
from typing import Any, Final

from pydantic import ValidationError

from console.apply import Entities
from schemas.entities import ENTITY_MODELS
from schemas.permissions import current_role, may
from schemas.problems import problems_of
from schemas.workspace import missing_references
from streams.runtime.errors import BadSettings, near_match
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Activity, Change, SettingsStore

TOKEN_BEGINNING: Final = "ct_"  # noqa: S105 - a name
TOKEN_BYTES: Final = 32


def of_kind(entities: Entities, entity: str) -> dict[str, dict[str, Any]]:
    """Return id -> value of all of one kind."""
    return {entity_id: value for (kind, entity_id), value in sorted(entities.items()) if kind == entity}


def user_rows(entities: Entities) -> list[dict[str, Any]]:
    """Return the users as rows; who may see personal data is a property of the role."""
    tokens = of_kind(entities, "token").values()
    rows = []
    for user_id, value in of_kind(entities, "user").items():
        role = str(current_role(value.get("role", "viewer")))
        count = sum(token["user_id"] == user_id for token in tokens)
        rows.append(
            {
                "id": user_id,
                "name": value["name"],
                "email": value["email"],
                "role": role,
                "may_read_pii": may(role, "read_pii"),
                "tokens": count,
            }
        )
    return rows


def added(entities: Entities, value: dict[str, Any]) -> list[Change]:
    """Return the change that makes a user or changes one: role, name, e-mail."""
    _checked("user", value["id"], value, entities)
    _keep_an_owner(entities, value["id"], value)
    return [Change("user", value["id"], value)]


def removed(entities: Entities, user_id: str) -> list[Change]:
    """Return the changes that remove a user with all tokens: none of them may outlive its user."""
    users = of_kind(entities, "user")
    if user_id not in users:
        raise BadSettings(f"There is no user {user_id!r}.", near_match(user_id, list(users)) or "`clicktrail users ls` lists them.")
    _keep_an_owner(entities, user_id, None)
    tokens = [token_id for token_id, token in of_kind(entities, "token").items() if token["user_id"] == user_id]
    return [*(Change("token", token_id, None) for token_id in tokens), Change("user", user_id, None)]


def minted(entities: Entities, user_id: str, token_id: str) -> tuple[str, list[Change]]:
    """Return (the token, the change that keeps its hash). BadSettings when the id is taken or the user does not exist."""
    if ("token", token_id) in entities:
        raise BadSettings(f"There is a token {token_id!r} already.", "Give another name, or revoke it first: `clicktrail tokens revoke`.")
    token = TOKEN_BEGINNING + secrets.token_urlsafe(TOKEN_BYTES)
    value = {"id": token_id, "user_id": user_id, "sha256": hash_of(token)}
    _checked("token", token_id, value, entities)
    return token, [Change("token", token_id, value)]


def revoked(entities: Entities, token_id: str) -> list[Change]:
    """Return the change that makes a token worthless."""
    tokens = list(of_kind(entities, "token"))
    if token_id not in tokens:
        raise BadSettings(f"There is no token {token_id!r}.", near_match(token_id, tokens) or "`clicktrail tokens ls` lists them.")
    return [Change("token", token_id, None)]


def hash_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def user_of(entities: Entities, token: str) -> dict[str, Any] | None:
    """Return the user whose token this is, None when it is nobody's (any more)."""
    wanted = hash_of(token)
    found = next((kept for kept in of_kind(entities, "token").values() if secrets.compare_digest(kept["sha256"], wanted)), None)
    return entities.get(("user", found["user_id"])) if found else None


async def change(settings: Settings, changes: list[Change], author: str, reason: str) -> list[Activity]:
    """Write changes, all of them or none, each with its activity row."""
    feed = SettingsFeed(settings)
    try:
        await feed.start()
        return await SettingsStore(settings, feed).apply(changes, author, reason)
    finally:
        await feed.stop()


def _checked(entity: str, entity_id: str, value: dict[str, Any], entities: Entities) -> None:
    try:
        model = ENTITY_MODELS[entity].model_validate(value)
    except ValidationError as error:
        raise BadSettings("; ".join(map(str, problems_of(error, f"{entity} {entity_id}")))) from error
    if problems := missing_references(entity, entity_id, model, lambda *key: key in entities):
        raise BadSettings("; ".join(map(str, problems)))


def _keep_an_owner(entities: Entities, user_id: str, value: dict[str, Any] | None) -> None:
    """Refuse to take away the last owner while there is anybody: nobody could give rights any more."""
    users = of_kind(entities, "user")
    after = {**users, user_id: value} if value else {other: user for other, user in users.items() if other != user_id}
    had = any(current_role(user.get("role")) == "owner" for user in users.values())
    if had and after and not any(current_role(user.get("role")) == "owner" for user in after.values()):
        raise BadSettings(f"{user_id} is the last owner.", "Make somebody else an owner first: `clicktrail users add ID --role owner`.")
