"""The queries that run: each in a worker thread, by an id, and ended when nobody waits for its rows any more.

One process ran 24 queries and inserts at a time without an error, 300 requests in 1 s on 2 cores. So the limit is not chDB's: it keeps the
number of threads and of open results bounded.

An insert that a KILL or a time limit met is never acknowledged. chDB's streamed insert ends such a query without an error, and its rows are
gone (seen: 1,312 of 2,968 "finished" inserts under a stream of KILLs, some of them with `rows_written` 1; `max_execution_time` alike, and an
acknowledged row was missing after a SIGTERM). So we remember whom a KILL may have met, and count the time ourselves.

The same silence follows every error that comes when the part is written: a full disk, too many parts, a view that throws (seen: 100 rows
answered 200, `rows_written` 100, and none of them there). The engine counts it, so an insert during which that counter moved is not
acknowledged, be it another's that failed: its fate is unknown (319), which clients meet by looking. 1.5 ms an insert.
"""

import asyncio
import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from sinks.embedded import engine, statement
from sinks.embedded.answer import Answer
from sinks.embedded.engine import Done, Engine, Job
from sinks.embedded.errors import (
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    QUERY_WAS_CANCELLED,
    QUERY_WITH_SAME_ID,
    TOO_MANY_QUERIES,
    UNKNOWN_STATUS_OF_INSERT,
    ServerError,
)
from sinks.embedded.sessions import Session, connected
from sinks.embedded.statement import Statement

MAX_QUERIES = 64
EXIT_STUCK = 4
_WATCH_EVERY_S = 5.0
_STUCK_AFTER_S = 60.0  # many times what a `SELECT 1` waits behind 64 busy queries on two cores
T = TypeVar("T")


