"""ClickHouse's HTTP interface over the engine: `/`, `/ping`, `/replicas_status`.

The event loop only moves bytes; every call into the engine runs in a worker thread, so `/ping` answers while queries run.
"""

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from sinks.embedded import body, engine, request, statement
from sinks.embedded.answer import Answer
from sinks.embedded.encodings import Decoder
from sinks.embedded.engine import Done, Engine, Job
from sinks.embedded.errors import QUERY_WITH_SAME_ID, TOO_MANY_QUERIES, ServerError
from sinks.embedded.request import Wish
from sinks.embedded.sessions import Session, Sessions, connected
from sinks.embedded.statement import Statement

MAX_QUERIES = 64  # at once; each holds one thread. ClickHouse's own limit is a setting without default
T = TypeVar("T")


class Server:
    """The handlers, and the queries that run."""

    def __init__(self, engine: Engine, spool: Path, max_body_bytes: int, password: str = "") -> None:
        self._engine = engine
        self._spool = spool
        self._max_body_bytes = max_body_bytes
        self._password = password
        self._sessions = Sessions()
        self._running: set[str] = set()
        self._threads = ThreadPoolExecutor(MAX_QUERIES, thread_name_prefix="query")

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_route("*", "/", self.query)
        app.router.add_get("/ping", _ok)
        app.router.add_get("/replicas_status", _ok)
        return app

    async def stop_queries(self) -> None:
        """End what runs, so that nobody has to wait for it."""
        for query_id in list(self._running):
            await self._call(functools.partial(self._engine.kill, query_id))

    def close(self) -> None:
        """Wait for the threads and let go of the engine."""
        self._sessions.close()
        self._threads.shutdown(wait=True)
        self._engine.close()

    async def query(self, http: web.Request) -> web.StreamResponse:
        """Any statement, or "Ok." for a request without one."""
        answer = Answer(http, self._engine, self._spool)
        with contextlib.closing(answer):
            return await self._answered(http, answer)

    async def _answered(self, http: web.Request, answer: Answer) -> web.StreamResponse:
        try:
            refuse_foreign_page(http)
            request.authenticate(http.query, http.headers, self._password)
            if http.method != "POST" and not http.query.get("query"):
                return await _ok(http)
            wish = request.read(http.method, http.query, http.headers)
            answer.begin(wish)
            with self._admitted(wish), self._sessions.hold(wish) as session, await self._text(http, wish) as text:
                await self._run(wish, session, text, answer)
        except ServerError as error:
            return await answer.fail(error)
        return await answer.end()

    async def _text(self, http: web.Request, wish: Wish) -> IO[bytes]:
        encoding = http.headers.get("Content-Encoding", "identity").lower()
        decoder = None if encoding == "identity" else Decoder(encoding)
        return await body.collect(wish.query, http.content.iter_any(), decoder, self._spool, self._max_body_bytes)

    async def _run(self, wish: Wish, session: Session | None, text: IO[bytes], answer: Answer) -> None:
        parsed = statement.parse(_head(text))
        answer.format = parsed.format or wish.default_format
        job = Job(wish.query_id, wish.database, wish.settings, wish.parameters)
        if parsed.kind == "read":
            await self._read(job, session, parsed, answer)
            return

        def work() -> Done:
            with connected(self._engine, session, job, parsed) as connection:
                if parsed.kind == "insert":
                    text.seek(parsed.data_start)
                    return engine.insert(connection, parsed.body, parsed.format or "Values", text)
                return engine.run(connection, parsed.body + parsed.tail, wish.default_format)

        # Shielded: a client that goes away does not undo what it has sent completely.
        answer.done = await asyncio.shield(self._call(work))
        if answer.done.answer:
            await answer.write(answer.done.answer)
        else:
            answer.format = None  # clients take a format for "there is a result"

    async def _read(self, job: Job, session: Session | None, parsed: Statement, answer: Answer) -> None:
        """The engine writes into a pipe in its thread; we pass on what comes out."""
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
            async with contextlib.aclosing(_drain(reading)) as pieces:
                async for piece in pieces:
                    await answer.write(piece)
            answer.done = await running
        finally:
            if not running.done():  # the client is gone
                await asyncio.shield(self._kill(job.query_id, running))

    async def _kill(self, query_id: str, running: "asyncio.Future[Done]") -> None:
        """Again until it is gone: a query that has not begun yet cannot be killed."""
        while not running.done():
            await self._call(functools.partial(self._engine.kill, query_id))
            await asyncio.wait([running], timeout=0.2)
        running.exception()

    def _call(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextlib.contextmanager
    def _admitted(self, wish: Wish) -> Iterator[None]:
        if wish.query_id in self._running:
            raise ServerError(QUERY_WITH_SAME_ID, f"Query with id = {wish.query_id} is already running")
        if len(self._running) >= MAX_QUERIES:
            raise ServerError(TOO_MANY_QUERIES, f"Too many simultaneous queries. Maximum: {MAX_QUERIES}")
        self._running.add(wish.query_id)
        try:
            yield
        finally:
            self._running.discard(wish.query_id)


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n", content_type="text/html")


def refuse_foreign_page(http: web.Request) -> None:
    """A web page of somebody else must not reach us through the user's browser: without a password that would be enough."""
    origin = http.headers.get("Origin")
    if origin and urlsplit(origin).netloc != http.host:
        raise ServerError((497, "ACCESS_DENIED"), f"Requests from pages of {origin} are refused")


def _head(text: IO[bytes]) -> bytes:
    """The statement, and as much of its data as shares the first bytes; a longer statement is read whole."""
    head = text.read(body.HEAD_BYTES)
    if len(head) == body.HEAD_BYTES and head.lstrip()[:6].upper() != b"INSERT":
        head += text.read(body.MEMORY_BYTES)
    return head


async def _drain(descriptor: int) -> AsyncGenerator[bytes]:
    """What comes out of a pipe, until its other end is closed."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=engine.PIECE_BYTES)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0))
    try:
        while piece := await reader.read(engine.PIECE_BYTES):
            yield piece
    finally:
        transport.close()
