"""`clicktrail worker ROLE`: the process that production runs N times, and that `up` runs once per role."""

import sys
from typing import Annotated

import typer

from console import context
from streams.runtime import logs
from streams.runtime.errors import BadSettings, near_match
from streams.runtime.settings import Settings

STAGE_ROLES = ("ledger", "attribution")
ROLES = ("ingest", *STAGE_ROLES, "sink")


def run(role: str, settings: Settings) -> int:
    """Run a role until it ends and return its exit code. Modules are imported here: a role loads only what is its own."""
    if role in STAGE_ROLES:
        from streams.runtime.app import run_role

        return int(run_role(role, settings) or 0)
    if role == "ingest":
        from streams.ingest.role import run as run_ingest

        start = run_ingest
    else:
        from sinks.role import run as run_sink

        start = run_sink
    import uvloop

    uvloop.run(start(settings))
    return 0


def worker(role: Annotated[str, typer.Argument(help=f"One of {', '.join(ROLES)}.")]) -> None:
    """Run one role in this process until it is stopped."""
    if role not in ROLES:
        raise BadSettings(f"{role} is not a role.", near_match(role, list(ROLES)) or f"Roles: {', '.join(ROLES)}.")
    settings = context.load()
    logs.configure(role, settings.log_level, settings.log_format)
    sys.exit(run(role, settings))
