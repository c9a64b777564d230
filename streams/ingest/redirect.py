"""`/go/<campaign_id>`: a tracking link. Records the click, then sends the visitor on with the click id filled in.

The visitor waits for the record (broker or spool), but never longer than WAIT_S: the record then goes on behind the redirect. When
neither broker nor spool takes it the visitor is sent on all the same, and the click is counted as unrecorded: an error page would lose
the visitor *and* the click.

A page of the flow links to the same address with `?click_id=<the id it was given>`: that is a lander click, and goes to the offer. Which
path of the flow a click takes is a hash of its id, so page and offer of one click belong together without anything being remembered.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from aiohttp import web
from xxhash import xxh3_64_intdigest

from schemas.entities import AffiliateNetwork, Campaign, Flow, Lander, Offer, Step
from streams.ingest import metrics
from streams.ingest.answers import Refused
from streams.ingest.context import Arrival, Context
from streams.ingest.ids import new_id
from streams.ingest.payloads import stored
from streams.ingest.record import Record
from streams.ingest.tag import site_of
from streams.ingest.visits import TagEvent, address_parameters, record_of, visit_of
from streams.workspace import Workspace

WAIT_S = 1.0
OURS = re.compile(r"[0-9a-f]{32}")
LANDER_PARAMETER = "click_id"  # what tag.js looks for
# The styles of 3-trade, section 3. A name in braces or brackets is always a macro; in the others only a name that we know.
MACRO = re.compile(
    r"\$?\{\{?(?P<a>[\w.:-]+)\}?\}|\[(?P<b>[\w.:-]+)\]|#(?P<c>[\w.:-]+?)#|%(?P<d>[A-Za-z_][\w.:-]*?)%"
    r"|!!!?(?P<e>[\w.:-]+?)!!!?|--(?P<f>[A-Za-z][\w.:-]*?)--|__(?P<g>[A-Za-z][\w.:-]*?)__"
)
_behind: set[asyncio.Task[None]] = set()  # records that go on after their redirect


class Way(NamedTuple):
    """Where a click goes: through a lander (None: directly), to an offer."""

    campaign: Campaign
    lander: Lander | None
    offer: Offer
    slot: str  # the parameter of the offer's network that takes our click id


async def go(context: Context, arrival: Arrival, campaign_id: str) -> web.Response:
    """Record a click and redirect."""
    context.doors.require_open()
    passed = address_parameters("?" + arrival.query.decode("utf-8", "replace"))
    known = passed.get(LANDER_PARAMETER, "")
    is_lander_click = OURS.fullmatch(known) is not None
    click_id = known if is_lander_click else new_id(arrival.now_ms)
    way = way_of(context.doors.workspace, campaign_id, click_id)
    goes_to_lander = way.lander is not None and not is_lander_click
    seen = TagEvent(
        kind="lander_click" if is_lander_click else "click",
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
    target = way.lander.url if way.lander is not None and goes_to_lander else way.offer.url
    values = _values(way, click_id, passed, arrival.now_ms, visit["ip"] or "")
    location = filled(target, values, LANDER_PARAMETER if goes_to_lander else way.slot)
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
    return Way(campaign, lander if isinstance(lander, Lander) else None, offer, slot)


def step_of(paths: list[Step], click_id: str) -> Step:
    """Return the path that a click takes: by weight, always the same for the same id. All weights 0: the first."""
    total = sum(path.weight for path in paths)
    at = xxh3_64_intdigest(click_id.encode()) % total if total else 0
    for path in paths:
        at -= path.weight
        if at < 0:
            return path
    return paths[0]


def _values(way: Way, click_id: str, passed: Mapping[str, str], now_ms: int, ip: str) -> dict[str, str]:
    """Return the values of the macros that we know, by folded name."""
    known = {
        "clickid": click_id, "cid": click_id, "subid": click_id,
        "campaign.id": way.campaign.id, "campaignid": way.campaign.id,
        "trafficsource.id": way.campaign.traffic_source_id or "",
        "lander.id": way.lander.id if way.lander else "",
        "offer.id": way.offer.id,
        "timestamp": str(now_ms // 1000),
        "ip": ip,
        "random": click_id[-8:],
    }  # fmt: skip
    others = {fold(name): value for name, value in passed.items()}
    return others | {f"var:{name}": value for name, value in others.items()} | known


def fold(name: str) -> str:
    """Return a macro's name as it is compared: lower case, without `_` and `-`."""
    return name.lower().replace("_", "").replace("-", "")


def filled(url: str, values: Mapping[str, str], slot: str) -> str:
    """Return the URL with its macros filled in, each value percent-encoded; a URL without a click id macro gets it as `slot=…`."""
    has_click_id = False

    def value_of(match: re.Match[str]) -> str:
        nonlocal has_click_id
        name = fold(match[match.lastgroup or 0])
        if name not in values:
            return "" if match.lastgroup == "a" else match[0]  # a brace macro that nobody knows is never sent literally
        has_click_id = has_click_id or values[name] == values["clickid"]
        return quote(values[name], safe="")

    url = MACRO.sub(value_of, url)
    if has_click_id:
        return url
    page, hash_, fragment = url.partition("#")
    joiner = "" if page.endswith(("?", "&")) else "&" if "?" in page else "?"
    return f"{page}{joiner}{quote(slot, safe='')}={quote(values['clickid'], safe='')}{hash_}{fragment}"
