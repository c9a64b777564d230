"""`clicktrail rebuild`: all of ClickHouse from the topics alone."""

import asyncio
from typing import Annotated

import typer

from console import context, output


def rebuild(
    into: Annotated[str, typer.Option(help="Name of the new database; the one in use stays as it is.")],
    as_json: output.AsJson = False,
) -> None:
    """Fill a new database from the topics, and compare it with the one in use; exit code 1 when rows of that one are missing.

    It may run while the sinks do; before it compares, they must be stopped. When it is complete, set CLICKTRAIL_CLICKHOUSE__DATABASE to the
    new name for every role, and start them. It is resumed where it stopped.
    """
    from console.rebuild import rebuild as run
    from streams.runtime import logs

    logs.configure("rebuild", "warning")  # the sink runs in here, and its lines would stand among the answer
    rows = [found._asdict() for found in asyncio.run(run(context.load(), into, output.note))]
    output.show(rows, as_json)
    missing = sum(row["missing"] for row in rows)
    if missing:
        output.note(f"{missing} rows of the database in use are not in {into}: the topics no longer hold them, or judge them otherwise.")
    else:
        output.note(f"{into} has every row. Set CLICKTRAIL_CLICKHOUSE__DATABASE={into} for every role.")
    output.finding(bool(missing))
