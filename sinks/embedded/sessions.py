"""Sessions: the few things that may survive a query, for the clients that ask for them with `session_id`.

clickhouse-connect opens a session for every client by default and almost never uses it, so a session is first only a name that
one query at a time may hold. It gets a connection of its own at the first statement that leaves something behind (SET, USE,
CREATE TEMPORARY TABLE); settings that came with a request's URL are put back afterwards, as they belong to that request only.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sinks.embedded.engine import Engine, Job, engine_errors, prepare, quote
from sinks.embedded.errors import READONLY, SESSION_IS_LOCKED, SESSION_NOT_FOUND, ServerError
from sinks.embedded.request import Wish
from sinks.embedded.statement import Statement


@dataclass(slots=True)
class Session:
    """A name, whether a query holds it, and its connection if it has something to remember."""

    ends_at: float
    is_locked: bool = False
    connection: Any = None


class Sessions:
    """All sessions of the process. Used from the event loop only; connections are used in worker threads by who holds the session."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    @contextlib.contextmanager
    def hold(self, wish: Wish) -> Iterator[Session | None]:
        """The request's session, if it names one, for the time of the query."""
        self._expire()
        if not wish.session_id:
            yield None
            return
        if wish.must_session_exist and wish.session_id not in self._sessions:
            raise ServerError(SESSION_NOT_FOUND, "Session not found")
        session = self._sessions.setdefault(wish.session_id, Session(ends_at=0))
        if session.is_locked:
            raise ServerError(SESSION_IS_LOCKED, f"Session {wish.session_id} is locked by a concurrent client")
        session.is_locked = True
        try:
            yield session
        finally:
            session.is_locked = False
            session.ends_at = time.monotonic() + (0 if wish.is_session_closed else wish.session_timeout_s)

    def close(self) -> None:
        """Forget all of them."""
        for session in self._sessions.values():
            if session.connection is not None:
                session.connection.close()
        self._sessions.clear()

    def _expire(self) -> None:
        now = time.monotonic()
        for name in [name for name, session in self._sessions.items() if not session.is_locked and session.ends_at <= now]:
            connection = self._sessions.pop(name).connection
            if connection is not None:
                connection.close()


@contextlib.contextmanager
def connected(engine: Engine, session: Session | None, job: Job, statement: Statement) -> Iterator[Any]:
    """A prepared connection for one statement: the session's, if it has or needs one, else a fresh one."""
    if session is not None and session.connection is None and statement.leaves_state:
        session.connection = engine.connect()
    if session is None or session.connection is None:
        with contextlib.closing(engine.connect()) as connection:
            prepare(connection, job)
            yield connection
        return
    if job.settings.get("readonly", "0") != "0" and statement.kind != "read":
        raise ServerError(READONLY, "default: Cannot execute query in readonly mode")
    settings = {name: value for name, value in job.settings.items() if name != "readonly"}  # it could never be lifted again
    connection = session.connection
    before = _remember(connection, settings)
    try:
        prepare(connection, Job(job.query_id, job.database, settings, job.parameters))
        yield connection
    finally:
        with contextlib.suppress(RuntimeError):
            connection.query("SELECT 1", "Null")  # what a failed query left would stand in front of the next answer
            for undo in before if statement.body[:3].upper() != b"USE" else before[:-1]:
                connection.query(undo)


def _remember(connection: Any, settings: dict[str, str]) -> list[str]:
    """The statements that put the given settings and, last, the database back."""
    names = ", ".join(quote(name) for name in settings) or "''"
    with engine_errors():
        query = f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names})"  # noqa: S608 - quoted above
        rows = connection.query(query, "TabSeparatedRaw")
        changed = dict(line.split("\t", 1) for line in rows.bytes().decode().splitlines())
        database = connection.query("SELECT currentDatabase()", "TabSeparatedRaw").bytes().decode().strip()
    undo = [f"SET {quote(name, '`')} = {quote(changed[name]) if name in changed else 'DEFAULT'}" for name in settings]
    return [*undo, f"USE {quote(database, '`')}"]
