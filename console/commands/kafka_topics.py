"""`clicktrail topics`: the topics of the topology beside what the broker has, and the way from one to the other."""

import asyncio
from typing import Annotated, Any

import typer

from console import context, output


def ls(as_json: output.AsJson = False) -> None:
    """List the topics with their partitions; exit code 1 when one is missing or has the wrong count."""
    from streams.runtime import topics

    async def ask() -> list[topics.TopicState]:
        settings = context.load()
        admin = await topics.connected(settings)
        try:
            return await topics.states(admin, settings)
        finally:
            await admin.close()

    rows: list[dict[str, Any]] = [
        {
            "topic": state.topic.name,
            "state": state.state,
            "partitions": state.partitions,
            "wanted": state.wanted,
            "cleanup": "compact" if state.topic.is_compacted else "delete",
            "content": state.topic.doc,
        }
        for state in asyncio.run(ask())
    ]
    output.show(rows, as_json)
    output.finding(any(row["state"] != "ok" for row in rows))


def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what differs; exit code 1 if anything does.")] = False,
    may_delete: Annotated[bool, typer.Option("--may-delete", help="Allow a retention that deletes records which are kept now.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Create missing topics and bring the settings of the others in line; what would break a promise is refused, with the reason."""
    from streams.runtime import topic_plan, topics

    settings = context.load()

    async def run() -> list[topic_plan.Step]:
        admin = await topics.connected(settings)
        try:
            found = await topic_plan.look(admin, settings)
            steps = topic_plan.plan(found, settings, may_delete=may_delete)
            if not dry_run:
                await topic_plan.carry_out(admin, found, steps, settings)
            return steps
        finally:
            await admin.close()

    steps = [step._asdict() for step in asyncio.run(run())]
    if as_json:
        output.show_json({"dry_run": dry_run, "steps": steps, "created": [step["topic"] for step in steps if step["kind"] == "create"]})
    elif steps:
        output.show(steps, as_json)
        output.note("Nothing was changed: this is a dry run." if dry_run else f"{len(steps)} steps done.")
    else:
        output.note("All topics are as they should be.")
    output.finding(dry_run and bool(steps))


def grow(
    to: Annotated[int, typer.Option(min=1, max=1024, help="Partitions that every keyed topic shall have.")],
    as_json: output.AsJson = False,
) -> None:
    """Give the keyed topics more partitions and move the state along, so that each identity keeps its order and its memory.

    Before: stop ingest, wait until `clicktrail lag` shows none for ledger, attribution and delivery, stop them. After: set CLICKTRAIL_PARTITIONS
    everywhere and start the roles. It checks the first and is safe to run again after an interruption.
    """
    from streams.runtime.growth import grow as run

    moved = asyncio.run(run(context.load(), to, output.note))
    if as_json:
        output.show_json({"partitions": to, "moved": moved})
    output.note(f"Moved {moved} keys. Now set CLICKTRAIL_PARTITIONS={to} for every role and start them.")
