"""Every page of the console, light and dark, wide and as narrow as a phone: axe finds nothing, nothing runs over the edge; with a picture of each
in .cache/screenshots for a person to look at.
"""

import asyncio
from importlib.resources import files

from playwright.async_api import expect

from tests.browser.console_site import SCREENSHOTS

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = {
    "home": "/", "problems": "/problems", "health": "/health", "events": "/events", "events-none": "/events?q=nothing", "inspector": "/events?open={ok}",
    "inspector-trail": "/events?open={unknown}&tab=trail", "event-payload": "/events/{evil}", "event-data": "/events/{email}?tab=data",
    "event-attribution": "/events/{ok}?tab=attribution", "event-headers": "/events/{ok}?tab=headers", "event-revisions": "/events/{ok}?tab=revisions",
    "referral": "/integration-events", "timeline": "/clicks/ann", "visits": "/visits", "visit": "/visits?open=v-ann-click-{clicked}",
    "postbacks": "/postbacks", "postback": "/postbacks?open={ok}.ads.1", "activity": "/activity", "change": "/activity?open={change}",
    "sql": "/sql?q=SELECT+status,+reason,+count()+FROM+events+GROUP+BY+ALL", "sql-refused": "/sql?q=DROP+TABLE+events", "whatif": "/whatif",
    "settings": "/settings", "settings-kind": "/settings/source", "settings-edit": "/settings/source/net", "settings-new": "/settings/campaign/new",
    "users": "/settings/user", "refused": "/nothing",
}  # fmt: skip


WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 860}
BEYOND = """[...document.querySelectorAll("*")].filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll"))
    .map(each => `${each.tagName}.${each.className}`).slice(0, 5)"""
CONTRAST = {"type": "rule", "values": ["color-contrast"]}
OF_WIDTH = {"type": "rule", "values": ["target-size", "scrollable-region-focusable", "color-contrast"]}
EVERYTHING = {"type": "tag", "values": RULES}


async def test_every_page_is_accessible_and_fits(site):
    """Each page is loaded once and looked at four times; in the dark only the contrast can differ."""
    rows = await site.get("/api/v1/activity?entity=source&limit=1")
    names = {**site.ids, "change": rows["rows"][0]["activity_id"], "clicked": site.now_ms - 40 * 60_000}
    await asyncio.to_thread(SCREENSHOTS.mkdir, parents=True, exist_ok=True)
    found = []
    async with site.open("/events") as page:
        for name, path in PAGES.items():
            await page.set_viewport_size(WIDE)
            await page.goto(path.format(**names))
            await expect(page.get_by_text("counting")).to_have_count(0)
            found += await looked_at(page, name)
    async with site.open("/login", None) as page:
        found += await looked_at(page, "login")
    assert not found, "\n".join(found)


async def looked_at(page, name):
    """Take the pictures; return what is wrong."""
    found = []
    await page.evaluate(AXE)
    for size, theme, only in ((WIDE, "light", EVERYTHING), (WIDE, "dark", CONTRAST), (NARROW, "dark", None), (NARROW, "light", OF_WIDTH)):
        await page.emulate_media(color_scheme=theme)
        await page.set_viewport_size(size)
        over = await _beyond(page)
        await page.screenshot(path=SCREENSHOTS / f"{name}-{size['width']}-{theme}.png")
        said = [f"{over} px wider than the window: {await page.evaluate(BEYOND)}"] if over > 0 else []
        if only:
            violations = await page.evaluate("only => axe.run(document, {runOnly: only}).then(found => found.violations)", only)
            said += [f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}" for each in violations]
        found += [f"{name} {size['width']} {theme}: {each}" for each in said]
    return found


async def _beyond(page):
    """Return by how much a page is wider than its window; charts are drawn anew a moment after the window changed."""
    for _ in range(30):
        if (over := await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")) <= 0:
            return 0
        await asyncio.sleep(0.1)
    return over
