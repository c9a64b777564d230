"""Questions to ClickHouse: the configured one, embedded or a cluster, through the one client that all of us use.

Values travel as server-side parameters (`{name:Type}`), never inside the statement's text. A service that does not answer is exit code 3,
a statement that ClickHouse refuses is exit code 2: scripts treat the two differently.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, TypeVar

import orjson
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

from sinks.connection import client_args
from streams.runtime import probes
from streams.runtime.connections import masked
from streams.runtime.errors import BadSettings, Unavailable
from streams.runtime.settings import Settings

T = TypeVar("T")


READ_ONLY = {"readonly": 1}  # what a person wrote is checked before it comes here, see sql.py; this is the second belt


class Answer:
    """One answer under way."""

    def __init__(self, response: Any) -> None:
        """`response` is urllib3's."""
        self._response = response

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the body. urllib3's errors when it breaks off."""
        return iter(self._response.stream(size, decode_content=True))

    def summary(self, name: str) -> int:
        """Return a number of the server's summary; it is complete when the server was told to wait for the end of the query."""
        return int(orjson.loads(self._response.headers.get("X-ClickHouse-Summary", "{}")).get(name, 0))


class Warehouse:
    """A connection to the database of the settings, made at the first question."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.clickhouse
        self._client: Client | None = None

    def rows(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a SELECT as dictionaries."""

        def ask(client: Client) -> list[dict[str, Any]]:
            return list(client.query(statement, parameters=dict(parameters or {})).named_results())

        return self._guarded(ask)

    def one(self, statement: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Return the first row, or None."""
        return next(iter(self.rows(statement, parameters)), None)

    def stream(self, statement: str, output_format: str) -> Iterator[bytes]:
        """Return the answer in one of ClickHouse's formats, piece by piece: an export may be larger than memory."""

        def ask(client: Client) -> Iterator[bytes]:
            return iter(client.raw_stream(statement, fmt=output_format, settings=dict(READ_ONLY)))

        return self._guarded(ask)

    def answer(self, statement: str, output_format: str, parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> "Answer":
        """Return the answer to a question as it comes over HTTP: pieces, and what the server says about them."""

        def ask(client: Client) -> Answer:
            return Answer(client.raw_stream(statement, dict(parameters), {**READ_ONLY, **settings}, output_format))

        return self._guarded(ask)

    def command(self, statement: str) -> None:
        """Run a statement that is no question; nothing that a person wrote comes here."""
        self._guarded(lambda client: client.command(statement))

    def insert(self, table: str, columns: list[str], content: IO[bytes], input_format: str) -> None:
        """Write a file of one of ClickHouse's formats into a table, piece by piece."""
        self._guarded(lambda client: client.raw_insert(table, columns, content, fmt=input_format))

    def is_there(self) -> bool:
        """Say whether ClickHouse answers."""
        try:
            self.rows("SELECT 1")
        except Unavailable:
            return False
        return True

    def _connected(self) -> Client:
        if self._client is None:
            probes.require_clickhouse(self._settings)
            self._client = get_client(
                **client_args(self._settings.dsn(), self._settings.database),
                autogenerate_session_id=False,
                connect_timeout=5,
                send_receive_timeout=60,
            )
        return self._client

    def _guarded(self, ask: Callable[[Client], T]) -> T:
        """Ask, and sort what went wrong into the two families that a caller can act on."""
        try:
            return ask(self._connected())
        except (ClickHouseError, OSError) as error:
            raise sorted_error(error, self._settings.url) from error


def sorted_error(error: Exception, url: str) -> BadSettings | Unavailable:
    """Return what an error of the client means: ClickHouse is away, or it refused the question."""
    if isinstance(error, OperationalError | OSError):
        return Unavailable(
            f"ClickHouse does not answer at {masked(url)} ({_first_line(error)[:120]}).",
            "Start it (`clicktrail up`) or set CLICKTRAIL_CLICKHOUSE__URL.",
        )
    if isinstance(error, DatabaseError):
        return QueryRefused(f"ClickHouse refused: {_first_line(error)}", code_of(error))
    return BadSettings(f"ClickHouse: {_first_line(error)}")


class QueryRefused(BadSettings):
    """ClickHouse will not answer this question; `code` is its own number for the reason, 0 when it names none."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


def code_of(error: Exception) -> int:
    """Return ClickHouse's number in an error's text."""
    found = re.search(r"Code: (\d+)", str(error)) or re.search(r"\bcode (\d+)", str(error))
    return int(found[1]) if found else 0


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:500] or type(error).__name__
