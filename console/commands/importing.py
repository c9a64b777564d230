"""`clicktrail import`: what `export` wrote, back into a database."""

from contextlib import nullcontext
from pathlib import Path
from sys import stdin
from typing import Annotated, Literal

import typer

from console import context, output
from streams.runtime.errors import BadSettings


def import_(
    file: Annotated[str, typer.Argument(help="A file of `clicktrail export`, NDJSON or Parquet; `-` reads stdin.")],
    name: Annotated[str, typer.Option("--list", help="Which list it is: events, visits or activity.")] = "events",
    form: Annotated[Literal["parquet", "ndjson", ""], typer.Option("--format", help="Without it, the file's ending says so.")] = "",
    as_json: output.AsJson = False,
) -> None:
    """Write the rows of an export into this database as they were; what is there already stays, what would differ is refused."""
    from console import importing
    from console.warehouse import Warehouse

    chosen = form or Path(file).suffix.removeprefix(".")
    if chosen not in importing.FORMATS:
        raise BadSettings(
            f"{file} is not known to be NDJSON or Parquet.", "Say --format ndjson or --format parquet; a CSV is for spreadsheets."
        )
    try:
        with Path(file).open("rb") if file != "-" else nullcontext(stdin.buffer) as content:
            done = importing.import_rows(Warehouse(context.load()), name, chosen, content)
    except OSError as error:
        raise BadSettings(f"{file} cannot be read: {error.strerror or error}.") from error
    if as_json:
        output.show_json({"list": name, **done._asdict()})
    else:
        output.note(f"{done.rows:,} rows: {done.written:,} written, {done.known:,} were here already.")