class Queries:
    """All queries of the process. Used from the event loop."""

    def __init__(self, engine: Engine, spool: Path) -> None:
        self._engine = engine
        self._spool = spool
        self._ids: set[str] = set()
        self._killed: set[str] = set()  # those that a KILL may have met
        self._kills = 0  # a client's KILLs on their way; they may meet any query
        self._threads = ThreadPoolExecutor(MAX_QUERIES + 4, thread_name_prefix="query")  # four to end and to watch the others

    @contextlib.contextmanager
    def admit(self, query_id: str) -> Iterator[None]:
        """A place for one query. Raises ServerError if there is none, or if the id runs already."""
        if query_id in self._ids:
            raise ServerError(QUERY_WITH_SAME_ID, f"Query with id = {query_id} is already running")
        if len(self._ids) >= MAX_QUERIES:
            raise ServerError(TOO_MANY_QUERIES, f"Too many simultaneous queries. Maximum: {MAX_QUERIES}")
        self._ids.add(query_id)
        if self._kills:
            self._killed.add(query_id)
        try:
            yield
        finally:
            self._ids.discard(query_id)
            self._killed.discard(query_id)

    async def change(self, job: Job, session: Session | None, parsed: Statement, text: IO[bytes], default_format: str) -> Done:
        """Run what is no query. It runs to its end even if the client goes away: what was sent completely is not undone."""
        limit_s = _limit_s(job, parsed) if parsed.kind == "insert" else 0

        def work() -> Done:
            with connected(self._engine, session, job, parsed) as connection:
                if parsed.kind == "other":
                    body = statement.with_our_ids(parsed.body) if parsed.is_kill else parsed.body
                    return engine.run(connection, body + parsed.tail, default_format)
                text.seek(parsed.data_start)
                if parsed.kind == "insert":
                    failed = self._engine.failed_inserts()
                    done = engine.insert(connection, parsed.body, parsed.format or "Values", text, limit_s)
                    if self._engine.failed_inserts() != failed:
                        raise ServerError(UNKNOWN_STATUS_OF_INSERT, "An insert failed meanwhile; the rows of this one may be there or not")
                    return done
                with tempfile.NamedTemporaryFile(dir=self._spool) as file:
                    engine.copy(text, file)
                    body = statement.input_from_file(parsed.body, file.name, parsed.format or "Values")
                    return engine.run(connection, body, default_format)

        with self._killing() if parsed.is_kill else contextlib.nullcontext():
            running = self._call(work)
            try:
                done = await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait([running])  # it still reads `text` and holds the session
                raise
        if parsed.kind == "insert" and job.query_id in self._killed:
            raise ServerError(QUERY_WAS_CANCELLED, "Query was cancelled; its rows may be there or not")
        return done

    async def read(self, job: Job, session: Session | None, parsed: Statement, answer: Answer) -> None:
        """Run a query: the engine writes into a pipe in its thread, we pass on what comes out."""
        tail = parsed.tail or f"FORMAT {answer.format}".encode()
        reading, writing = engine.open_pipe()

        def work() -> Done:
            try:
                with connected(self._engine, session, job, parsed) as connection:
                    return engine.read(connection, parsed.body, tail, writing)
            finally:
                os.close(writing)

        running = self._call(work)
        try:
            try:
                async with contextlib.aclosing(_drain(reading)) as pieces:
                    async for piece in pieces:
                        await answer.write(piece)
            finally:
                os.close(reading)  # a query that still writes gets an error now
            answer.done = await asyncio.shield(running)
        finally:
            if not running.done():  # the client is gone
                await asyncio.shield(self._end(job.query_id, running))

    async def watch(self) -> None:
        """End the process when the engine does not answer: a supervisor starts it again, while `/ping` alone would look healthy."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                async with asyncio.timeout(_STUCK_AFTER_S):
                    is_alive = await self._call(self._engine.is_alive)
            except (TimeoutError, RuntimeError) as error:
                print(f"The engine does not answer: {error!r}", file=sys.stderr, flush=True)
                is_alive = False
            if not is_alive:
                os._exit(EXIT_STUCK)

    async def stop(self) -> None:
        """End what runs, so that nobody has to wait for it."""
        for query_id in list(self._ids):
            await self._kill(query_id)

    def close(self) -> None:
        """Wait for the threads."""
        self._threads.shutdown(wait=True)

    async def _end(self, query_id: str, running: "asyncio.Future[Done]") -> None:
        """Again until it is gone: what has not begun yet cannot be killed."""
        while not running.done():
            await self._kill(query_id)
            await asyncio.wait([running], timeout=0.2)
        running.exception()

    async def _kill(self, query_id: str) -> None:
        self._killed.add(query_id)
        await self._call(functools.partial(self._engine.kill, query_id))

    @contextlib.contextmanager
    def _killing(self) -> Iterator[None]:
        """The time in which a client's KILL may meet what runs, and what begins."""
        self._kills += 1
        self._killed |= self._ids
        try:
            yield
        finally:
            self._kills -= 1

    def _call(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._threads, work)


def _limit_s(job: Job, parsed: Statement) -> float:
    """How long a streamed insert may take; taken away from the engine, which would end it in silence. 0 is: as long as it takes."""
    if parsed.has_time_limit:
        raise ServerError(NOT_IMPLEMENTED, "max_execution_time of an INSERT must be given with the request, not in its SETTINGS")
    limit = job.settings.get("max_execution_time", "0")
    job.settings["max_execution_time"] = "0"  # also against one that the session has set
    try:
        return float(limit)
    except ValueError:
        raise ServerError(BAD_ARGUMENTS, f"max_execution_time is {limit!r}, and should be a number of seconds") from None


async def _drain(descriptor: int) -> AsyncGenerator[bytes]:
    """What comes out of a pipe, until its other end is closed.

    Not `connect_read_pipe`: uvloop and the file object both close the descriptor, the second time perhaps one that the engine has just
    got for a table's file (seen: "Cannot close file", reads from the wrong file, within 300 concurrent queries).
    """
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, False)
    while True:
        try:
            piece = os.read(descriptor, engine.PIECE_BYTES)
        except BlockingIOError:
            readable = asyncio.Event()
            loop.add_reader(descriptor, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(descriptor)
            continue
        if not piece:
            return
        yield piece
