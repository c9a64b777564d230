"""The Event log and its inspector in a real browser: filters in the address, the counter and the download beside it, the live tail, the keyboard."""

import csv
import io
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import expect


def given(page):
    return parse_qs(urlsplit(page.url).query)


async def test_a_filter_is_in_the_address_and_back_takes_it_away(site):
    """A02, A04, R14, R16: the counter follows the filter, and so does the histogram; nothing that is not set stands in the address."""
    async with site.open("/events") as page:
        counter = page.locator("#counter")
        whole = await counter.inner_text()
        await page.get_by_role("checkbox", name="Error").check()
        await page.wait_for_url("**/events?status=error")
        await expect(counter).not_to_have_text(whole)
        errors = int(await counter.inner_text())
        await expect(page.locator("#list .chart thead th")).to_have_text(["From (UTC)", "Error"])
        cells = await page.locator("#list .chart tbody td").all_text_contents()
        assert sum(map(int, cells)) == errors
        await page.locator("select[name=source]").select_option("web")
        await page.wait_for_url("**/events?status=error&source=web")
        await expect(counter).to_have_text(str((await site.get("/api/v1/events?status=error&source=web"))["total"]))
        await page.evaluate("history.go(-2)")
        await page.wait_for_url("**/events")
        await expect(counter).to_have_text(whole)
        assert given(page) == {}
        await expect(page.get_by_role("checkbox", name="Error")).not_to_be_checked()


async def test_the_words_and_signs_of_the_product_pages(site):
    """A05, A08, A12, A19: OK, Discarded, Deduplicated and Error, each as a word with a sign, never a colour alone."""
    async with site.open("/events") as page:
        pills = set(await page.locator("#list tbody .pill").all_inner_texts())
        assert {re.sub(r"\s", "", pill) for pill in pills} == {"✓OK", "–Discarded", "=Deduplicated", "!Error"}


async def test_the_referral_rock_view_is_a_switch(site):
    """R04, R05, R08, R14: one click from the log, five columns, three statuses, and List All by taking the filter away."""
    async with site.open("/events") as page:
        await page.get_by_role("link", name="Referral Rock view").click()
        await page.wait_for_url("**/integration-events")
        heads = await page.locator("table.list thead th").all_inner_texts()
        assert [head.removesuffix(" UTC") for head in heads] == ["Created Date", "Type", "Status", "Message", "Details"]
        whole = int(await page.locator("#counter").inner_text())
        counts = []
        for word in ("Info", "Success", "Failure"):
            await page.goto(f"/integration-events?view_status={word.lower()}")
            await expect(page.get_by_role("checkbox", name=word)).to_be_checked()
            counts.append(int(await page.locator("#counter").inner_text()))
        assert sum(counts) == whole


async def test_the_inspector_opens_beside_the_list_and_is_in_the_address(site):
    """A02, A03, A06, R17, R18: payload on the right, its parts as tabs, and the same address shows the same."""
    event_id = site.ids["ok"]
    async with site.open("/events?status=ok") as page:
        await page.locator(f"tr:has(a[href*='{event_id}'])").first.locator("a.row").click()
        panel = page.locator("#panel")
        await expect(panel.locator("#panel-title")).to_have_text(event_id)
        assert given(page) == {"status": ["ok"], "open": [event_id]}
        await expect(panel).to_contain_text("Works as expected, no action needed")
        await expect(panel.locator(".attributes")).to_contain_text("Purchase")
        await expect(panel.locator(".tree")).to_contain_text("49.90")
        for tab, text in (
            ("Data", "Parameters and values"), ("Decision trail", "Its click was found by"), ("Attribution", "chosen"),
            ("Headers", "clicktrail.payloads.v1"), ("Postbacks", "delivered"), ("Revisions", "current"), ("Payload", "sub5"),
        ):  # fmt: skip
            await panel.get_by_role("link", name=tab).first.click()
            await expect(panel.locator(".tab")).to_contain_text(text)
        await page.reload()
        await expect(panel.locator(".tab")).to_contain_text("sub5")
        await expect(page.locator("tr[aria-selected=true]")).to_have_count(1)
        await panel.get_by_label("Close the inspector").click()
        await expect(panel).to_be_hidden()
        assert given(page) == {"status": ["ok"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pending", "Wait for the sender's approval"),
        ("no_click", 'No click id value passed to the "sub5" parameter'),
        ("unknown", "no click with this identifier was ever seen"),
        ("duplicate", "Already processed this exact conversion"),
        ("broken", "Unreadable payload"),
    ],
)
async def test_an_event_says_why_and_what_next(site, name, text):
    """A09, A12, A19, A26, A30: the page's sentence, the cause and the next step on a page of its own."""
    async with site.open(f"/events/{site.ids[name]}") as page:
        await expect(page.locator("#inspector")).to_contain_text(text)
        kind = ".next" if name in {"no_click", "unknown", "broken"} else ".calm"
        await expect(page.locator(f"#inspector {kind}").first).to_be_visible()


async def test_buttons_copy_id_json_payload_curl_and_link(site):
    async with site.open(f"/events/{site.ids['ok']}", permissions=["clipboard-read", "clipboard-write"]) as page:
        for button, wanted in (("Copy id", site.ids["ok"]), ("JSON", '"status": "ok"'), ("Payload", '"txid": "N-1"'), ("curl", "/in/net?sub5=ann"), ("Link", f"{site.url}/events/")):  # fmt: skip
            await page.get_by_role("button", name=button, exact=True).click()
            assert wanted in await page.evaluate("navigator.clipboard.readText()")
        await page.get_by_role("link", name="Open as SQL").click()
        await expect(page.locator(".answers tbody tr")).to_have_count(1)


