"""The HTTP server: aiohttp's low-level server with our own limits for slow and broken senders.

The low-level `web.Server`, not an Application: its router and middlewares cost 25 us of the 110 us that a request takes, and five routes
need neither. aiohttp has no time limit for headers; `Connection` adds it (slow loris: a byte a minute holds a connection for ever).

Its parser refuses bytes above 127 in the request line, which senders with Latin-1 in their macros do send. `Connection` writes them as an
escape that only this process knows, and `raw_target` takes it back: the payload is stored as received.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from streams.ingest.answers import Refused

HEADER_S = 5.0
IDLE_S = 75.0
LINE_BYTES = 64 << 10  # of the request line: postbacks with all their data in the query exceed aiohttp's 8 KiB
HEADER_BYTES = 16 << 10
READ_BYTES = 256 << 10
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

NONCE = secrets.token_hex(4)  # so that nobody can send the escape itself
ESCAPED = re.compile(rf"%!{NONCE}([0-9A-F]{{2}})".encode())

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(RequestHandler):
    """One connection; closed when a request's header takes longer than HEADER_S from its first byte."""

    __slots__ = ("_body", "_header_timer", "_is_in_line")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_timer: asyncio.TimerHandle | None = None
        self._is_in_line = False  # the request line began and has not ended
        self._body: StreamReader = EMPTY_PAYLOAD  # of the last request; until it has ended, what comes is part of it

    def data_received(self, data: bytes) -> None:
        """Feed the parser; when what came is a header that has not ended, its time runs.

        Whether bytes belong to a header or a body is asked of the last body, not of the handler: aiohttp takes a request out of its queue a
        turn of the loop before the handler has it (Python 3.11), and a body that came in that turn was taken for a header and rewritten.
        """
        is_header = self._body.is_eof()
        if is_header and not data.isascii():
            data = self._ascii_line(data)
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]
        if self._messages or not is_header:
            if self._header_timer is not None:
                self._header_timer.cancel()
                self._header_timer = None
        elif data:  # without any, aiohttp parses anew what it held back
            self._is_in_line = (self._is_in_line or self._header_timer is None) and b"\n" not in data
            if self._header_timer is None:
                self._header_timer = self._loop.call_later(HEADER_S, self._header_too_slow)

    def _ascii_line(self, data: bytes) -> bytes:
        if self._header_timer is not None and not self._is_in_line:
            return data  # a later line of the header, where such bytes are allowed
        line, end, rest = data.partition(b"\n")
        return b"".join(bytes((byte,)) if byte < 128 else b"%%!%s%02X" % (NONCE.encode(), byte) for byte in line) + end + rest

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer."""
        if self._header_timer is not None:
            self._header_timer.cancel()
        super().connection_lost(exc)

    def _header_too_slow(self) -> None:
        self._header_timer = None
        if self.transport is not None:
            self.transport.write(TOO_SLOW)
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - the base class's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words quote the request
    ) -> web.StreamResponse:
        """Answer in our shape what never reached a handler (broken HTTP), and what a bug of ours ended."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log_exception("Error handling request", exc_info=exc)
            response = Refused("unavailable").response()
        else:
            response = Refused("bad_request").response()
        response.force_close()
        return response


def raw_target(target: str) -> bytes:
    """Return the request target with the bytes that were sent."""
    raw = target.encode("utf-8", "surrogateescape")
    return ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), raw) if b"%!" in raw else raw


class Server(web.Server):
    """Makes our connections. Decompression is ours too (`body.py`)."""

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=IDLE_S,
            max_line_size=LINE_BYTES,
            max_field_size=HEADER_BYTES,
            read_bufsize=READ_BYTES,
            auto_decompress=False,
        )


async def serve(handler: Handler, host: str, port: int) -> web.ServerRunner:
    """Listen; returns what to `cleanup()` at the end. OSError when the port is taken."""
    runner = web.ServerRunner(Server(handler), handle_signals=False, shutdown_timeout=10.0)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    return runner
