"""`clicktrail worker ROLE`: the process that production runs N times, and that `up` runs once per role."""

from typing import Annotated

import typer

from console import worker as process


def worker(role: Annotated[str, typer.Argument(help=f"One of {', '.join(process.ROLES)}.")]) -> None:
    """Run one role in this process until it is stopped."""
    raise typer.Exit(process.start(role))
