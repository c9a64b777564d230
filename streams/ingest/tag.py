"""The site tag: `/tag.js`, and the events that it, a server or a pixel sends to `/t/<property_id>`.

Events of pages come with `navigator.sendBeacon` as text/plain, so that a browser asks no permission first. The content type decides one
thing: with that one, unknown fields are left out and noted, with any other they are refused (tag_event.py). Of a list, the good events are
taken and the others named: one broken event must not cost the page's other ones.
"""

import json
from functools import cache
from importlib.resources import files
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from pydantic import ValidationError

from schemas.entities import Property
from schemas.problems import problems_of
from streams.ingest import metrics
from streams.ingest.answers import Refused, json_response
from streams.ingest.body import Reader
from streams.ingest.context import Arrival, Context
from streams.ingest.ids import new_id
from streams.ingest.payloads import stored
from streams.ingest.tag_event import NOTES, TagEvent, ignored
from streams.ingest.visits import record_of, visit_of
from streams.json_payload import clean

MOST_EVENTS = 1_000
MOST_PAIRS = 1_000
KNOWN = f"The fields are: {', '.join(TagEvent.model_fields)}. What else you know goes into parameters."
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b")
OPEN = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}


class Unusable(Exception):  # noqa: N818 - one event of a list; the others are taken
    """Says what is wrong with an event, without its values."""


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
        given = _json(body.plain)
        if isinstance(given, list) and len(given) > MOST_EVENTS:
            raise Refused("invalid_visit", f"At most {MOST_EVENTS} events at once.", "Send them in several requests.")
        return await _take(context, arrival, site, given if isinstance(given, list) else [given])
    finally:
        reader.release()


def _json(body: bytes) -> object:
    """Return what the body says; half a surrogate pair, which a page's text may end with, becomes U+FFFD as in payloads."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as first:
        try:
            return orjson.loads(clean(json.dumps(json.loads(body), ensure_ascii=False)))
        except (ValueError, RecursionError):
            raise Refused("invalid_visit", f"The body is not JSON: {first.msg} at character {first.pos}.") from None


async def _take(context: Context, arrival: Arrival, site: Property, given: list[object]) -> web.Response:
    receipt = new_id(arrival.now_ms)
    is_beacon = arrival.request.content_type == "text/plain"
    visits, refused = [], []
    for index, item in enumerate(given):
        try:
            visits.append((index, visit_of(context, arrival, site, _seen(item, is_lenient=is_beacon))))
        except Unusable as error:
            metrics.REFUSED.labels("invalid_visit").inc()
            refused.append({"index": index, "reason": str(error)})
    if not visits:
        raise Refused("invalid_visit", str(refused[0]["reason"]), KNOWN) if refused else Refused("invalid_visit", "The list is empty.")
    accepted = await stored(context, [record_of(visit, arrival, context.doors.version, receipt) for _, visit in visits])
    answer = {"accepted": len(visits), "refused": refused, "visit_ids": [v["visit_id"] for _, v in visits], "receipt_id": receipt}
    if warnings := [
        {"index": at, name[1:-1]: visit["parameters"][name]} for at, visit in visits for name in NOTES if name in visit["parameters"]
    ]:
        answer["warnings"] = warnings
    return json_response(answer | {"spooled": accepted.is_spooled}, headers=OPEN)


def _seen(item: object, *, is_lenient: bool) -> TagEvent:
    """Return the event, or raise Unusable with what is wrong about it."""
    try:
        seen = TagEvent.model_validate(item)
    except ValidationError as error:
        raise Unusable("; ".join(map(str, problems_of(error)))) from error
    if not is_lenient and (names := ignored(seen)):
        raise Unusable(f"Unknown field{'s' if len(names) > 1 else ''}: {', '.join(names)}")
    return seen


async def pixel(context: Context, arrival: Arrival, property_id: str) -> web.Response:
    """Take one event from a query string, for pages without scripts; the page is the Referer unless `url` says it."""
    site = site_of(context, property_id)
    try:
        pairs = parse_qsl(arrival.query.decode("utf-8", "replace"), max_num_fields=MOST_PAIRS)
    except ValueError:
        raise Refused(
            "invalid_visit", f"More than {MOST_PAIRS} parameters.", "Send fewer; a longer event goes to POST /t/<property_id>."
        ) from None
    named = dict(pairs)
    named.setdefault("url", arrival.request.headers.get("Referer", "").encode("utf-8", "replace").decode())
    others = {name: value for name, value in named.items() if name not in TagEvent.model_fields}
    try:
        known = {name: value for name, value in named.items() if name in TagEvent.model_fields}
        seen = _seen(known | {"parameters": others}, is_lenient=True)
    except Unusable as error:
        raise Refused("invalid_visit", str(error), KNOWN) from None
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
