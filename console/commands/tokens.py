"""`clicktrail tokens`: keys of users to the API. A token is printed once, when it is made; only its hash is kept."""

import asyncio
from typing import Annotated

import typer

from console import context, output
from console.commands.users import Author, Reason, told


def ls(as_json: output.AsJson = False) -> None:
    """List the tokens: whose each is, never the token itself."""
    from console import people
    from console.apply import current_entities

    found = people.of_kind(asyncio.run(current_entities(context.load())), "token")
    output.show([{"id": token_id, "user_id": token["user_id"]} for token_id, token in found.items()], as_json, empty="No tokens yet.")


def create(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="Whose it is.")],
    token_id: Annotated[str, typer.Argument(metavar="NAME", help="What it is called, for example ann-laptop.")],
    author: Author = "",
    reason: Reason = "",
    as_json: output.AsJson = False,
) -> None:
    """Make a token and print it, this once."""
    from console import people
    from console.apply import current_entities

    settings = context.load()
    token, changes = people.minted(asyncio.run(current_entities(settings)), user_id, token_id)
    asyncio.run(people.change(settings, changes, author or context.user(), reason or "tokens create"))
    if as_json:
        output.show_json({"id": token_id, "user_id": user_id, "token": token})
    else:
        print(token)
        output.note("Keep it now: it is not shown again.")


def revoke(
    token_id: Annotated[str, typer.Argument(metavar="NAME")], author: Author = "", reason: Reason = "", as_json: output.AsJson = False
) -> None:
    """Make a token worthless, from now on."""
    from console import people
    from console.apply import current_entities

    settings = context.load()
    changes = people.revoked(asyncio.run(current_entities(settings)), token_id)
    told(asyncio.run(people.change(settings, changes, author or context.user(), reason or "tokens revoke")), as_json)
