"""The destinations of postbacks: one that is well, one that fails at will, one that is slow; and what arrived at each.

Counted is what was *received and answered well*: a try that we answered with an error, or not at all, may be followed by another one.
"""

import asyncio
import random
from collections import Counter, defaultdict

from aiohttp import web


class Destinations:
    """A server on a port of its own. `trouble` makes `/flaky` misbehave."""

    def __init__(self) -> None:
        self.received: dict[str, Counter[str]] = defaultdict(Counter)
        self.is_troubled = False
        self.troubles = 0
        self._rng = random.Random(3)

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_route("*", "/{behaviour}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None  # noqa: SLF001  aiohttp does not say which port it got
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]  # noqa: SLF001

    async def stop(self) -> None:
        """End."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        behaviour = request.match_info["behaviour"]
        if behaviour == "flaky" and self.is_troubled:
            self.troubles += 1
            return await self._trouble(request)
        if behaviour == "slow":
            await asyncio.sleep(0.1)
        self.received[behaviour][request.headers.get("Idempotency-Key", "")] += 1
        return web.Response(text="OK")

    async def _trouble(self, request: web.Request) -> web.StreamResponse:
        way = self._rng.choice(["500", "503", "hang", "reset", "half"])
        if way in {"500", "503"}:
            return web.Response(status=int(way), text="trouble")
        if way == "hang":
            await asyncio.sleep(5)
        elif way == "half":  # the status is a receipt where no body is asked for
            self.received["flaky"][request.headers.get("Idempotency-Key", "")] += 1
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"half")
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
