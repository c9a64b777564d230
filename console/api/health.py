"""How the machine is: the stages as a pipe, the services under it."""

from typing import Any

from console.server.openapi import shape
from console.server.route import Ask, Route


async def health(ask: Ask) -> dict[str, Any]:
    """Return the pipe as it is now; what does not answer is said within two seconds."""
    return await ask.context.pipe.health()


ROUTES = (
    Route(
        "GET",
        "/api/v1/health",
        health,
        "read_log",
        "The stages as a pipe: rates, lag, age of the oldest record, dead letters",
        answer=shape("is_well", "services", "stages", "at"),
    ),
)
