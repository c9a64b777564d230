"""The application: both route tables behind one door, the health pages beside them, and the headers that every answer has."""

from collections.abc import Mapping

from aiohttp import web

from console import api, pages
from console.pages import drawing
from console.server import door
from console.server.answers import Refused
from console.server.context import Context
from console.server.route import TABLE, Route
from console.server.viewer import NOBODY

MAX_BODY_BYTES = 8 << 20
API = "/api/"
STATIC = "/static"
FOR_GOOD = "public, max-age=31536000, immutable"  # the address changes with the file


def routes() -> tuple[Route, ...]:
    """Return the whole table."""
    return (*api.ROUTES, *pages.ROUTES)


def made(context: Context, health_routes: list[web.RouteDef]) -> web.Application:
    """Return the application."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_unknown])
    table = routes()
    app[TABLE] = table
    door.add(app, table, context, pages.refused)
    app.add_routes([*health_routes, web.static(STATIC, drawing.STATIC)])
    app.on_response_prepare.append(_with_headers)
    return app


@web.middleware
async def _unknown(request: web.Request, handler: door.Handler) -> web.StreamResponse:
    """Say in our words that there is no such route."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        if request.path.startswith((API, STATIC)):
            return door.refusal(Refused("unknown_route"))
        return drawing.refused(
            request, NOBODY, Refused("unknown_route", "There is no such page.", "The event log is a good place to start.")
        )
    except web.HTTPMethodNotAllowed as error:
        return door.refusal(Refused("method_not_allowed", Allow=", ".join(sorted(error.allowed_methods))))


async def _with_headers(request: web.Request, response: web.StreamResponse) -> None:
    headers: Mapping[str, str] = door.HEADERS
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "clicktrail"  # not which libraries, in which versions
    if request.path.startswith(API):
        response.headers.setdefault("Cache-Control", "no-store")
    elif request.path.startswith(f"{STATIC}/") and "v" in request.query:
        response.headers.setdefault("Cache-Control", FOR_GOOD)
