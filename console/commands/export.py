"""`clicktrail export`: a list as a file."""

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from console import context, filters, output
from streams.runtime.errors import BadSettings


def export(
    name: Annotated[
        str, typer.Argument(metavar="LIST", help="events, integration_events, system_logs, visits, postbacks, activity or dead_letters.")
    ] = "events",
    form: Annotated[Literal["csv", "parquet", "ndjson", ""], typer.Option("--format", help="csv unless --json is given.")] = "",
    to: Annotated[str, typer.Option("--output", "-o", help="A file; without it, stdout.")] = "",
    status: Annotated[str, typer.Option(help="ok, discarded, deduplicated or error.", autocompletion=filters.words_like("status"))] = "",
    view_status: Annotated[str, typer.Option(help="success, info or failure.", autocompletion=filters.words_like("view_status"))] = "",
    reason: Annotated[str, typer.Option(help="A reason's code.", autocompletion=filters.words_like("reason"))] = "",
    source: Annotated[str, typer.Option(help="A source's id.")] = "",
    type_: Annotated[str, typer.Option("--type", help="The kind of source, or of visit.")] = "",
    event_type: Annotated[str, typer.Option(help="Visits, Clicks or Conversions.")] = "",
    campaign: Annotated[str, typer.Option(help="A campaign's id.")] = "",
    traffic_source: Annotated[str, typer.Option(help="A traffic source's id.")] = "",
    property_: Annotated[str, typer.Option("--property", help="A property's id.")] = "",
    entity: Annotated[str, typer.Option(help="Of activity: what kind of thing was changed.")] = "",
    action: Annotated[str, typer.Option(help="Of activity: created, updated or deleted.")] = "",
    author: Annotated[str, typer.Option(help="Of activity: who.")] = "",
    since: Annotated[str, typer.Option(help="From this time on: 2026-11-25, 24h, 7d.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    as_json: output.AsJson = False,
) -> None:
    """Write a list with its filters as CSV, Parquet or NDJSON; says on stderr how many rows it wrote."""
    from console import exporting, lists
    from console.warehouse import Warehouse

    chosen = form or ("ndjson" if as_json else "csv")
    given = {
        "status": status, "view_status": view_status, "reason": reason, "source": source, "type": type_, "event_type": event_type,
        "campaign": campaign, "traffic_source": traffic_source, "property": property_, "entity": entity, "action": action, "author": author,
        "from": since, "to": until,
    }  # fmt: skip
    sql, values = exporting.statement(lists.listed(name), chosen, given)
    if chosen == "parquet" and not to and sys.stdout.isatty():
        raise BadSettings("Parquet is no text.", "Name a file with --output, or send it into a pipe.")
    found = exporting.Export(Warehouse(context.load()), sql, values, chosen)
    _write(found, to)
    if as_json and to:
        output.show_json({"list": name, "format": chosen, "output": to, "rows": found.row_count})
    output.note(f"{found.row_count:,} row{'' if found.row_count == 1 else 's'} of {name}{f' in {to}' if to else ''}.")


def _write(pieces: Iterable[bytes], to: str) -> None:
    try:
        with Path(to).open("wb") if to else nullcontext(sys.stdout.buffer) as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
    except OSError as error:
        if not to:
            raise  # nobody reads any more: console/cli.py
        raise BadSettings(
            f"{to} cannot be written: {error.strerror or error}.", "Name a file in a folder that is there, with room."
        ) from error
