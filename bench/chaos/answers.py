"""An HTTP proxy in front of ClickHouse that answers as a bad server, a bad load balancer or a bad moment does.

Only inserts are treated so; questions pass. What matters most is the unknown fate: the work is done and the answer is lost, or half of the
rows arrive. The sink must find out by asking, never by guessing.
"""

import asyncio
import random
from collections import Counter

import aiohttp
from aiohttp import web

UNKNOWN_FATE = ("answer lost", "error after the work", "half a body")
REFUSALS = ("too many parts", "server busy", "bad gateway")
ERRORS = {
    "error after the work": (500, "Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED)", "159"),
    "too many parts": (500, "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)", "252"),
    "server busy": (503, "Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)", "202"),
    "bad gateway": (502, "<html>Bad Gateway</html>", ""),
}
DROPPED = {"host", "content-length", "transfer-encoding", "connection", "keep-alive"}


class Answers:
    """One listening port in front of an endpoint. `spoil` makes a share of the inserts fail in the given ways."""

    def __init__(self, port: int, upstream_port: int) -> None:
        self.port = port
        self._upstream = f"http://127.0.0.1:{upstream_port}"
        self._rng = random.Random(7)
        self._ways: tuple[str, ...] = ()
        self._share = 0.0
        self.spoilt: Counter[str] = Counter()

    def spoil(self, ways: tuple[str, ...], share: float) -> None:
        """From now on, this share of inserts ends in one of these ways."""
        self._ways, self._share = ways, share

    def clear(self) -> None:
        """Everything passes again."""
        self._ways, self._share = (), 0.0

    async def start(self) -> None:
        """Listen."""
        self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=120))
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{rest:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """End everything."""
        await self._runner.cleanup()
        await self._session.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        is_insert = b"INSERT INTO" in body[:2000] or "INSERT INTO" in request.query.get("query", "")
        way = self._rng.choice(self._ways) if is_insert and self._ways and self._rng.random() < self._share else ""
        self.spoilt[way] += bool(way)
        if way == "half a body":
            await self._half(request, body)
        elif way not in REFUSALS:
            try:
                answer = await self._forward(request, body)
            except (aiohttp.ClientError, OSError):
                way = "answer lost"  # the endpoint is away: so are we
            else:
                if not way:
                    return answer
        if way in ERRORS:
            status, text, code = ERRORS[way]
            return web.Response(status=status, text=text, headers={"X-ClickHouse-Exception-Code": code} if code else {})
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in DROPPED}
        async with self._session.request(request.method, self._upstream + request.raw_path, headers=headers, data=body) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in DROPPED}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    async def _half(self, request: web.Request, body: bytes) -> None:
        """Send half of what was announced, then hang up."""
        host, _, port = self._upstream.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = [f"{request.method} {request.raw_path} HTTP/1.1", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() not in DROPPED - {"host"}]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body[: len(body) // 2])
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()
        del reader
