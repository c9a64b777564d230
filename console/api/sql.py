"""SQL: a question of a person, checked and limited, answered in the format that it asks for."""

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from console.csv_guard import guarded
from console.server.answers import Refused
from console.server.openapi import shape
from console.server.route import Ask, Route
from console.sql import FORMATS, format_of
from console.warehouse import QueryRefused
from sinks import read_only
from sinks.queries import recipes
from sinks.read_only import NotAllowed
from sinks.schema import Table, View
from sinks.tables import TABLES
from sinks.views import VIEWS

LONGEST = 100_000


class Statement(BaseModel):
    """A question. `parameters` are the values of its {name:Type}; `format` is one of ClickHouse's, or stands in the statement itself."""

    model_config = ConfigDict(extra="forbid")
    statement: str = Field(min_length=1, max_length=LONGEST)
    format: str = Field(default="", max_length=40)
    parameters: dict[str, str] = Field(default_factory=dict, max_length=100)


async def ask_sql(ask: Ask) -> web.StreamResponse:
    """Stream the answer; ClickHouse's own words where it refuses."""
    if ask.viewer.accounts is not None:
        raise Refused("other_account", "SQL reads all accounts, and yours are limited to some.")
    desk = ask.context.desk
    try:
        found = await desk.checked(ask.body.statement, ask.body.parameters)
        form = format_of(ask.body.format or found.output_format or "JSON")
        pieces = aiter(await desk.stream(found.question, form))
        first = await anext(
            pieces, b""
        )  # what ClickHouse refuses, it refuses before its first byte: then there is still a status to say so
    except NotAllowed as error:
        raise Refused("not_read_only", error.what, error.remedy) from error
    except QueryRefused as error:
        raise Refused("query_refused", error.what, "See the list of columns, or the recipes.") from error
    response = web.StreamResponse(headers={"X-Format": form, "Cache-Control": "no-store"})
    response.content_type = FORMATS[form]
    await response.prepare(ask.request)
    passing = _with_first(first, pieces)
    async for piece in guarded(passing) if form.startswith("CSV") else passing:
        await response.write(piece)
    await response.write_eof()
    return response


async def _with_first(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in others:
        yield piece


async def schema(_: Ask) -> dict[str, Any]:
    """Return what can be asked: tables and views with their columns, the recipes, the limits, the formats."""
    readable: list[Table | View] = [*TABLES, *VIEWS]
    return {
        "tables": [
            {
                "name": found.name,
                "doc": found.comment,
                "columns": [{"name": column.name, "type": column.type, "doc": column.comment} for column in found.columns],
            }
            for found in sorted(readable, key=lambda each: each.name)
        ],
        "recipes": [{"name": each.name, "title": each.title, "sql": each.sql, "parameters": each.parameters} for each in recipes()],
        "limits": dict(read_only.LIMITS),
        "formats": list(FORMATS),
    }


ROUTES = (
    Route("POST", "/api/v1/sql", ask_sql, "query_sql", "Ask in SQL", body=Statement, produces=tuple(dict.fromkeys(FORMATS.values())),
          refusals=("not_read_only", "query_refused", "too_much", "other_account")),
    Route("GET", "/api/v1/sql/schema", schema, "query_sql", "What can be asked in SQL", answer=shape("tables", "recipes", "limits", "formats")),
)  # fmt: skip
