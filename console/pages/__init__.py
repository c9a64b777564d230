"""The pages: the table of their routes. They go through the same door as the API and draw what its handlers return."""

from aiohttp import web

from console.pages import drawing, events, logs, overview, people, sending, settings, sql, whatif
from console.server.answers import Refused
from console.server.route import Route
from console.server.viewer import Viewer

ROUTES: tuple[Route, ...] = (
    *events.ROUTES,
    *logs.ROUTES,
    *overview.ROUTES,
    *sql.ROUTES,
    *whatif.ROUTES,
    *people.ROUTES,
    *sending.ROUTES,
    *settings.ROUTES,
)


async def refused(request: web.Request, who: Viewer, why: Refused) -> web.StreamResponse:
    """Draw a refusal as a page."""
    return drawing.refused(request, who, why)
