"""The user `clicktrail_query`: may ask and nothing else. On a server its grants see to that; chDB has no users, so we do.

The same check runs in the console before it asks (`sinks/read_only.py`); here it holds for whoever speaks to the endpoint as that user.
"""

import contextlib
import threading
from typing import IO

import orjson

from sinks import read_only
from sinks.embedded.engine import Engine, Job, engine_errors, prepare
from sinks.embedded.errors import ACCESS_DENIED, ServerError
from sinks.embedded.sessions import Session
from sinks.embedded.statement import Statement

SETTINGS = {name: str(value) for name, value in read_only.LIMITS.items()}


class Restricted:
    """Checks statements of the restricted user. Its methods block: call them from worker threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._functions: list[dict[str, str]] = []

    def check(self, job: Job, session: Session | None, parsed: Statement, text: IO[bytes]) -> None:
        """Raise ServerError for what is no question to the tables of the job's database; sessions keep what others set."""
        if parsed.kind != "read" or job.tables or session is not None:
            raise ServerError(ACCESS_DENIED, f"{read_only.QUERY_USER}: only questions are answered")
        catalogue = self._catalogue(job.database or "default")
        text.seek(0)
        try:
            found = read_only.read(text.read().decode(errors="strict"), catalogue)
            read_only.check_tree(self._tree(job, found), found, catalogue)
        except (read_only.NotAllowed, UnicodeDecodeError) as error:
            raise ServerError(ACCESS_DENIED, f"{read_only.QUERY_USER}: {error}") from error

    def _tree(self, job: Job, found: Statement) -> str:
        with contextlib.closing(self._engine.connect()) as connection:
            prepare(connection, Job(job.query_id, job.database, {"readonly": "1"}, job.parameters))
            with engine_errors():
                return str(connection.query("EXPLAIN AST " + found.body.decode(), "TabSeparatedRaw").bytes().decode(errors="replace"))

    def _catalogue(self, own: str) -> read_only.Catalogue:
        with self._lock, contextlib.closing(self._engine.connect()) as connection, engine_errors():
            if not self._functions:
                self._functions = [orjson.loads(line) for line in connection.query(read_only.CATALOGUE, "JSONEachRow").bytes().splitlines()]
            databases = connection.query(read_only.DATABASES, "TabSeparatedRaw").bytes().decode().splitlines()
        return read_only.Catalogue.of(self._functions, databases, own, read_only.CLIENTS_SYSTEM)
