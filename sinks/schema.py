"""What a table is made of, and how it is written as SQL: the generator behind `sinks/ddl/`. The tables themselves stand in `tables.py`.

A row travels as JSON with `_ms` integers and base64; a table has times and bytes. The engine does the translation, by EPHEMERAL columns
(fields that an INSERT may name and that are stored nowhere) and DEFAULT expressions over them, so the sink never parses a record. CPU-s per million rows of 1.6 KB, inserts of 20,000 (2 shared cores, chDB 26.9):

    way                                                Python  engine
    bytes spliced, JSONEachRow, EPHEMERAL columns         1.8      25
    bytes spliced, JSONEachRow, Null table + its view     2.0      22
    orjson + pyarrow, Arrow                                53      11   the cheaper engine costs three times the sum

A Null table with a materialized view is no dearer, but it accepts rows and forgets them while the view is missing (a migration, a
hand that dropped it): silence is the one thing that may not happen. EPHEMERAL columns cannot come apart from their table.
"""

from typing import NamedTuple

TIME = "DateTime64(3, 'UTC')"
WORD = "LowCardinality(String)"
WORD_OR_NULL = "LowCardinality(Nullable(String))"
TEXT_OR_NULL = "Nullable(String)"
SMALL = "Delta, ZSTD(1)"  # codec of times and offsets, which grow


class Column(NamedTuple):
    """One column. JSON carries it under its own name, unless `reads` names other fields and `default` makes the value from them."""

    name: str
    type: str
    comment: str
    codec: str = ""
    default: str = ""
    reads: tuple[tuple[str, str], ...] = ()  # (JSON field, type)
    is_sent: bool = True  # False: only `reads` are in the JSON
    since: int = 0  # the number of the migration that added it; 0: it came with its table

    def sql(self) -> list[str]:
        """Return the definitions: those of the fields it reads, then its own."""
        fields = [f"`{name}` {kind} EPHEMERAL" for name, kind in self.reads]
        default = f" DEFAULT {self.default}" if self.default else ""
        codec = f" CODEC({self.codec})" if self.codec else ""
        return [*fields, f"`{self.name}` {self.type}{default} COMMENT {quote(self.comment)}{codec}"]


class Table(NamedTuple):
    """One table: filled from `topics` if there are any. `log_time` is the column that holds the record's Kafka timestamp."""

    name: str
    comment: str
    why: str
    columns: tuple[Column, ...]
    order: str
    partition: str
    primary: str = ""
    engine: str = "ReplacingMergeTree"
    expires: str = ""  # the column that a retention counts from
    indexes: tuple[str, ...] = ()
    later_indexes: tuple[tuple[int, str], ...] = ()  # (number of the migration that added it, index)
    log_time: str = "logged_at"
    shard_by: str = ""  # columns whose hash chooses the shard; what a view puts together must lie together

    def insert_columns(self) -> list[str]:
        """Return the names that an INSERT lists: the fields of the JSON that the sink sends."""
        return [name for c in self.columns for name in (*((c.name,) if c.is_sent else ()), *(field for field, _ in c.reads))]

    def sql(self) -> str:
        """Return the migration that creates it, as it was at first. `${ON_CLUSTER}` and `${REPLICATED}` are empty on a single server."""
        lines = [line for column in self.columns if not column.since for line in column.sql()] + [
            f"INDEX {index}" for index in self.indexes
        ]
        primary = f"PRIMARY KEY ({self.primary})\n" if self.primary else ""
        return (
            f"{commented(self.why)}CREATE TABLE IF NOT EXISTS {self.name} ${{ON_CLUSTER}}\n(\n    "
            + ",\n    ".join(lines)
            + f"\n)\nENGINE = ${{REPLICATED}}{self.engine}\nPARTITION BY {self.partition}\n{primary}ORDER BY ({self.order})\n"
            + f"COMMENT {quote(self.comment)};\n"
        )

    def additions(self) -> dict[int, str]:
        """Return {number: migration} of the columns that came later, each behind the one that stands before it here, and of later indexes."""
        lines: dict[int, list[str]] = {}
        for before, column in zip(self.columns, self.columns[1:], strict=False):
            if column.since:
                *fields, own = column.sql()
                lines.setdefault(column.since, []).extend(
                    [*(f"ADD COLUMN IF NOT EXISTS {f}" for f in fields), f"ADD COLUMN IF NOT EXISTS {own} AFTER `{before.name}`"]
                )
        for number, index in self.later_indexes:
            lines.setdefault(number, []).append(f"ADD INDEX IF NOT EXISTS {index}")
        return {number: f"ALTER TABLE {self.name} ${{ON_CLUSTER}}\n    " + ",\n    ".join(found) + ";\n" for number, found in lines.items()}


class View(NamedTuple):
    """A view. It holds no data, so every `migrate` replaces it: a change to a view needs no migration."""

    name: str
    comment: str
    why: str
    columns: tuple[Column, ...]
    query: str

    def sql(self) -> str:
        """Return the statement that makes or replaces it."""
        columns = ",\n    ".join(f"`{c.name}` {c.type} COMMENT {quote(c.comment)}" for c in self.columns)
        head = f"{commented(self.why)}CREATE OR REPLACE VIEW {self.name} ${{ON_CLUSTER}}\n(\n    {columns}\n)\n"
        return head + f"AS {self.query.strip()}\nCOMMENT {quote(self.comment)};\n"


def quote(text: str) -> str:
    """Return a SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def commented(text: str) -> str:
    """Return lines of SQL comment."""
    return "".join(f"-- {line.strip()}\n" for line in text.strip().splitlines())


def time(name: str, field: str, comment: str) -> Column:
    """Return a time column that is read from a field of epoch milliseconds."""
    return Column(name, TIME, comment, SMALL, f"fromUnixTimestamp64Milli(`{field}`, 'UTC')", ((field, "Int64"),), is_sent=False)


def log_columns(log_time: str, comment: str) -> tuple[Column, ...]:
    """Return the columns that the sink adds to each record: where it stands in the log. They are the sink's offset store."""
    return (
        Column("log_partition", "UInt32", "Partition of the log record that this row is"),
        Column("log_offset", "UInt64", "Offset of the log record that this row is", SMALL),
        time(log_time, "logged_ms", comment),
    )
