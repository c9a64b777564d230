"""The site tag: `/tag.js`, and the events that it, a server or a pixel sends to `/t/<property_id>`.

Events come with `navigator.sendBeacon` as text/plain, so that a browser asks no permission first; the content type is not looked at. Of a
list, the good events are taken and the others named: one broken event must not cost the page's other ones.
"""

from functools import cache
from importlib.resources import files
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from pydantic import ValidationError

from schemas.entities import Property, problems_of
from streams.ingest import metrics
from streams.ingest.answers import Refused, json_response
from streams.ingest.body import Reader
from streams.ingest.context import Arrival, Context
from streams.ingest.ids import new_id
from streams.ingest.payloads import stored
from streams.ingest.visits import TagEvent, record_of, visit_of

MOST_EVENTS = 1_000
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b")
OPEN = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}


async def script(_context: Context, _arrival: Arrival, _subject: str) -> web.Response:
    """Return the tag."""
    headers = {"Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=_script(), content_type="text/javascript", charset="utf-8", headers=headers)


@cache
def _script() -> bytes:
    return files("streams.ingest").joinpath("tag.js").read_bytes()


async def events(context: Context, arrival: Arrival, property_id: str) -> web.Response:
    """Take one event or a list. 202 with the ids; 422 when not one of them is an event."""
    site = site_of(context, property_id)
    reader = Reader(arrival.request, context.meter, context.max_payload_bytes)
    try:
        body = await reader.read()
        try:
            given = orjson.loads(body.plain)
        except orjson.JSONDecodeError:
            raise Refused("invalid_visit", "The body is not JSON.") from None
        if isinstance(given, list) and len(given) > MOST_EVENTS:
            raise Refused("invalid_visit", f"At most {MOST_EVENTS} events at once.")
        return await _take(context, arrival, site, given if isinstance(given, list) else [given])
    finally:
        reader.release()


async def _take(context: Context, arrival: Arrival, site: Property, given: list[object]) -> web.Response:
    receipt = new_id(arrival.now_ms)
    visits, refused = [], []
    for index, item in enumerate(given):
        try:
            visits.append(visit_of(context, arrival, site, TagEvent.model_validate(item)))
        except ValidationError as error:
            metrics.REFUSED.labels("invalid_visit").inc()
            refused.append({"index": index, "reason": "; ".join(map(str, problems_of(error)))})
    if not visits:
        raise Refused("invalid_visit", str(refused[0]["reason"]) if refused else "The list is empty.")
    accepted = await stored(context, [record_of(visit, arrival, context.doors.version, receipt) for visit in visits])
    answer = {"accepted": len(visits), "refused": refused, "visit_ids": [v["visit_id"] for v in visits], "receipt_id": receipt}
    return json_response(answer | {"spooled": accepted.is_spooled}, headers=OPEN)


async def pixel(context: Context, arrival: Arrival, property_id: str) -> web.Response:
    """Take one event from a query string, for pages without scripts; the page is the Referer unless `url` says it."""
    site = site_of(context, property_id)
    try:
        pairs = parse_qsl(arrival.query.decode("utf-8", "replace"), max_num_fields=1000)
    except ValueError:
        raise Refused("invalid_visit", "Too many parameters.") from None
    named = dict(pairs)
    named.setdefault("url", arrival.request.headers.get("Referer", "").encode("utf-8", "replace").decode())
    others = {name: value for name, value in named.items() if name not in TagEvent.model_fields}
    try:
        seen = TagEvent.model_validate(named | {"parameters": others})
    except ValidationError as error:
        raise Refused("invalid_visit", str(problems_of(error)[0])) from None
    visit = visit_of(context, arrival, site, seen)
    await stored(context, [record_of(visit, arrival, context.doors.version, new_id(arrival.now_ms))])
    return web.Response(body=PIXEL, content_type="image/gif", headers=OPEN)


def site_of(context: Context, property_id: str) -> Property:
    """Return the property, or raise Refused."""
    context.doors.require_open()
    site = context.doors.workspace.get("property", property_id)
    if not isinstance(site, Property):
        raise Refused("unknown_property")
    return site
