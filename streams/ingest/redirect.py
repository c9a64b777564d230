"""`/go/<campaign_id>`: a tracking link. Records the click, then sends the visitor on with the click id filled in.

The visitor waits for the record (broker or spool), but never longer than WAIT_S: the record then goes on behind the redirect. When
neither broker nor spool takes it the visitor is sent on all the same, and the click is counted as unrecorded: an error page would lose
the visitor *and* the click.

The page of a flow links to `/go/<campaign_id>/offer?click_id=<the id it was given>`: that is a lander click, and goes to the offer. The
tracking link itself does the same when the id is one that we made: many pages know only that one address. An id of anybody else in it is
the parameter of an ad, not ours. Which path of the flow a click takes is a hash of its id, so page and offer of one click belong together
without anything being remembered.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web
from xxhash import xxh3_64_intdigest

from schemas.entities import AffiliateNetwork, Campaign, Flow, Lander, Offer, Step, TrafficSource
from schemas.event import Visit
from streams import expansion
from streams.ingest import metrics
from streams.ingest.answers import Refused
from streams.ingest.context import Arrival, Context
from streams.ingest.ids import new_id
from streams.ingest.payloads import stored
from streams.ingest.record import Record
from streams.ingest.tag import site_of
from streams.ingest.tag_event import TagEvent
from streams.ingest.visits import address_parameters, record_of, visit_of
from streams.macros import given
from streams.workspace import Workspace

WAIT_S = 1.0
OURS = re.compile(r"[0-9a-f]{32}")
LONGEST_ID = 256
LANDER_PARAMETER = "click_id"  # what tag.js looks for
_behind: set[asyncio.Task[None]] = set()  # records that go on after their redirect


class Way(NamedTuple):
    """Where a click goes: through a lander (None: directly), to an offer."""

    campaign: Campaign
    lander: Lander | None
    offer: Offer
    slot: str  # the parameter of the offer's network that takes our click id
    external: str  # the parameter in which the traffic source passes its own click id; empty: it has none


async def go(context: Context, arrival: Arrival, campaign_id: str) -> web.Response:
    """Take the tracking link: record a click, go to the lander or the offer."""
    passed = address_parameters("?" + arrival.query.decode("utf-8", "replace"))
    known = passed.get(LANDER_PARAMETER, "")
    return await _hop(context, arrival, campaign_id, passed, known if OURS.fullmatch(known) else None)


async def offer(context: Context, arrival: Arrival, campaign_id: str) -> web.Response:
    """Take the lander's link: record a lander click, go to the offer. Without a usable id it begins a click of its own."""
    passed = address_parameters("?" + arrival.query.decode("utf-8", "replace"))
    return await _hop(context, arrival, campaign_id, passed, (given(passed.get(LANDER_PARAMETER)) or new_id(arrival.now_ms))[:LONGEST_ID])


async def _hop(context: Context, arrival: Arrival, campaign_id: str, passed: dict[str, str], of_click: str | None) -> web.Response:
    """Record and redirect; `of_click` is the click that a lander click belongs to, None for a click from outside."""
    context.doors.require_open()
    click_id = of_click or new_id(arrival.now_ms)
    way = way_of(context.doors.workspace, campaign_id, click_id)
    seen = TagEvent(
        kind="lander_click" if of_click else "click",
        click_id=click_id,
        campaign_id=way.campaign.id,
        traffic_source_id=way.campaign.traffic_source_id,
        lander_id=way.lander.id if way.lander else None,
        offer_id=way.offer.id,
        parameters=passed,
        referrer=arrival.request.headers.get("Referer", "")[:8192].encode("utf-8", "replace").decode() or None,
    )
    visit = visit_of(context, arrival, site_of(context, way.campaign.property_id), seen)
    await _record(context, record_of(visit, arrival, context.doors.version, new_id(arrival.now_ms)))
    to, slot = (way.offer, way.slot) if of_click or way.lander is None else (way.lander, LANDER_PARAMETER)
    location = expansion.filled(to.url, expansion.values(_known(way, click_id, passed, visit), passed), slot)
    return web.Response(
        status=302, headers={"Location": location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer-when-downgrade"}
    )


async def _record(context: Context, record: Record) -> None:
    task = asyncio.get_running_loop().create_task(_stored_or_counted(context, record))
    _behind.add(task)
    task.add_done_callback(_behind.discard)
    await asyncio.wait({task}, timeout=WAIT_S)


async def _stored_or_counted(context: Context, record: Record) -> None:
    try:
        await stored(context, [record])
    except Refused:
        metrics.UNRECORDED_CLICKS.inc()


def way_of(workspace: Workspace, campaign_id: str, click_id: str) -> Way:
    """Return where a click of a campaign goes. Refused("unknown_campaign") when the settings lead nowhere."""
    campaign = workspace.get("campaign", campaign_id)
    flow = workspace.get("flow", campaign.flow_id) if isinstance(campaign, Campaign) and campaign.flow_id else None
    if not isinstance(campaign, Campaign) or not isinstance(flow, Flow):
        raise Refused("unknown_campaign")
    step = step_of(flow.paths, click_id)
    offer = workspace.get("offer", step.offer_id)
    lander = workspace.get("lander", step.lander_id) if step.lander_id else None
    if not isinstance(offer, Offer):
        raise Refused("unknown_campaign")
    network = workspace.get("affiliate_network", offer.affiliate_network_id) if offer.affiliate_network_id else None
    slot = network.click_id_parameter if isinstance(network, AffiliateNetwork) else LANDER_PARAMETER
    bought = workspace.get("traffic_source", campaign.traffic_source_id) if campaign.traffic_source_id else None
    external = (isinstance(bought, TrafficSource) and bought.click_id_parameter) or ""
    return Way(campaign, lander if isinstance(lander, Lander) else None, offer, slot, external)


def step_of(paths: list[Step], click_id: str) -> Step:
    """Return the path that a click takes: by weight, always the same for the same id. All weights 0: the first."""
    total = sum(path.weight for path in paths)
    at = xxh3_64_intdigest(click_id.encode()) % total if total else 0
    for path in paths:
        at -= path.weight
        if at < 0:
            return path
    return paths[0]


def _known(way: Way, click_id: str, passed: Mapping[str, str], visit: Visit) -> dict[str, str]:
    """Return the values of the macros that we know; money and events are those of a conversion, and there is none yet."""
    campaign, lander = way.campaign, way.lander
    return {
        **dict.fromkeys(expansion.CLICK_ID, click_id),
        "externalid": passed.get(way.external or "externalid", ""),
        "campaign.id": campaign.id, "campaignid": campaign.id, "campaign.name": campaign.name,
        "trafficsource.id": campaign.traffic_source_id or "",
        "lander.id": lander.id if lander else "", "lander.name": lander.name if lander else "",
        "offer.id": way.offer.id, "offer.name": way.offer.name, "property.id": campaign.property_id,
        "timestamp": str(visit["received_ms"] // 1000),
        "ip": visit["ip"] or "", "ua": visit["user_agent"] or "", "country": visit["country"] or "", "language": visit["language"] or "",
        "device": visit["device_type"] or "", "browser": visit["browser"] or "", "os": visit["os"] or "", "referrer": visit["referrer"] or "",
        "random": new_id(visit["received_ms"])[-8:],
    }  # fmt: skip
