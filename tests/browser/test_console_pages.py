"""Every other page of the console in a real browser, each with what somebody comes to it for; and the texts of hostile senders on all of them."""

import pytest
from playwright.async_api import expect

from tests.browser.console_site import EVIL, SCRIPT


async def test_home_shows_the_plots_with_a_table_each(site):
    async with site.open("/") as page:
        figures = page.locator("figure.chart")
        assert await figures.count() >= 3
        for at in range(await figures.count()):
            await expect(figures.nth(at).locator("canvas")).to_have_count(1)
            await expect(figures.nth(at).locator("tbody tr").first).to_have_count(1)
        await expect(page.locator(".charts")).to_contain_text("The dashed line is where the attribution window ends")
        await page.locator("a.card", has_text="Error").click()
        await page.wait_for_url("**/events?status=error&from=24h")


async def test_the_menu_leads_from_home_to_every_log(site):
    """C01, R04: the Logs area with its three sections, and the integration events one click behind the event log."""
    async with site.open("/") as page:
        menu = page.get_by_role("navigation").first
        await expect(menu).to_contain_text("Logs")
        for title, path in (("System logs", "/visits"), ("System activity", "/activity"), ("Postback status", "/postbacks")):
            await menu.get_by_role("link", name=title).click()
            await page.wait_for_url(f"**{path}")
            await expect(page.get_by_role("heading", level=1)).to_contain_text(title)
        await menu.get_by_role("link", name="Event log").click()
        await page.get_by_role("link", name="Referral Rock view").click()
        await page.wait_for_url("**/integration-events")


async def test_a_range_drawn_in_the_histogram_is_a_filter(site):
    async with site.open("/events") as page:
        box = await page.locator("#list .u-over").bounding_box()
        await page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 20, steps=5)
        await page.mouse.up()
        await page.wait_for_url("**/events?from=**&to=**")


async def test_a_timeline_goes_from_click_to_postback(site):
    """A07, C11: visit, conversions, duplicates folded under their original, postbacks, and where the window closes."""
    async with site.open(f"/events/{site.ids['ok']}") as page:
        await page.get_by_role("link", name="ann", exact=True).click()
        await page.wait_for_url("**/clicks/ann")
        line = page.locator(".timeline")
        for text in ("Click", "Lander click", "Purchase", "1 duplicate, not counted again", "Postback", "The attribution window closes"):
            await expect(line).to_contain_text(text)
        await line.get_by_role("link", name=f"{site.ids['ok']}.ads.1").click()
        await expect(page.locator("#panel")).to_contain_text("https://ads.example/pb?id=ann")


async def test_system_logs_filter_and_show_what_was_passed_and_collected(site):
    """C03, C04, C05."""
    async with site.open("/visits") as page:
        await page.get_by_role("checkbox", name="Clicks").check()
        await page.wait_for_url("**/visits?event_type=clicks")
        await page.locator("select[name=campaign]").select_option("sale")
        await page.wait_for_url("**campaign=sale**")
        await page.locator("a.row").last.click()
        panel = page.locator("#panel")
        for text in ("Passed: tracking fields", "utm_source", "Collected automatically", "device_type", "203.0.***"):
            await expect(panel).to_contain_text(text)
        await page.goto("/visits?event_type=Conversions")
        await page.locator("a.row").first.click()
        await expect(page.locator("#panel .inspector")).to_contain_text("Decision trail")


async def test_postback_status_has_the_columns_of_the_page_and_the_attempts(site):
    """C10, C12, C13, C14, C15, C16, C17, C18."""
    async with site.open("/postbacks") as page:
        heads = [head.removesuffix(" UTC") for head in await page.locator("table.list thead th").all_inner_texts()]
        wanted = {
            "Postback ID",
            "Click ID",
            "Postback Time",
            "Is Error",
            "Error Message",
            "Status Code",
            "Postback URL",
            "ct",
            "Integration ID",
        }
        assert wanted <= set(heads)
        await page.locator("select[name=is_error]").select_option("1")
        await page.wait_for_url("**/postbacks?is_error=1")
        await expect(page.locator("#counter")).to_have_text("2")
        await page.get_by_role("row", name=site.postbacks[1]).locator("a.row").click()
        for text in ("waiting", "Try 1", "code 500", "Next try"):
            await expect(page.locator("#panel")).to_contain_text(text)


