"""`clicktrail erase`: forget a person."""

import asyncio
from typing import Annotated, Any

import typer

from console import context, output
from streams.runtime.errors import BadSettings


def _option(text: str) -> Any:
    return typer.Option(help=text, show_default=False)


def erase(
    email: Annotated[str, _option("The person's e-mail address.")] = "",
    phone: Annotated[str, _option("The person's phone number, with its country code.")] = "",
    external_id: Annotated[str, _option("The person's id in your shop.")] = "",
    click_id: Annotated[str, _option("A click of the person.")] = "",
    ip: Annotated[str, _option("An IP address; all who had it are meant.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it, only what would be erased is shown.")] = False,
    author: Annotated[str, typer.Option(help="Who erases; default: you.")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the activity log. Do not name the person in it.")] = "erasure",
    as_json: output.AsJson = False,
) -> None:
    """Forget a person: their data in topics, state and ClickHouse becomes unreadable; statuses, sums and counts stay.

    Before --yes: stop ingest, wait until `clicktrail lag` shows none, stop ledger, attribution, delivery and sink (on one machine: `clicktrail down`,
    then `clicktrail up --services-only`). It checks that, may be interrupted, and is safe to run again. Afterwards start the roles.
    Not covered: files that somebody exported, backups, settings and the activity log (it says whether these name the person).
    """
    from console.erasure.run import erase as run
    from console.erasure.run import look
    from streams.person import person
    from streams.runtime import logs, probes

    given = {"email": email, "phone": phone, "external_id": external_id, "click_id": click_id, "ip": ip}
    named = [(kind, text) for kind, text in given.items() if text]
    if len(named) != 1:
        raise BadSettings("Name one identifier: --email, --phone, --external-id, --click-id or --ip.", "Several: run it once for each.")
    settings = context.load()
    logs.configure("erase", "warning")
    try:
        who = person(*named[0], settings.pii_secret())
    except ValueError as error:
        raise BadSettings(str(error), "Nothing was searched.") from error
    probes.require_clickhouse(settings.clickhouse)
    todo = asyncio.run(run(settings, who, author or context.user(), reason, output.note) if yes else look(settings, who, output.note))
    counts = todo.counts
    if as_json:
        output.show_json({
            "dry_run": not yes, "person": who.pseudonym, "events": len(todo.closure.events), "clicks": len(todo.closure.clicks),
            "found": counts, "kept": todo.kept,
        })  # fmt: skip
    else:
        output.show([{"store": name, "records": count} for name, count in counts.items()], as_json, empty="Nothing names this person.")
        if todo.kept:
            output.note(
                f"Left alone, although it names the person: {todo.kept}. A setting is changed in the console; the activity log stays."
            )
        if counts:
            output.note("Erased." if yes else "Nothing was changed: this is a dry run. `--yes` does it, with the roles stopped.")
    output.finding(bool(counts) and not yes)
