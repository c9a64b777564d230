"""`clicktrail sql` and `migrate`: the database."""

import sys
from typing import Annotated

import typer

from console import context, output


def sql(
    statement: Annotated[str, typer.Argument(help="A SELECT; `-` reads it from stdin.")],
    format_: Annotated[str, typer.Option("--format", help="Any of ClickHouse's formats: JSONEachRow, CSVWithNames, Parquet …")] = "",
    as_json: output.AsJson = False,
) -> None:
    """Ask the configured ClickHouse. Without --format: a table on a terminal, tab-separated values in a pipe."""
    from console.sql import checked
    from console.warehouse import Warehouse

    settings = context.load()
    warehouse = Warehouse(settings)
    found = checked(warehouse, settings.clickhouse.database, sys.stdin.read() if statement == "-" else statement)
    usual = "JSONEachRow" if as_json else "PrettyCompact" if sys.stdout.isatty() else "TabSeparatedWithNames"
    for piece in warehouse.stream(found.question.sql, format_ or found.output_format or usual):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only name what is pending; exit code 1 if anything is.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Bring the tables and views of the database up to date, and their retention (CLICKTRAIL_RETENTION__ROWS_DAYS)."""
    from sinks.migrations import keep_days
    from sinks.migrations import migrate as run
    from streams.runtime import probes

    settings = context.load()
    clickhouse = settings.clickhouse
    probes.require_clickhouse(clickhouse)
    names = run(clickhouse.dsn(), clickhouse.database, clickhouse.cluster, is_dry_run=dry_run)
    if not dry_run:
        keep_days(clickhouse.dsn(), settings.retention.rows_days or None, clickhouse.database, clickhouse.cluster)
    if as_json:
        output.show_json({"dry_run": dry_run, "migrations": names})
    elif names:
        output.note(f"{'Pending' if dry_run else 'Applied'}: {', '.join(names)}.")
    else:
        output.note("The database is up to date.")
    output.finding(dry_run and bool(names))
