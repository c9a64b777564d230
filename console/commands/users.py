"""`clicktrail users`: who works in the workspace, and as what."""

import asyncio
from typing import Annotated, Any

import typer

from console import context, output
from schemas.permissions import ROLES
from streams.runtime.errors import BadSettings, near_match

Reason = Annotated[str, typer.Option(help="Why; stands in the activity log.")]
Author = Annotated[str, typer.Option(help="Who changes it; default: you.")]


def ls(as_json: output.AsJson = False) -> None:
    """List the users with their role, and whether it lets them see personal data."""
    from console import people
    from console.apply import current_entities

    output.show(people.user_rows(asyncio.run(current_entities(context.load()))), as_json, empty="No users yet.")


def add(
    user_id: Annotated[str, typer.Argument(metavar="ID")],
    email: Annotated[str, typer.Option(help="Address; needed for a new user.")] = "",
    name: Annotated[str, typer.Option(help="Name; default: the id, or the name as it is.")] = "",
    role: Annotated[str, typer.Option(help="viewer, analyst, editor or owner; default: viewer, or the role as it is.")] = "",
    author: Author = "",
    reason: Reason = "",
    as_json: output.AsJson = False,
) -> None:
    """Add a user, or change the role, name or address of one."""
    from console import people
    from console.apply import current_entities

    if role and role not in ROLES:
        raise BadSettings(f"{role!r} is no role.", near_match(role, list(ROLES)) or f"The roles are: {', '.join(ROLES)}.")
    settings = context.load()
    entities = asyncio.run(current_entities(settings))
    before = entities.get(("user", user_id), {})
    if not (email or before):
        raise BadSettings(f"{user_id} is new and has no e-mail address.", "Give it with --email.")
    given = {
        "name": name or before.get("name") or user_id,
        "email": email or before.get("email"),
        "role": role or before.get("role") or "viewer",
    }
    done = asyncio.run(
        people.change(settings, people.added(entities, {**before, "id": user_id, **given}), author or context.user(), reason or "users add")
    )
    told(done, as_json)


def rm(
    user_id: Annotated[str, typer.Argument(metavar="ID")], author: Author = "", reason: Reason = "", as_json: output.AsJson = False
) -> None:
    """Remove a user and revoke all of the user's tokens."""
    from console import people
    from console.apply import current_entities

    settings = context.load()
    entities = asyncio.run(current_entities(settings))
    told(asyncio.run(people.change(settings, people.removed(entities, user_id), author or context.user(), reason or "users rm")), as_json)


def told(done: list[Any], as_json: bool) -> None:
    """Print what was done."""
    changes = [{name: row[name] for name in ("action", "entity", "entity_id", "activity_id")} for row in done]
    if as_json:
        output.show_json({"changes": changes})
    elif changes:
        output.note("; ".join(f"{row['entity']} {row['entity_id']} {row['action']}" for row in changes) + ".")
    else:
        output.note("No change.")
