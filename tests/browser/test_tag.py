"""The tag in a real Chromium: a shop's pages on one address, ingest on another, a real broker behind it.

What the tag does is asserted on the records of visits.v1, which is what attribution and the system logs read.
"""

import asyncio
import json
import re
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from streams.identifiers import key
from streams.runtime import topics
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Change, SettingsStore
from streams.topology import VISITS
from tests.integration.ingest_rig import PII_KEY, Tail, running, settings_for

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
BODY = """
<form id="mail" action="/thanks"><input type="email" name="e"><input type="tel" name="p"><input type="password" name="w"><button>Go</button></form>
<form id="off" action="/thanks" data-clicktrail="off"><input type="email" name="e"><button>Go</button></form>
<a id="offer" href="{ingest}/go/c1/offer">offer</a> <a id="marked" href="/thanks" data-clicktrail>marked</a>
<a id="token" href="/thanks?sub=--CLICK-ID--">token</a> <a id="plain" href="/thanks">plain</a>
"""


@asynccontextmanager
async def pages(ingest):
    """A shop: every path is a page with the tag; `/p/<attributes>/…` gives the tag these attributes."""

    async def page(request):
        attributes = {"consent": 'data-consent="forms"', "wait": 'data-consent="wait"', "campaign": 'data-campaign="c1"'}
        given = attributes.get(request.match_info.get("kind", ""), "")
        tag = f'<script src="{ingest}/tag.js" data-property="shop" {given}></script>'
        return web.Response(text=f"<!doctype html><title>Shop</title>{tag}{BODY.format(ingest=ingest)}", content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/p/{kind}", page), web.get("/{path:.*}", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
async def site(chromium_path, tmp_path_factory):
    """(shop's address, ingest's address, broker), with a campaign whose offer is a page of the shop."""
    folder = tmp_path_factory.mktemp("tag")
    broker = Kafka(folder / "kafka", port=free_port())
    await asyncio.to_thread(broker.start)
    try:
        settings = settings_for(broker, folder)
        async with pages(settings.ingest_url()) as shop:
            await topics.create_missing(settings)
            feed = SettingsFeed(settings)
            await feed.start()
            await SettingsStore(settings, feed).apply(workspace(shop), "test", "set up")
            await feed.stop()
            async with running(settings) as address:
                yield shop, address, broker
    finally:
        await asyncio.to_thread(broker.kill)


def workspace(shop):
    return [
        Change("property", "shop", {"id": "shop", "name": "Shop"}),
        Change("lander", "page", {"id": "page", "name": "Page", "url": f"{shop}/p/campaign"}),
        Change("offer", "buy", {"id": "buy", "name": "Buy", "url": f"{shop}/bought?by={{click_id}}"}),
        Change("flow", "f", {"id": "f", "name": "F", "paths": [{"lander_id": "page", "offer_id": "buy"}]}),
        Change("campaign", "c1", {"id": "c1", "name": "C1", "property_id": "shop", "flow_id": "f"}),
    ]


class Visitor:
    """A browser of its own, and what the log says of it since it came."""

    def __init__(self, site, context, tail):
        (self.shop, self.ingest, _), self.context, self.tail = site, context, tail
        self.seen = []

    async def open(self, path, referer=None):
        page = await self.context.new_page()
        await page.goto(path if path.startswith("http") else self.shop + path, referer=referer)
        return page

    async def saw(self, count):
        """The visits so far, in the order of the log, once there are `count`; beacons arrive when they like."""
        ends_at = time.monotonic() + 10
        while len(self.seen) < count and time.monotonic() < ends_at:
            self.seen += [json.loads(record.value) for record in await self.tail.rest()]
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        self.seen += [json.loads(record.value) for record in await self.tail.rest()]
        assert len(self.seen) == count, [visit["kind"] for visit in self.seen]
        return sorted(self.seen, key=lambda visit: visit["received_ms"])


@pytest.fixture
async def visitor(site, chromium):
    async with Tail(site[2], VISITS) as tail:
        context = await chromium.new_context(user_agent=AGENT, locale="de-DE")
        yield Visitor(site, context, tail)
        await context.close()


async def test_a_page_view_says_where_the_visitor_comes_from(visitor):
    """C02, C03, C05: query parameters, referrer, language, device; the click id is passed in the address."""
    await visitor.open("/p/campaign?click_id=ad-7&utm_source=news&gclid=G1", referer=f"{visitor.shop}/before")
    (visit,) = await visitor.saw(1)
    assert (visit["kind"], visit["click_id"], visit["campaign_id"], visit["property_id"]) == ("visit", "ad-7", "c1", "shop")
    assert visit["parameters"] == {"click_id": "ad-7", "utm_source": "news", "gclid": "G1"}
    assert (visit["referrer"], visit["language"]) == (f"{visitor.shop}/before", "de-DE")
    assert (visit["device_type"], visit["browser"], visit["os"], visit["is_bot"]) == ("desktop", "Chrome", "Linux", False)
    assert visit["url"].startswith(f"{visitor.shop}/p/campaign?")


async def test_the_click_id_stays_with_the_visitor(visitor):
    """First party: a cookie, and localStorage where the cookie was cleared. A new id in the address wins, a macro that came back does not."""
    page = await visitor.open("/?click_id=ad-1")
    (cookie,) = await visitor.context.cookies()
    assert (cookie["name"], cookie["value"], cookie["sameSite"]) == ("_clicktrail_shop", "ad-1", "Lax")
    await visitor.open("/second?click_id={click_id}")
    await visitor.context.clear_cookies()
    await visitor.open("/third")
    assert await page.evaluate("localStorage.getItem('_clicktrail_shop')") == "ad-1"
    await visitor.open("/fourth?click_id=ad-2")
    await visitor.open("/fifth")
    assert [visit["click_id"] for visit in await visitor.saw(5)] == ["ad-1", "ad-1", "ad-1", "ad-2", "ad-2"]


async def test_a_visitor_without_an_id_gets_one(visitor):
    page = await visitor.open("/")
    (visit,) = await visitor.saw(1)
    assert re.fullmatch("[0-9a-f]{32}", visit["click_id"])
    assert await page.evaluate("clicktrail.clickId") == visit["click_id"]


async def fill(page, form):
    await page.fill(f"#{form} input[type=email]", " Ann@Example.com ")
    if form == "mail":
        await page.fill("#mail input[type=tel]", "+1 202 555 0143")
        await page.fill("#mail input[type=password]", "s3cret")
    await page.click(f"#{form} button")
    await page.wait_for_url("**/thanks*")


@pytest.mark.parametrize(
    ("path", "form", "kinds"),
    [("/", "mail", ["visit", "visit"]), ("/p/consent", "mail", ["visit", "identify", "visit"]), ("/p/consent", "off", ["visit", "visit"])],
    ids=["no consent", "consent", "form is switched off"],
)
async def test_forms_are_read_only_with_consent(visitor, path, form, kinds):
    """A22: e-mail and phone of a form, hashed before they are kept; never the password."""
    await fill(await visitor.open(path), form)
    seen = await visitor.saw(len(kinds))
    assert [visit["kind"] for visit in seen] == kinds
    for visit in seen:
        if visit["kind"] == "identify":
            assert ["email", key("email", "ann@example.com", PII_KEY.encode())] in visit["identifiers"]
            assert ["phone", key("phone", "+12025550143", PII_KEY.encode())] in visit["identifiers"]
            assert "s3cret" not in json.dumps(visit)
            assert "xample.com" not in json.dumps(visit)


async def test_before_consent_nothing_is_stored_or_sent(visitor):
    page = await visitor.open("/p/wait?click_id=ad-9")
    await page.evaluate("clicktrail.track('click', {parameters: {button: 'buy'}})")
    await visitor.saw(0)
    assert await visitor.context.cookies() == []
    assert await page.evaluate("localStorage.length") == 0
    await page.evaluate("clicktrail.start({forms: true})")
    first, second = await visitor.saw(2)
    assert {first["kind"], second["kind"]} == {"visit", "click"}
    assert (await visitor.context.cookies())[0]["value"] == "ad-9"
    await fill(page, "mail")
    assert sorted(visit["kind"] for visit in await visitor.saw(4)) == ["click", "identify", "visit", "visit"]


async def test_identify_by_the_site_itself(visitor):
    """A22: an id of the shop's own, for conversions that carry nothing else."""
    page = await visitor.open("/?click_id=ad-3")
    await page.evaluate("clicktrail.identify({external_id: 'customer-7', email: 'bob@example.com'})")
    (identify,) = [visit for visit in await visitor.saw(2) if visit["kind"] == "identify"]
    assert identify["click_id"] == "ad-3"
    assert {kind for kind, _ in identify["identifiers"]} == {"email", "external_id", "ip"}


async def test_from_the_ad_over_the_lander_to_the_offer(visitor):
    """C03: the tracking link, the lander's page view and the lander's click are three rows of one click id."""
    page = await visitor.open(f"{visitor.ingest}/go/c1?utm_source=ad")
    assert page.url.startswith(f"{visitor.shop}/p/campaign?click_id=")
    await page.click("#offer")
    await page.wait_for_url("**/bought?by=*")
    seen = await visitor.saw(4)
    assert [visit["kind"] for visit in seen] == ["click", "visit", "lander_click", "visit"]
    assert len({visit["click_id"] for visit in seen}) == 1
    assert page.url.endswith(f"?by={seen[0]['click_id']}")
    assert [visit["campaign_id"] for visit in seen] == ["c1", "c1", "c1", None]


async def test_links_of_the_page(visitor):
    """A28, A29: the token in a link becomes the click id; a marked link is a lander click; any other link is left alone."""
    for link in ("token", "marked", "plain"):
        page = await visitor.open("/?click_id=ad-5")
        await page.click(f"#{link}")
        await page.wait_for_url("**/thanks*")
        if link == "token":
            assert page.url == f"{visitor.shop}/thanks?sub=ad-5"
    seen = await visitor.saw(7)
    (marked,) = [visit for visit in seen if visit["kind"] == "lander_click"]
    assert (marked["click_id"], marked["parameters"]["link"]) == ("ad-5", f"{visitor.shop}/thanks")
