"""Lists: a page with its exact total, or the whole list as a file. One set of routes for every list of `console/lists.py`.

    /api/v1/events                    {"rows": […], "total": 12, "next": cursor, "previous": cursor}
    /api/v1/events.csv|ndjson|parquet every row that the filter lists, streamed

Rows and total are two questions that run side by side: a page costs what the dearer of the two does.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from console import counting, exporting, listing, masking, paging
from console.api import revealing
from console.api.revealing import REVEAL, WHY
from console.explaining import JSON_COLUMNS, decoded
from console.lists import LISTS, Listed
from console.server.answers import Refused
from console.server.route import Ask, Parameter, Route

PAGE_ROWS, MOST_ROWS = 50, 500
CURSOR = Parameter("cursor", "where to go on: `next` or `previous` of another page")
LIMIT = Parameter("limit", "rows of a page", "int", default=str(PAGE_ROWS), least=1, most=MOST_ROWS)
TOTAL = Parameter("total", "0 leaves the count out", "flag", default="1")
MEDIA = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
PATHS = {"integration_events": "integration-events", "system_logs": "system-logs", "dead_letters": "dead-letters"}
WHOLE = "the list, as it stands at the end of the question"


async def page_of(ask: Ask, found: Listed) -> dict[str, Any]:
    """Return a page of a list as the viewer may see it: {rows, total, next, previous}. The pages of the console draw this, too."""
    _is_seen_by(ask, found)
    cursor, limit = listing.read_cursor(found, ask.text("cursor")), ask.number("limit")
    given, accounts = ask.filters(), ask.viewer.accounts
    asker = ask.context.asker

    async def counted() -> int | None:
        return await counting.count(asker, found, given, accounts) if ask.flag("total") else None

    rows, total = await asyncio.gather(
        paging.rows(asker, found, given, accounts, cursor, limit, await ask.context.census.accounts()), counted()
    )
    page = listing.cut(found, rows, cursor, limit)
    return {
        "rows": [
            masking.row({name: decoded(value) if name in JSON_COLUMNS else value for name, value in each.items()}) for each in page.rows
        ],
        "total": total,
        "next": page.older,
        "previous": page.newer,
    }


async def download(ask: Ask, found: Listed, form: str) -> web.StreamResponse:
    """Stream a whole list as a file, in constant memory: ClickHouse writes the format, we pass it on as fast as the reader takes it."""
    _is_seen_by(ask, found)
    is_clear, given = ask.flag("reveal"), {name: value for name, value in ask.filters().items() if value}
    question = exporting.statement(found, form, given, ask.viewer.accounts, is_masked=not is_clear)
    if is_clear or ask.context.following.is_connected:  # what is masked may go while Kafka is away, unnoted
        await revealing.note(ask, "export", "exported", "list", found.name, {"format": form, "filters": given, "is_clear": is_clear})
    pieces = await ask.context.asker.stream(question, exporting.FORMATS[form], exporting.SETTINGS)
    name = f"{found.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    response = web.StreamResponse(headers=headers)
    response.content_type = MEDIA[form]
    await response.prepare(ask.request)
    async for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


def _is_seen_by(ask: Ask, found: Listed) -> None:
    if not found.account and ask.viewer.accounts is not None:
        raise Refused("other_account")


def _routes(found: Listed) -> list[Route]:
    path = f"/api/v1/{PATHS.get(found.name, found.name)}"

    async def page(ask: Ask) -> dict[str, Any]:
        return await page_of(ask, found)

    def as_file(form: str) -> Route:
        async def file(ask: Ask) -> web.StreamResponse:
            return await download(ask, found, form)

        return Route(
            "GET", f"{path}.{form}", file, "export", f"{found.title} as {form}: {WHOLE}", (REVEAL, WHY), found, produces=(MEDIA[form],)
        )

    parameters = (CURSOR, LIMIT, TOTAL)
    return [
        Route("GET", path, page, "read_log", f"{found.title}, newest first", parameters, found),
        Route("GET", f"{path}.json", page, "read_log", f"{found.title}, newest first", parameters, found),
        *(as_file(form) for form in MEDIA),
    ]


ROUTES: tuple[Route, ...] = tuple(route for found in LISTS for route in _routes(found))
