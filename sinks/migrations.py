"""Brings a ClickHouse to the schema of this version: migrations once each, in order, then all views anew.

clickhouse-migrations keeps the books (version and checksum of each applied file, status, dry run, a lock on clusters) and runs over HTTP by
clickhouse-connect, as everything else here does; its own default is the native protocol, which the embedded engine does not speak.
"""

from typing import NamedTuple

from clickhouse_migrations.clickhouse_cluster import ClickhouseCluster
from clickhouse_migrations.migration import MigrationStorage
from clickhouse_migrations.substitution import substitute

from sinks.ddl import FOLDER
from sinks.tables import TABLES

DATABASE = "clicktrail"


class Migration(NamedTuple):
    """One file: state is applied, pending, md5-mismatch (changed since) or unknown (applied by a later version of the program)."""

    name: str
    state: str


def variables(cluster: str = "") -> dict[str, str]:
    """Return what the placeholders of the files stand for: on a cluster every statement runs everywhere and tables are replicated."""
    return {"ON_CLUSTER": f"ON CLUSTER `{cluster}`" if cluster else "", "REPLICATED": "Replicated" if cluster else ""}


def _books(url: str) -> ClickhouseCluster:
    return ClickhouseCluster(db_url=url, driver="clickhouse-connect", migrations_table="schema_versions")


def migrate(url: str, database: str = DATABASE, cluster: str = "", *, is_dry_run: bool = False) -> list[str]:
    """Apply what is pending and replace the views; return the names of the migrations applied (or, in a dry run, pending)."""
    if is_dry_run:
        return [migration.name for migration in status(url, database) if migration.state == "pending"]
    books = _books(url)
    applied = books.migrate(database, FOLDER, cluster_name=cluster or None, variables=variables(cluster))
    with books.connection(database) as connection:
        for path in sorted((FOLDER / "views").glob("*.sql")):
            connection.command(substitute(path.read_text(encoding="utf-8"), variables(cluster), path.name).rstrip().rstrip(";"))
    names = MigrationStorage(FOLDER).migration_filenames()
    return [names[migration.version] for migration in applied]


def status(url: str, database: str = DATABASE) -> list[Migration]:
    """Return every migration with its state; changes nothing."""
    names = MigrationStorage(FOLDER).migration_filenames()
    return [Migration(names.get(row.version, f"{row.version:03}"), row.state) for row in _books(url).status(database, FOLDER)]


def keep_days(url: str, days: int | None, database: str = DATABASE, cluster: str = "") -> None:
    """Delete rows `days` after their time (None keeps them for ever). Whole parts go when all of their rows are due."""
    on_cluster = variables(cluster)["ON_CLUSTER"]
    with _books(url).connection(database) as connection:
        for table in TABLES:
            if table.expires:
                ttl = f"MODIFY TTL toDateTime({table.expires}) + INTERVAL {days} DAY" if days else "REMOVE TTL"
                has_ttl = " TTL " in connection.query(f"SHOW CREATE TABLE {table.name}")[0]["statement"]
                if days or has_ttl:
                    connection.command(f"ALTER TABLE {table.name} {on_cluster} {ttl}")
