"""Data that comes with a query and lives as long: the files of a multipart request become temporary tables.

https://clickhouse.com/docs/engines/table-engines/special/external-data; clickhouse-connect's `external_data`. A form may also carry the query
and its parameters as plain fields, which is how clients send long ones.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import IO, Any

from aiohttp import BodyPartReader, web

from sinks.embedded import engine, statement
from sinks.embedded.errors import BAD_ARGUMENTS, ServerError
from sinks.embedded.request import Wish

Collect = Callable[[AsyncIterator[bytes]], Coroutine[Any, Any, IO[bytes]]]


@dataclass(slots=True)
class ExternalTable:
    """A file of the form, with the columns that the URL gives it."""

    name: str
    input_format: str
    columns: str
    data: IO[bytes]

    def create(self, connection: Any) -> None:
        """Make it a temporary table of the connection."""
        name = engine.quote(self.name, "`")
        parsed = statement.parse(f"CREATE TEMPORARY TABLE {name} ({self.columns})".encode())
        engine.run(connection, parsed.body, "Null")
        engine.insert(connection, f"INSERT INTO {name}".encode(), self.input_format, self.data)


async def receive(http: web.Request, wish: Wish, collect: Collect) -> list[ExternalTable]:
    """Read the form: fields into the wish, files into tables. The caller closes their data."""
    tables = []
    async for part in await http.multipart():
        if not isinstance(part, BodyPartReader) or not part.name:
            raise ServerError(BAD_ARGUMENTS, "Every part of the form needs a name")
        if part.filename is None:
            _field(wish, part.name, await part.text())
        else:
            tables.append(_table(wish, part.name, await collect(_pieces(part))))
    return tables


def _field(wish: Wish, name: str, value: str) -> None:
    if name == "query":
        wish.query += value
    elif name.startswith("param_"):
        wish.parameters[name[6:]] = value
    else:
        wish.settings[name] = value


def _table(wish: Wish, name: str, data: IO[bytes]) -> ExternalTable:
    """`NAME_format`, and `NAME_structure` or `NAME_types`, stand among the URL's parameters, where they look like settings."""
    input_format = wish.settings.pop(f"{name}_format", "TabSeparated")
    columns = wish.settings.pop(f"{name}_structure", "")
    types = wish.settings.pop(f"{name}_types", "")
    if not columns and not types:
        raise ServerError(BAD_ARGUMENTS, f"Neither {name}_structure nor {name}_types is given for the external table '{name}'")
    numbered = ", ".join(f"_{number} {kind}" for number, kind in enumerate(types.split(","), 1))
    return ExternalTable(name, input_format, columns or numbered, data)


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk():
        yield bytes(piece)
