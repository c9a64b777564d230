"""A request's way through the console: who asks, may they, what exactly, the answer. The same for every route of the table.

Nothing here knows what a route is about. A refusal, an error of ours and a service that is away all leave as the same JSON, with what to do
next; a page gets the same words as HTML, by whoever draws the pages.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from console.filters import MOST, where
from console.server import gate
from console.server.answers import Refused, json_response
from console.server.context import Context
from console.server.metrics import ANSWER_SECONDS, REQUESTS
from console.server.route import FLAGS, Ask, Parameter, Route
from console.server.viewer import NOBODY, Viewer
from console.warehouse import QueryRefused
from schemas.problems import problems_of
from streams.runtime import logs
from streams.runtime.errors import BadSettings, ClicktrailError, Unavailable, near_match

LOG = logs.get(__name__)
OVER_LIMITS = {158, 159, 160, 191, 241, 307, 396}  # ClickHouse's numbers for too many rows or bytes, too long, too much memory
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refusal = Callable[[web.Request, Viewer, Refused], Awaitable[web.StreamResponse]]
"""Draws a refusal as a page."""


def add(app: web.Application, table: tuple[Route, ...], context: Context, as_page: Refusal) -> None:
    """Put every route of a table into an application."""
    for route in table:
        app.router.add_route(route.method, route.path, partial(answer, context, route, as_page))


async def answer(context: Context, route: Route, as_page: Refusal, request: web.Request) -> web.StreamResponse:
    """Answer one request."""
    began, who = time.perf_counter(), NOBODY
    response: web.StreamResponse
    try:
        who = gate.ask_who(request, context)
        response = await _answered(context, route, request, who)
    except Refused as refused:
        response = await as_page(request, who, refused) if route.kind == "page" else refusal(refused)
    REQUESTS.labels(route.path, str(response.status)).inc()
    ANSWER_SECONDS.labels(route.path).observe(time.perf_counter() - began)
    return response


def refusal(refused: Refused) -> web.Response:
    """Return a refusal as JSON."""
    return json_response(refused.body(), refused.status, refused.headers)


async def _answered(context: Context, route: Route, request: web.Request, who: Viewer) -> web.StreamResponse:
    if route.may is not None:
        permit(route, who)
    context.limits.take("request", who.user_id or request.remote or "")
    try:
        ask = Ask(request, route, context, who, dict(request.match_info), given(route, request.rel_url.raw_query_string))
        ask.body, page_token = await _body(route, request)
        if route.may is not None:  # logging in is anybody's, and no page of another site can send it
            gate.check_page_token(request, who, request.headers.get("X-CSRF-Token") or page_token)
        found = await route.handler(ask)
    except QueryRefused as error:
        code = "too_much" if error.code in OVER_LIMITS else "broken"
        if code == "broken":
            LOG.exception("question_refused", route=route.path)
        raise Refused(code) from error
    except BadSettings as error:
        raise Refused("bad_parameter", error.what, error.remedy) from error
    except Unavailable as error:
        raise Refused("unavailable", error.what, error.remedy, Retry_After="2") from error
    except (Refused, ConnectionError):
        raise
    except Exception as error:
        LOG.exception("request_failed", route=route.path, family=isinstance(error, ClicktrailError))
        raise Refused("broken") from error
    return found if isinstance(found, web.StreamResponse) else json_response(found)


def permit(route: Route, who: Viewer) -> None:
    """Refuse whoever may not."""
    assert route.may is not None
    if who.way == "nobody":
        raise Refused("unauthorized", WWW_Authenticate='Bearer realm="clicktrail"')
    if not who.may(route.may):
        raise Refused("forbidden", f"Your role is {who.role}; this needs the right {route.may}.")


def given(route: Route, query: str) -> dict[str, list[str]]:
    """Return the query parameters of a request, checked. Refused("bad_parameter") names the first one that is wrong."""
    known = {name: p for p in route.parameters for name in (p.name, *p.aliases)}
    filters = {name: f for f in route.filters for name in (f.name, *f.aliases)}
    found: dict[str, list[str]] = {p.name: [p.default] for p in route.parameters if p.default}
    seen: set[str] = set()
    for name, value in _pairs(query):
        if name not in known and name not in filters:
            near = near_match(name, [*known, *filters])
            names = ", ".join([*known, *filters]) or "none"
            raise Refused("bad_parameter", f"There is no parameter {name[:100]!r} here.", near or f"The parameters are: {names}.")
        own = known[name].name if name in known else filters[name].name
        if own not in seen:
            found.pop(own, None)
            seen.add(own)
        found.setdefault(own, []).append(value)
        if len(found[own]) > MOST:
            raise Refused("bad_parameter", f"{own} has more than {MOST} values.")
    for parameter in route.parameters:
        _check(parameter, found)
    where(route.filters, {each.name: found[each.name] for each in route.filters if each.name in found})
    return found


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, strict_parsing=False, errors="strict", max_num_fields=500)
    except (UnicodeDecodeError, ValueError) as error:
        raise Refused("bad_parameter", "The query string is not valid UTF-8, or has too many parameters.") from error


def _check(parameter: Parameter, found: dict[str, list[str]]) -> None:
    values = [value for value in found.get(parameter.name, []) if value]
    if not values:
        found.pop(parameter.name, None)
        if parameter.is_needed:
            raise Refused("bad_parameter", f"{parameter.name} is missing.", f"It is {parameter.doc}.")
        if parameter.default:
            found[parameter.name] = [parameter.default]
        return
    for value in values:
        if "\0" in value or len(value) > parameter.longest:
            raise Refused("bad_parameter", f"{parameter.name} has a zero byte in it, or more than {parameter.longest} characters.")
        if parameter.words and value not in parameter.words:
            near = near_match(value, list(parameter.words))
            words = ", ".join(parameter.words)
            raise Refused("bad_parameter", f"{parameter.name}={value[:100]!r} does not exist.", near or f"The words are: {words}.")
        if parameter.kind == "flag" and value not in FLAGS:
            raise Refused("bad_parameter", f"{parameter.name}={value[:100]!r} is neither true nor false.", "Say 1 or 0.")
        is_number = value.isascii() and value.isdigit() and len(value) < 19 and parameter.least <= int(value) <= parameter.most
        if parameter.kind == "int" and not is_number:
            least, most = parameter.least, parameter.most
            raise Refused("bad_parameter", f"{parameter.name}={value[:100]!r} is no number from {least} to {most}.", parameter.doc)


async def _body(route: Route, request: web.Request) -> tuple[BaseModel | None, str]:
    """Return the checked body of a request, and the page's token that a form brought."""
    if route.body is None:
        return None, ""
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Refused("too_large") from error
    page_token = ""
    if request.content_type == "application/x-www-form-urlencoded" and raw.lstrip()[:1] != b"{":  # `curl -d '{…}'` calls JSON a form
        fields = dict(_pairs(raw.decode("utf-8", "replace")))
        page_token = fields.pop("_csrf", "")
        value: Any = fields
    else:
        try:
            value = orjson.loads(raw or b"{}")
        except ValueError as error:
            raise Refused("bad_body", f"The body is no JSON: {error}.") from error
    try:
        return route.body.model_validate(value), page_token
    except ValidationError as error:
        raise Refused("invalid", "; ".join(map(str, problems_of(error)))) from error
