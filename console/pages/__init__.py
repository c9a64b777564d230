"""The pages: the table of their routes. They go through the same door as the API and draw what its handlers return."""

from aiohttp import web

from console.server import door
from console.server.answers import Refused
from console.server.route import Route
from console.server.viewer import Viewer

ROUTES: tuple[Route, ...] = ()


async def refused(request: web.Request, who: Viewer, why: Refused) -> web.StreamResponse:  # noqa: ARG001 - what a page is drawn from
    """Draw a refusal as a page."""
    return door.refusal(why)