async def test_personal_data_is_masked_until_somebody_asks_and_that_is_noted(site):
    async with site.open(f"/events/{site.ids['email']}?form=raw") as page:
        await expect(page.locator("#inspector")).not_to_contain_text("ann@customers.example")
        await page.get_by_label("Why").fill("the customer asks")
        await page.get_by_role("button", name="Show in clear").click()
        await expect(page.locator("pre.raw")).to_contain_text("ann@customers.example")
        await site.until(f"SELECT count() FROM activity WHERE action = 'revealed' AND entity_id = '{site.ids['email']}'", 1)
        await page.goto("/activity?action=revealed")
        await expect(page.locator("table.list tbody")).to_contain_text("the customer asks")
    async with site.open(f"/events/{site.ids['email']}?form=raw", "viewer") as page:
        await expect(page.get_by_role("button", name="Show in clear")).to_have_count(0)


async def test_the_download_beside_the_counter_has_the_rows_of_the_filter(site):
    """R15, R16."""
    async with site.open("/events?status=error", accept_downloads=True) as page:
        count = int(await page.locator("#counter").inner_text())
        async with page.expect_download() as started:
            await page.get_by_role("link", name="csv").click()
        path = await (await started.value).path()
        rows = list(csv.DictReader(io.StringIO(path.read_text(), newline="")))
        assert len(rows) == count
        assert {row["status"] for row in rows} == {"error"}


async def test_pages_by_cursor_go_on_where_the_last_one_ended(site):
    async with site.open("/events?limit=5") as page:
        first = await page.locator("#list a.row").evaluate_all("rows => rows.map(row => row.href)")
        await page.get_by_role("link", name="Older").click()
        await page.wait_for_url("**cursor=**")
        second = await page.locator("#list a.row").evaluate_all("rows => rows.map(row => row.href)")
        assert len(first) == len(second) == 5
        assert not {href.partition("open=")[2] for href in first} & {href.partition("open=")[2] for href in second}
        await page.get_by_role("link", name="Newer").click()
        await expect(page.locator("#list a.row").first).to_have_attribute("href", re.compile(first[0].partition("open=")[2]))


async def test_the_live_tail_announces_and_follows_the_filter(site):
    """New rows are announced and do not jump; the tail is opened anew when the filter changes."""
    async with site.open("/events?q=LIVE-1") as page:
        await page.locator("#live").click()
        assert given(page)["live"] == ["1"]
        await _listening(page, site)
        await site.fall(3, transaction_id="LIVE-1")
        await site.fall(2, transaction_id="LIVE-2")
        await expect(page.locator("#newer")).to_have_text("3 new – show")
        await expect(page.locator("#counter")).to_have_text("0")
        await site.until("SELECT count() FROM events WHERE transaction_id = 'LIVE-1'", 3)
        await page.locator("#newer").click()
        await expect(page.locator("#counter")).to_have_text("3")
        await expect(page.locator("#newer")).to_be_hidden()
        await page.locator("#search").fill("LIVE-2")
        await page.wait_for_url("**q=LIVE-2**")
        await expect(page.locator("#counter")).to_have_text("2")
        assert given(page)["live"] == ["1"]
        await _listening(page, site)
        await site.fall(4, transaction_id="LIVE-1")
        await site.fall(1, transaction_id="LIVE-2")
        await expect(page.locator("#newer")).to_have_text("1 new – show")
        await page.locator("#live").click()
        assert "live" not in given(page)


async def _listening(page, site):
    """Wait until the browser listens, and the server reads."""
    await expect(page.locator("#live[data-state=open]")).to_have_count(1)
    await site.context.tail.is_connected.wait()


async def test_everything_by_keyboard(site):
    """/ search, j and k, Enter, Esc, l, c, ?; the panel's title gets the focus, so that a reader hears what was opened."""
    async with site.open("/events", permissions=["clipboard-read", "clipboard-write"]) as page:
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("/")
        await expect(page.locator("#search")).to_be_focused()
        await page.keyboard.type("N-*")
        await page.wait_for_url("**q=N-**")
        await page.wait_for_function(
            "!document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')"
        )  # the rows of before are gone
        await page.keyboard.press("Escape")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("k")
        await expect(page.locator("a.row").first).to_be_focused()
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page.locator("#panel-title")).to_be_focused()
        await page.keyboard.press("c")
        await expect(page.locator("#toasts")).to_contain_text("Link copied")
        assert await page.evaluate("navigator.clipboard.readText()") == await page.evaluate("location.href")
        await page.keyboard.press("Escape")
        await expect(page.locator("#panel")).to_be_hidden()
        await page.keyboard.press("l")
        await expect(page.locator("#live")).to_have_attribute("aria-pressed", "true")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_contain_text("next and previous row")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_a_wrong_filter_says_what_why_and_what_next(site):
    async with site.open("/events?status=okk") as page:
        await expect(page.get_by_role("alert")).to_contain_text("Did you mean ok?")
        await page.get_by_role("link", name="Open this page without filters").click()
        await expect(page.locator("#counter")).to_be_visible()
    async with site.open("/events/e1-99-99") as page:
        await expect(page.get_by_role("alert")).to_contain_text("There is no event e1-99-99")


async def test_an_empty_list_teaches(site):
    async with site.open("/events?q=nothing-has-this") as page:
        await expect(page.locator(".empty")).to_contain_text("Nothing fits this filter")
        await page.get_by_role("link", name="show all").click()
        await expect(page.locator("#list a.row").first).to_be_visible()
