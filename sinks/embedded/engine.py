"""chDB, the ClickHouse engine in this process: one connection per query, results through a pipe, inserts as a stream of bytes.

Why a fresh connection for each query. Settings, the current database, query parameters and temporary tables belong to a chDB
connection (SET survives the query), and after an error the *next* answer of the same connection begins with rows of the failed
one (seen in chDB 4.4). Opening one costs 0.4 ms, so nothing is ever shared or reset. Connections of one folder share the engine
and run side by side: chDB releases the GIL, `SELECT 1` took 1 to 2 ms while another connection ran for seconds.

Why a pipe. `query()` holds the whole result twice, `send_query()` repeats headers per block, which is wrong for JSON, Parquet, CSVWithNames …
`INTO OUTFILE '/dev/fd/N'` lets the engine write any format into a pipe, in constant memory: 259 MB of Native in 0.28 s, against
0.33 s by send_query and 1.4 s by query; 1.2 ms for `SELECT 1` against 0.7.

Why `send_insert`. 300,000 rows of 200 bytes into a MergeTree with ZSTD(3), in thousand rows/s on 2 cores:

    way                        Native  JSONEachRow  Arrow  Parquet   CSV
    data behind the statement  fails           286  fails    fails   430   binary data is cut at what looks like its end
    INSERT … FROM INFILE          699          606    797      894   810
    INSERT … SELECT file(…)       898          719    914      795   853   needs the types spelled out
    send_insert, 1 MB pieces      937          561  1,036      936   756   any format, counts rows, one part per insert, no file

100 rows of JSON take 2.7 ms by send_insert with a new connection and its settings; over HTTP, from clickhouse-connect, 5.3 ms,
and `SELECT 1` 2.7 ms (both about twice that when everything else on the two cores is busy). The process answers 1.0 s after its start.
"""

import contextlib
import math
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sinks.embedded.errors import TIMEOUT_EXCEEDED, ServerError

if TYPE_CHECKING:  # it needs us to fill its tables
    from sinks.embedded.external import ExternalTable

PIECE_BYTES = 1 << 20
_EXPLAIN_AST = re.compile(rb"(?is)(\s|--[^\n]*\n|/\*.*?\*/)*EXPLAIN(\s|--[^\n]*\n|/\*.*?\*/)+AST\b")
# What a server differs in from chDB's defaults: rows are acknowledged when they are in a part (async inserts can lose them,
# 5-reliability), a bare expression is no query, and no function shows the process's insides.
_CONNECTION = "?async_insert=0&implicit_select=0&allow_introspection_functions=0"


@dataclass(slots=True)
class Job:
    """One query's surroundings: where it runs, with which settings and parameters, and as which id."""

    query_id: str
    database: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    tables: list["ExternalTable"] = field(default_factory=list)


@dataclass(slots=True)
class Done:
    """What the engine counted, and the answer of a statement that is no query (small, in memory)."""

    read_rows: int = 0
    read_bytes: int = 0
    result_rows: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    answer: bytes = b""


class Engine:
    """The engine over one data folder. Its methods block: call them from worker threads."""

    def __init__(self, folder: Path) -> None:
        # chDB imports pyarrow and numpy if it can, for answers that we never ask for: 0.3 of 0.47 CPU-seconds of the start.
        sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]
        import chdb  # 0.5 GB of library: only the endpoint's own process loads it

        self._connect = chdb.connect
        self._target = f"{folder}{_CONNECTION}"
        self._anchor = self.connect()  # while one connection is open the engine stays up, with its merges and caches
        _die_of_crashes()
        rows = self._anchor.query("SELECT version(), timezone()", "TabSeparated").bytes().decode().split()
        self.version, self.timezone = rows[0], rows[1]

    def is_alive(self) -> bool:
        """Whether it still computes. Blocks for as long as it does not."""
        with contextlib.closing(self.connect()) as connection:
            return bool(connection.query("SELECT 1", "TabSeparated").bytes() == b"1\n")

    def connect(self) -> Any:
        """A connection with nothing set."""
        return self._connect(self._target)

    def failed_inserts(self) -> int:
        """How many inserts have failed since the start."""
        with contextlib.closing(self.connect()) as connection:
            return int(connection.query("SELECT sum(value) FROM system.events WHERE event = 'FailedInsertQuery'", "TabSeparated").bytes())

    def close(self) -> None:
        """Let go of the engine; it flushes what it has when the last connection closes."""
        self._anchor.close()

    def kill(self, query_id: str) -> None:
        """End a running query (Code 394 for whoever waits for it). chDB makes its own ids, so ours travels as log_comment."""
        with contextlib.closing(self.connect()) as connection:
            connection.query(f"KILL QUERY WHERE Settings['log_comment'] = {quote(query_id)} ASYNC", "Null")


