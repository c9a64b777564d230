"""A ClickHouse cluster: the same migrations on every shard, and in front of them a database that looks like a single server's.

    clicktrail_shard   on every replica: the tables (Replicated…) and views, made by the very files that make them on a single server
    clicktrail         on every replica: what everybody asks. Distributed tables over the shards' tables, and over those of their views whose rows
                       are whole within a shard; views that put rows of several shards together are made anew over these

Rows are sharded by account and event id (`Table.shard_by`): all revisions of an event lie together, so the anti-join of the view `events`
runs on each shard by itself, as fast as it did, and nothing is joined across shards. A shard more takes new rows; old ones stay where
they are until they expire, and reads ask all shards anyway.

The front holds no data, so every `migrate` replaces it, with the columns that migrations added to the shards.
"""

from sinks.tables import DERIVED, TABLES
from sinks.views import EVENTS, POSTBACKS, VIEWS

WHOLE = (EVENTS, POSTBACKS)  # views whose rows come from one shard each
ACROSS = tuple(view for view in VIEWS if view not in WHOLE)


def shard_database(database: str) -> str:
    """Return the name of the database behind `database`, on each shard."""
    return f"{database}_shard"


def front(database: str, cluster: str, on_cluster: str) -> list[str]:
    """Return the statements that make the front; the shards' tables and views must be there. `on_cluster` is the clause, or nothing."""
    behind = shard_database(database)
    statements = [f"CREATE DATABASE IF NOT EXISTS `{database}` {on_cluster}"]
    for table in (*TABLES, *(table for _, table in DERIVED)):
        where = f"'{cluster}', '{behind}', '{table.name}', cityHash64({table.shard_by})"
        statements.append(
            f"CREATE OR REPLACE TABLE `{database}`.{table.name} {on_cluster} AS `{behind}`.{table.name} ENGINE = Distributed({where})"
        )
    for view in WHOLE:
        columns = ", ".join(f"`{column.name}` {column.type}" for column in view.columns)
        where = f"'{cluster}', '{behind}', '{view.name}'"
        statements.append(f"CREATE OR REPLACE TABLE `{database}`.{view.name} {on_cluster} ({columns}) ENGINE = Distributed({where})")
    return statements
