"""ClickHouse's HTTP interface: `/`, `/ping`, `/replicas_status`. A request's way through it is `_answered`.

The event loop only moves bytes; every call into the engine runs in a worker thread, so `/ping` answers while queries run.
"""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from aiohttp import web

from sinks.embedded import body, external, request, restricted, statement
from sinks.embedded.answer import Answer
from sinks.embedded.blocks import BlockDecoder
from sinks.embedded.encodings import Decoder
from sinks.embedded.engine import Engine, Job
from sinks.embedded.errors import ACCESS_DENIED, UNKNOWN_EXCEPTION, ServerError
from sinks.embedded.queries import Queries
from sinks.embedded.request import Wish
from sinks.embedded.sessions import Session, Sessions
from sinks.embedded.statement import Statement
from sinks.read_only import QUERY_USER

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHORT_BYTES = 16 << 10  # tokenized in 1 ms; longer ones must not hold the loop


class Server:
    """The handlers over one engine."""

    def __init__(self, engine: Engine, spool: Path, max_body_bytes: int, password: str = "", hosts: tuple[str, ...] = ()) -> None:
        """`hosts`: further names under which the endpoint may be asked, beside those of the loopback."""
        self.queries = Queries(engine, spool)
        self._engine = engine
        self._spool = spool
        self._max_body_bytes = max_body_bytes
        self._password = password
        self._hosts = {*LOOPBACK, *hosts}
        self._restricted = restricted.Restricted(engine)
        self._sessions = Sessions()

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_route("*", "/", self.query)
        app.router.add_get("/ping", _ok)
        app.router.add_get("/replicas_status", _ok)
        return app

    def close(self) -> None:
        """Wait for the threads and let go of the engine."""
        self.queries.close()
        self._sessions.close()
        self._engine.close()

    async def query(self, http: web.Request) -> web.StreamResponse:
        """Any statement, or "Ok." for a request without one."""
        with contextlib.closing(Answer(http, self._engine, self._spool)) as answer:
            try:
                refuse_foreign_page(http, self._hosts)
                request.authenticate(http.query, http.headers, self._password)
                if http.method != "POST" and not http.query.get("query"):
                    return await _ok(http)
                await self._answered(http, answer)
            except ServerError as error:
                return await answer.fail(error)
            except ConnectionError:  # the client is gone
                raise
            except Exception as error:  # noqa: BLE001 - a query must never end the process
                traceback.print_exc()
                return await answer.fail(ServerError(UNKNOWN_EXCEPTION, repr(error)))
            return await answer.end()

    async def _answered(self, http: web.Request, answer: Answer) -> None:
        """Read what is wanted, wait for the whole text, see what kind of statement it is, run it."""
        wish = request.read(http.method, http.query, http.headers)
        answer.begin(wish)
        async with AsyncExitStack() as stack:
            stack.enter_context(self.queries.admit(wish.query_id))
            session = stack.enter_context(self._sessions.hold(wish))
            job = Job(wish.query_id, wish.database, wish.settings, wish.parameters)
            if http.content_type == "multipart/form-data":
                job.tables = await external.receive(http, wish, self._collect)
                for table in job.tables:
                    stack.enter_context(table.data)
                text = stack.enter_context(await self._collect(_nothing(), query=wish.query))
            else:
                text = stack.enter_context(await self._text(http, wish))
            await self._run(wish, job, session, text, answer)

    async def _run(self, wish: Wish, job: Job, session: Session | None, text: IO[bytes], answer: Answer) -> None:
        head = text.read(body.HEAD_BYTES)
        parsed = _parsed(head, text) if len(head) < _SHORT_BYTES else await asyncio.to_thread(_parsed, head, text)
        answer.format = parsed.format or wish.default_format
        if wish.user == QUERY_USER:
            job.settings |= restricted.SETTINGS  # here, as fields of a form may have brought others
            await asyncio.to_thread(self._restricted.check, job, session, parsed, text)
        if parsed.kind == "read":
            await self.queries.read(job, session, parsed, answer)
            return
        answer.done = await self.queries.change(job, session, parsed, text, wish.default_format)
        if answer.done.answer:
            await answer.write(answer.done.answer)
        else:
            answer.format = None  # clients take a format for "there is a result"

    async def _text(self, http: web.Request, wish: Wish) -> IO[bytes]:
        encoding = http.headers.get("Content-Encoding", "identity").lower()
        decoder = BlockDecoder() if wish.is_native_body else None if encoding == "identity" else Decoder(encoding)
        return await self._collect(http.content.iter_any(), decoder, wish.query)

    async def _collect(self, pieces: AsyncIterator[bytes], decoder: Decoder | BlockDecoder | None = None, query: str = "") -> IO[bytes]:
        return await body.collect(query, pieces, decoder, self._spool, self._max_body_bytes)


def refuse_foreign_page(http: web.Request, hosts: set[str]) -> None:
    """A web page of somebody else must not reach us through the user's browser: without a password that would be enough.

    Its origin gives it away, unless its own name leads to us (DNS rebinding): then it is the name that nobody here goes by.
    """
    if (urlsplit(f"//{http.host}").hostname or "") not in hosts and "*" not in hosts:
        raise ServerError(ACCESS_DENIED, f"This endpoint does not go by the name {http.host[:100]}; start it with --name to let it")
    origin = http.headers.get("Origin")
    if origin and urlsplit(origin).netloc != http.host:
        raise ServerError(ACCESS_DENIED, f"Requests from pages of {origin} are refused")


def _parsed(head: bytes, text: IO[bytes]) -> Statement:
    """The statement, from the first bytes if rows follow it; one that is long itself is read whole."""
    if len(head) < body.HEAD_BYTES:
        return statement.parse(head)
    if head.lstrip()[:6].upper() == b"INSERT":
        parsed = statement.parse(head)
        if parsed.kind != "other":
            return parsed
    return statement.parse(head + text.read(body.MEMORY_BYTES))


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n", content_type="text/html")


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