async def test_failed_postbacks_are_counted_and_sent_again_as_a_job(site):
    """C19: the job shows how far it is; one postback is asked for from its panel."""
    async with site.open("/postbacks", "editor") as page:
        await page.get_by_text("Send failed ones again").click()
        await page.get_by_role("button", name="Count").click()
        await expect(page.locator("#recovered")).to_contain_text("1 postback would be sent again")
        await page.get_by_role("button", name="Send again").click()
        await expect(page.locator(".job")).to_contain_text("1 of 1, done")
        await page.goto(f"/postbacks?open={site.postbacks[0]}.ads.1")
        await page.get_by_role("button", name="Resend").click()
        await expect(page.locator("#resent")).to_contain_text("Asked for")
    async with site.open(f"/postbacks?open={site.postbacks[0]}.ads.1", "analyst") as page:
        await expect(page.get_by_role("button", name="Resend")).to_have_count(0)


async def test_activity_shows_before_and_after(site):
    """C06, C08, C09."""
    async with site.open("/activity?entity=campaign&action=created") as page:
        await page.locator("a.row").click()
        panel = page.locator("#panel")
        await expect(panel).to_contain_text("by setup")
        await expect(panel.locator(".diff")).to_contain_text("sale")


async def test_problems_group_by_reason_and_say_the_fix(site):
    async with site.open("/problems") as page:
        card = page.locator("article", has_text="No click id value passed")
        await expect(card).to_contain_text("Fix")
        await card.get_by_role("link", name=site.ids["no_click"]).click()
        await page.wait_for_url("**/events/e1-**")


async def test_health_shows_every_stage(site):
    async with site.open("/health") as page:
        for stage in ("Ingest", "Ledger", "Attribution", "Sink", "Console"):
            await expect(page.locator(".pipe")).to_contain_text(stage)
        await expect(page.locator(".tiles")).to_contain_text("answers")


async def test_sql_asks_refuses_and_explains_itself(site):
    async with site.open("/sql") as page:
        await page.get_by_label("Question").fill("SELECT status, count() AS events FROM events GROUP BY ALL ORDER BY events DESC")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator(".answers tbody tr")).to_have_count(4)
        await page.get_by_label("Question").fill("DROP TABLE events")
        await page.get_by_role("button", name="Run").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.get_by_role("link", name="Timeline of a click").click()
        await page.get_by_label("Values of its").fill("click_id=ann")
        await page.get_by_role("button", name="Run").click()
        await expect(page.locator(".answers tbody tr").nth(2)).to_be_visible()
        async with page.expect_download() as started:
            await page.goto("/sql?q=SELECT+status+FROM+events")
            await page.get_by_role("button", name="Download csv").click()
        assert (await (await started.value).path()).read_text().startswith('"status"')


PAGES = (
    "/", "/problems", "/health", "/events", "/integration-events", "/visits", "/postbacks", "/activity", "/sql?q=SELECT+*+FROM+events", "/whatif",
    "/settings", "/settings/source", "/settings/source/web", "/settings/property", "/settings/property/shop",
)  # fmt: skip


@pytest.mark.parametrize("who", ["owner"])
async def test_the_texts_of_hostile_senders_are_text(site, who):
    """Payload names and values, ids, statuses, user agents, addresses, answers of destinations, reasons and names of settings: shown, never run."""
    tabs = ("payload", "data", "trail", "attribution", "headers", "postbacks", "revisions")
    events = [f"/events/{site.ids[name]}?tab={tab}" for name in ("evil", "evil_click", "evil_status") for tab in tabs]
    events += [f"/events/{site.ids['evil']}?form=raw&reveal=1", "/clicks/bob", "/clicks/%3Cimg%20src%3Dx%20onerror%3Dwindow.pwned%3D1%3E"]
    panels = [f"/postbacks?open={site.postbacks[1]}.ads.1", f"/events?open={site.ids['evil_click']}", f"/events?q={EVIL.replace(' ', '+')}"]
    seen = ""
    async with site.open("/", who) as page:
        for path in (*PAGES, *events, *panels, f"/nothing/{EVIL}", f"/events?status={EVIL}", f"/login?next={SCRIPT}"):
            await page.goto(path)
            assert await page.evaluate("window.pwned") is None, path
            assert await page.locator("img[src=x], script:not([src])").count() == 0, path
            seen += await page.locator("main").inner_text()
    assert seen.count(EVIL) > 20
    assert seen.count("<script>window.pwned=1</script>") > 3
