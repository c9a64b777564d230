"""Questions to ClickHouse from the console's server: many at a time, each with a limit, given up when nobody waits any more.

The command line asks one thing and ends (`warehouse.py`, synchronous); the server has a page of six questions for each of many people. So
this is the asynchronous client of the same library, and what goes wrong is sorted by the same function. Each question carries its limits to
the server (`max_execution_time` and the rest), because a client that only stops to wait leaves the work running.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from console.listing import Question
from console.warehouse import sorted_error
from sinks.connection import client_args
from streams.runtime.connections import ClickHouseSettings
from streams.runtime.errors import Unavailable

QUESTION_S = 20.0
CONNECT_S = 3
LONGEST_S = 3600  # a download may take as long as its reader
LIMITS: Mapping[str, Any] = {
    "readonly": 1,  # nothing that the console asks changes anything, and nothing that slips into a question may
    "max_execution_time": QUESTION_S,
    "max_memory_usage": 4 << 30,
    "max_threads": 4,
}


class Asker:
    """One database, connected at the first question. Used from one event loop."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._client: Any = None
        self._connecting = asyncio.Lock()

    async def rows(self, question: Question, limit_s: float = QUESTION_S) -> list[dict[str, Any]]:
        """Return the rows of a question. Unavailable when ClickHouse is away or slower than the limit; QueryRefused when it will not."""
        return list((await self._asked(question, limit_s)).named_results())

    async def text(self, question: Question, limit_s: float = QUESTION_S) -> str:
        """Return the answer as text, which is how statements other than SELECT answer."""
        pieces = [piece async for piece in await self.stream(question, "TabSeparatedRaw", {"max_execution_time": limit_s})]
        return b"".join(pieces).decode(errors="replace")

    async def _asked(self, question: Question, limit_s: float) -> Any:
        try:
            async with asyncio.timeout(limit_s + 1):
                client = await self._connected()
                return await client.query(
                    question.sql, parameters=dict(question.values), settings={**LIMITS, "max_execution_time": limit_s}
                )
        except TimeoutError as error:
            raise Unavailable(
                f"ClickHouse has not answered within {limit_s:g} s.", "Ask again; a shorter time range is quicker."
            ) from error
        except (ClickHouseError, OSError, aiohttp.ClientError) as error:
            raise self._sorted(error) from error

    async def one(self, question: Question, limit_s: float = QUESTION_S) -> dict[str, Any] | None:
        """Return the first row, or None."""
        return next(iter(await self.rows(question, limit_s)), None)

    async def stream(self, question: Question, output_format: str, settings: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """Return the answer in one of ClickHouse's formats, piece by piece. It is asked when this returns, errors included.

        Iterating raises Unavailable when the answer breaks off: half of it must not pass for the whole.
        """
        try:
            client = await self._connected()
            limits = {**LIMITS, "max_execution_time": LONGEST_S, **settings}
            pieces = await client.raw_stream(question.sql, dict(question.values), limits, output_format)
        except (ClickHouseError, OSError, aiohttp.ClientError) as error:
            raise self._sorted(error) from error
        return self._pieces(pieces)

    async def _pieces(self, stream: Any) -> AsyncIterator[bytes]:
        try:
            async with stream as pieces:
                async for piece in pieces:
                    yield piece
        except (ClickHouseError, OSError, aiohttp.ClientError) as error:
            raise self._sorted(error) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                self._client = await clickhouse_connect.get_async_client(
                    **client_args(self._settings.dsn(), self._settings.database),
                    autogenerate_session_id=False,
                    connect_timeout=CONNECT_S,
                    send_receive_timeout=LONGEST_S,
                    query_limit=0,
                )
            return self._client

    def _sorted(self, error: Exception) -> Exception:
        return sorted_error(OSError(str(error)) if isinstance(error, aiohttp.ClientError) else error, self._settings.url)
