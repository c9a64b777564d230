"""Which path goes where, and what all requests have in common: metering, counting, refusals.

    GET|POST /in/<source_id>          payloads.one
    POST     /in/<source_id>/bulk     payloads.bulk
    POST     /t/<property_id>         tag.events        OPTIONS for browsers that ask first
    GET      /t/<property_id>.gif     tag.pixel
    GET      /tag.js                  tag.script
    GET      /go/<campaign_id>        redirect.go       a click: on to the lander or the offer
    GET      /go/<campaign_id>/offer  redirect.offer    a lander click: on to the offer

HEAD asks whether a path exists and never records anything: link scanners and uptime checks use it.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import NamedTuple
from urllib.parse import unquote

from aiohttp import web

from streams.ingest import metrics, payloads, redirect, tag
from streams.ingest.answers import REFUSALS, Refused
from streams.ingest.context import Arrival, Context
from streams.runtime import tracing

Action = Callable[[Context, Arrival, str], Awaitable[web.Response]]


class Route(NamedTuple):
    """A row of the table: `name` is the label of its metrics."""

    name: str
    methods: tuple[str, ...]
    action: Action


IN = Route("in", ("GET", "POST"), payloads.one)
BULK = Route("bulk", ("POST",), payloads.bulk)
TAG = Route("tag", ("POST",), tag.events)
PIXEL = Route("tag", ("GET",), tag.pixel)
SCRIPT = Route("static", ("GET",), tag.script)
GO = Route("go", ("GET",), redirect.go)
OFFER = Route("go", ("GET",), redirect.offer)
TRACED = (IN, BULK)  # what becomes an event


def route_of(path: str) -> tuple[Route, str]:
    """Return the route of a path and the id in it. Refused("unknown_route") when there is none."""
    match path.split("/"):
        case ["", "in", source_id] if source_id:
            found = IN, source_id
        case ["", "in", source_id, "bulk"] if source_id:
            found = BULK, source_id
        case ["", "t", image] if image.endswith(".gif"):
            found = PIXEL, image.removesuffix(".gif")
        case ["", "t", property_id] if property_id:
            found = TAG, property_id
        case ["", "go", campaign_id] if campaign_id:
            found = GO, campaign_id
        case ["", "go", campaign_id, "offer"] if campaign_id:
            found = OFFER, campaign_id
        case ["", "tag.js"]:
            found = SCRIPT, ""
        case _:
            raise Refused("unknown_route")
    return (found[0], unquote(found[1])) if "%" in found[1] else found


class Routes:
    """The handler of all requests."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._counted: dict[tuple[str, int], Callable[[], None]] = {}
        self._timed = {name: metrics.ANSWER_SECONDS.labels(name) for name in metrics.ROUTES}

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        began = perf_counter()
        name = "other"
        meter = self._context.meter
        is_metered = False
        try:
            meter.enter()
            is_metered = True
            arrival = Arrival(request)
            route, subject = route_of(arrival.path)
            name = route.name
            response = await self._act(route, subject, arrival)
        except Refused as refused:
            response = refused.response()
        finally:
            if is_metered:
                meter.leave()
        self._count(name, response.status)
        self._timed[name].observe(perf_counter() - began)
        return response

    async def _act(self, route: Route, subject: str, arrival: Arrival) -> web.Response:
        method = arrival.request.method
        if method in route.methods:
            if tracing.is_on() and route in TRACED:
                return await self._traced(route, subject, arrival)
            return await route.action(self._context, arrival, subject)
        if method == "HEAD":
            return web.Response()
        if method == "OPTIONS":
            return preflight(route)
        raise Refused("method_not_allowed", Allow=", ".join((*route.methods, "HEAD", "OPTIONS")))

    async def _traced(self, route: Route, subject: str, arrival: Arrival) -> web.Response:
        """Act under a span of its own; the payloads carry it on."""
        arrival.root = tracing.Root(arrival.traceparent(), f"{arrival.request.method} /{route.name}")
        status = 500
        try:
            response = await route.action(self._context, arrival, subject)
            status = response.status
        except Refused as refused:
            status = REFUSALS[refused.code].status
            raise
        finally:
            arrival.root.end(status)
        return response

    def _count(self, name: str, status: int) -> None:
        count = self._counted.get((name, status))
        if count is None:
            count = self._counted[name, status] = metrics.REQUESTS.labels(name, str(status)).inc
        count()


def preflight(route: Route) -> web.Response:
    """Answer a browser that asks whether a page of another site may send."""
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": ", ".join(route.methods),
            "Access-Control-Allow-Headers": "Content-Type, Authorization, X-Clicktrail-Token",
            "Access-Control-Max-Age": "86400",
        },
    )