def _die_of_crashes() -> None:
    """A crash must end the process: chDB catches its signals to write a report, and then hangs (seen after SIGABRT)."""
    for number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS):
        signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """What chDB raises, as ServerError."""
    try:
        yield
    except RuntimeError as error:
        raise ServerError.from_engine(error) from None


def prepare(connection: Any, job: Job) -> None:
    """Bring the connection into the state that the job asks for; unknown databases and settings raise their usual errors."""
    with engine_errors():
        if job.database:
            connection.query(f"USE {quote(job.database, '`')}")
        values = job.settings | {"log_comment": job.query_id}
        values |= {f"param_{name}": value for name, value in job.parameters.items()}
        readonly = values.pop("readonly", "0")
        connection.query("SET " + ", ".join(f"{quote(name, '`')} = {quote(value)}" for name, value in values.items()))
        for table in job.tables:
            table.create(connection)
        if readonly != "0":  # last, as it forbids further changes
            connection.query(f"SET readonly = {quote(readonly)}")


def read(connection: Any, body: bytes, tail: bytes, pipe: int) -> Done:
    """Run a query whose rows go into the pipe; `tail` is its FORMAT clause. The caller closes the pipe."""
    if _EXPLAIN_AST.match(body):
        return _read_tree(connection, body, tail, pipe)
    statement = body + f"\nINTO OUTFILE '/dev/fd/{pipe}' TRUNCATE ".encode() + tail
    with engine_errors():
        return _counted(connection.query(statement, "TabSeparated"))


def _read_tree(connection: Any, body: bytes, tail: bytes, pipe: int) -> Done:
    """EXPLAIN AST takes whatever stands behind it for a part of what it explains, INTO OUTFILE too; its answer is small."""
    with engine_errors():
        result = connection.query(body.decode(), tail.decode().split()[1] if tail.strip() else "TabSeparated")
    with os.fdopen(os.dup(pipe), "wb") as file:
        file.write(result.bytes() or b"")
    return _counted(result)


def run(connection: Any, statement: bytes, default_format: str) -> Done:
    """Run anything else: DDL, INSERT … SELECT, KILL, SET. What it answers is small."""
    with engine_errors():
        result = connection.query(statement, default_format)
        done = _counted(result)
        done.answer = result.bytes() or b""
        return done


def insert(connection: Any, statement: bytes, input_format: str, data: IO[bytes], limit_s: float = 0) -> Done:
    """Feed the rest of `data` to an INSERT. Nothing is committed before its end unless it fills a block (about 1 M rows)."""
    ends_at = time.monotonic() + limit_s if limit_s else math.inf
    with engine_errors():
        inserter = connection.send_insert(statement, input_format)
        try:
            for piece in _pieces(data):
                inserter.append(piece)
                if time.monotonic() > ends_at:
                    raise ServerError(TIMEOUT_EXCEEDED, f"Timeout exceeded: an INSERT may take {limit_s:g} s (max_execution_time)")
            result = inserter.finish()
        finally:
            with contextlib.suppress(RuntimeError):
                inserter.cancel()
    return Done(written_rows=result.rows_written, written_bytes=result.bytes_written)


def copy(data: IO[bytes], file: IO[bytes]) -> None:
    """The rest of `data` into a file that the engine opens by its name."""
    for piece in _pieces(data):
        file.write(piece)
    file.flush()


def _pieces(data: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: data.read(PIECE_BYTES), b"")


def _counted(result: Any) -> Done:
    return Done(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        result_rows=result.rows_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
    )


def quote(text: str, mark: str = "'") -> str:
    """A string literal, or with a backtick an identifier."""
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def open_pipe() -> tuple[int, int]:
    """A pipe of 1 MB where the system allows it: the default 64 KB doubles the number of wake-ups."""
    reading, writing = os.pipe()
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIECE_BYTES)
    return reading, writing
