"""`clicktrail topics`: the topics of the topology beside what the broker has."""

import asyncio
from typing import Any

from console import context, output


def ls(as_json: output.AsJson = False) -> None:
    """List the topics with their partitions; exit code 1 when one is missing or too small."""
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


def apply(as_json: output.AsJson = False) -> None:
    """Create the topics that are missing; those that exist are checked and left as they are."""
    from streams.runtime import topics

    created = asyncio.run(topics.create_missing(context.load()))
    if as_json:
        output.show_json({"created": created})
    else:
        output.note(f"Created {len(created)} topics: {', '.join(created)}." if created else "All topics exist.")
