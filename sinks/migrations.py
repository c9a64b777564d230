"""Brings a ClickHouse to the schema of this version: migrations once each, in order, then all views anew.

clickhouse-migrations keeps the books (version and checksum of each applied file, status, dry run, a lock on clusters) and runs over HTTP by
clickhouse-connect, as everything else here does; its own default is the native protocol, which the embedded engine does not speak.
"""

from typing import NamedTuple

from clickhouse_migrations.clickhouse_cluster import ClickhouseCluster
from clickhouse_migrations.migration import MigrationStorage
from clickhouse_migrations.substitution import substitute

from sinks.cluster import ACROSS, front, shard_database
from sinks.ddl import FOLDER
from sinks.tables import DERIVED, TABLES

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


def home(database: str, cluster: str) -> str:
    """Return the database that holds the tables: on a cluster, the one on the shards."""
    return shard_database(database) if cluster else database


def migrate(url: str, database: str = DATABASE, cluster: str = "", *, is_dry_run: bool = False) -> list[str]:
    """Apply what is pending and replace the views; return the names of the migrations applied (or, in a dry run, pending)."""
    if is_dry_run:
        return [migration.name for migration in status(url, database, cluster) if migration.state == "pending"]
    books, tables = _books(url), home(database, cluster)
    applied = books.migrate(tables, FOLDER, cluster_name=cluster or None, variables=variables(cluster))
    with books.connection(tables) as connection:
        for statement in views(variables(cluster)):
            connection.command(statement)
        if cluster:
            for statement in front(database, cluster, variables(cluster)["ON_CLUSTER"]):
                connection.command(statement)
    if cluster:
        with books.connection(database) as connection:
            for statement in views(variables(cluster), {view.name for view in ACROSS}):
                connection.command(statement)
    names = MigrationStorage(FOLDER).migration_filenames()
    return [names[migration.version] for migration in applied]


def views(values: dict[str, str], names: set[str] | None = None) -> list[str]:
    """Return the statements that make or replace the views (those of `names`), in order."""
    paths = [path for path in sorted((FOLDER / "views").glob("*.sql")) if names is None or path.stem.partition("_")[2] in names]
    return [substitute(path.read_text(encoding="utf-8"), values, path.name).rstrip().rstrip(";") for path in paths]


def status(url: str, database: str = DATABASE, cluster: str = "") -> list[Migration]:
    """Return every migration with its state; changes nothing."""
    names = MigrationStorage(FOLDER).migration_filenames()
    return [
        Migration(names.get(row.version, f"{row.version:03}"), row.state) for row in _books(url).status(home(database, cluster), FOLDER)
    ]


def keep_days(url: str, days: int | None, database: str = DATABASE, cluster: str = "") -> None:
    """Delete rows `days` after their time (None keeps them for ever). Whole parts go when all of their rows are due."""
    on_cluster = variables(cluster)["ON_CLUSTER"]
    with _books(url).connection(home(database, cluster)) as connection:
        for table in (*TABLES, *(table for _, table in DERIVED)):
            if table.expires:
                ttl = f"MODIFY TTL toDateTime({table.expires}) + INTERVAL {days} DAY" if days else "REMOVE TTL"
                has_ttl = " TTL " in connection.query(f"SHOW CREATE TABLE {table.name}")[0]["statement"]
                if days or has_ttl:
                    connection.command(f"ALTER TABLE {table.name} {on_cluster} {ttl}")
