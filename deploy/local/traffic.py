"""Payloads and tag events on their way to ingest, over real HTTP: what the demo, `clicktrail send` and `clicktrail gen` have in common."""

import asyncio
import zlib
from collections.abc import AsyncIterable
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

import aiohttp
import orjson

from streams.runtime.errors import Unavailable

ANSWER_S = 15.0
# Visitors' browsers: with the client's own name every visit of the demo would be a bot's.
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:132.0) Gecko/20100101 Firefox/132.0",
)


class Request(NamedTuple):
    """One HTTP request, relative to ingest's address."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = ""
    user_agent: str = ""  # of the visitor's browser; empty: our own


class Answer(NamedTuple):
    """What ingest said: `content` is its JSON, or {} when it answered with a sender's own text."""

    status: int
    content: dict[str, Any]

    @property
    def event_id(self) -> str | None:
        """The event's id, if this was a payload that went straight to the log."""
        found = self.content.get("event_id")
        return str(found) if found else None


def postback(source_id: str, **parameters: Any) -> Request:
    """A GET with everything in its query string, as networks send it."""
    return Request("GET", f"/in/{source_id}?{urlencode(parameters)}")


def webhook(source_id: str, **content: Any) -> Request:
    """A POST of JSON, as shops and servers send it."""
    return Request("POST", f"/in/{source_id}", orjson.dumps(content), "application/json")


def tag(property_id: str, **content: Any) -> Request:
    """What the tag on a page reports: visit, click, lander_click, identify."""
    agent = BROWSERS[zlib.crc32(str(content.get("click_id")).encode()) % len(BROWSERS)]  # one visitor, one browser
    return Request("POST", f"/t/{property_id}", orjson.dumps(content), "application/json", agent)


class Sender:
    """Sends requests to one ingest; `async with` it."""

    def __init__(self, base_url: str, connections: int = 64) -> None:
        self._base_url = base_url.rstrip("/")
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections), timeout=aiohttp.ClientTimeout(total=ANSWER_S), trust_env=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def send(self, request: Request) -> Answer:
        """Send one request. Unavailable when nobody listens."""
        assert self._session is not None
        given = {"Content-Type": request.content_type, "User-Agent": request.user_agent}
        headers = {name: value for name, value in given.items() if value}
        try:
            async with self._session.request(
                request.method, self._base_url + request.path, data=request.body or None, headers=headers
            ) as response:
                raw = await response.read()
                return Answer(response.status, _content(raw))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"Ingest does not answer at {self._base_url} ({_why(error)}).", "Start it: `clicktrail up`.") from error


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_S:g} s"
    return "no connection" if isinstance(error, aiohttp.ClientConnectorError) else str(error) or type(error).__name__


def _content(raw: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


class Totals:
    """What became of many requests."""

    def __init__(self) -> None:
        self.by_status: dict[int, int] = {}
        self.sent = 0

    def count(self, answer: Answer) -> None:
        """Count one answer."""
        self.sent += 1
        self.by_status[answer.status] = self.by_status.get(answer.status, 0) + 1

    @property
    def accepted(self) -> int:
        """How many were answered 2xx."""
        return sum(count for status, count in self.by_status.items() if status < 300)


async def send_paced(sender: Sender, requests: AsyncIterable[Request], totals: Totals, at_once: int = 256) -> None:
    """Send as they come, up to `at_once` under way; the first that fails ends it."""
    under_way: set[asyncio.Task[None]] = set()

    async def one(request: Request) -> None:
        totals.count(await sender.send(request))

    try:
        async for request in requests:
            under_way.add(asyncio.create_task(one(request)))
            patience_s = None if len(under_way) >= at_once else 0
            done, under_way = await asyncio.wait(under_way, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(*done)
        await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
