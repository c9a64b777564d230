"""Settings, people and rights in a real browser: an edit with its activity row, what is refused and where, the mapping tester, login and logout."""

import orjson
from playwright.async_api import expect


async def as_json(page):
    """Open the editor's JSON, and return it."""
    await page.locator("#advanced > summary").click()
    return page.locator("#value")


async def test_a_form_is_the_json_and_what_is_wrong_stands_beside_its_control(site):
    """C07: the entities that people edit have forms; what the server says of a field is shown at it, and one saves what is seen."""
    async with site.open("/settings/source/members") as page:
        await page.get_by_label("Name", exact=True).fill("Member programme")
        await page.locator("#f-mapping-statuses").fill("joined = approvedd")
        await page.locator("#f-mapping-click_id").fill("member, member_id")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#f-mapping-statuses")).to_have_attribute("aria-invalid", "true")
        await expect(page.locator("#f-mapping-statuses + .wrong")).to_contain_text("Input should be")
        await page.locator("#f-mapping-statuses").fill("joined = approved")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Member programme")
        value = await as_json(page)
        saved = orjson.loads(await value.input_value())
        assert saved["mapping"] == {"click_id": ["member", "member_id"], "default_status": "approved", "statuses": {"joined": "approved"}}
        await value.fill((await value.input_value()).replace("Member programme", "Members"))
        await expect(page.get_by_label("Name", exact=True)).to_have_value("Members")


async def test_an_edit_is_saved_with_its_reason_and_is_an_activity_row(site):
    """C07, C08: who changed the mapping, when, why, and what it was before."""
    async with site.open("/settings/traffic_source/social", "editor") as page:
        value = await as_json(page)
        await value.fill((await value.input_value()).replace('"Social"', '"Social ads"'))
        await page.locator("#editor").get_by_label("Reason").fill("its real name")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Social ads")
        await site.until("SELECT count() FROM activity WHERE reason = 'its real name'", 1)
        await page.get_by_role("link", name="Who changed it").click()
        await page.locator("a.row").first.click()
        panel = page.locator("#panel")
        await expect(panel).to_contain_text("by editor")
        await expect(panel.locator(".diff .before")).to_have_text("Social")
        await expect(panel.locator(".diff .after")).to_have_text("Social ads")


async def test_what_is_wrong_is_said_with_its_place(site):
    async with site.open("/settings/source/net") as page:
        value = await as_json(page)
        good = await value.input_value()
        await value.fill(good.replace('"click_id"', '"clickid"'))
        await page.get_by_role("button", name="Save").click()
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("mapping.clickid")
        await expect(alert).to_contain_text("line")
        await value.fill(good.replace('"shop"', '"shopp"'))
        await page.get_by_role("button", name="Save").click()
        await expect(alert).to_contain_text("property_id")
        await value.fill(good[:-3])
        await page.get_by_role("button", name="Save").click()
        await expect(alert).to_contain_text("no JSON")
        assert await value.input_value() == good[:-3]


async def test_two_people_cannot_overwrite_each_other_without_knowing(site):
    async with site.open("/settings/lander/page") as first, site.open("/settings/lander/page", "editor") as second:
        for page, name in ((second, "Second"), (first, "First")):
            value = await as_json(page)
            await value.fill((await value.input_value()).replace('"Page"', f'"{name}"'))
            await page.get_by_role("button", name="Save").click()
            if page is second:
                await expect(page.get_by_role("heading", level=1)).to_have_text("Second")
        await expect(first.get_by_role("alert")).to_contain_text("is not what it was when you loaded it")


async def test_one_is_made_and_deleted_and_what_is_in_use_stays(site):
    async with site.open("/settings/offer") as page:
        await page.get_by_role("link", name="New offer").click()
        await page.get_by_label("Id", exact=True).fill("extra")
        await (await as_json(page)).fill('{"name": "Extra", "url": "https://shop.example/extra"}')
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_url("**/settings/offer/extra")
        await page.get_by_text("Delete this offer").click()
        await page.get_by_role("button", name="Delete extra").click()
        await page.wait_for_url("**/settings/offer")
        await expect(page.locator("main")).not_to_contain_text("extra")
        await page.goto("/settings/offer/trial")
        await page.get_by_text("Delete this offer").click()
        await page.get_by_role("button", name="Delete trial").click()
        await expect(page.get_by_role("alert")).to_contain_text("in use")


async def test_the_mapping_tester_judges_and_writes_nothing(site):
    """A10: paste a payload, see what it is read as and the verdict, also under a mapping that is not saved."""
    async with site.open("/settings/source/net", "analyst") as page:
        before = site.context.following.version
        await page.locator("#tester").get_by_label("Payload").fill("sub5=ann&txid=TRY-1&payout=12&status=approved")
        await page.get_by_role("button", name="Test").click()
        await expect(page.locator("#tested")).to_contain_text("Conversion recorded")
        await expect(page.locator("#tested")).to_contain_text("TRY-1")
        await page.locator("#tester").get_by_label("Payload").fill("sub5=ann&txid=N-1&payout=49.90&status=approved")
        await page.get_by_role("button", name="Test").click()
        await expect(page.locator("#tested")).to_contain_text("Already processed this exact conversion")
        assert site.context.following.version == before


async def test_what_if_shows_what_a_rule_would_have_done(site):
    async with site.open("/whatif?rule=source/net") as page:
        value = page.locator("textarea[name=value]")
        await value.fill((await value.input_value()).replace('"mapping": {', '"mapping": {\n    "statuses": {"pending": "approved"},'))
        await page.get_by_role("button", name="Judge again").click()
        await expect(page.locator("#answer h2")).to_contain_text("would change")
        await expect(page.locator("#answer")).to_contain_text(site.ids["pending"])


async def test_login_logout_and_where_one_wanted_to_go(site):
    async with site.open("/events?status=error", who=None) as page:
        assert "/login?next=%2Fevents" in page.url
        await page.get_by_label("Token").fill("ct_wrong")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_contain_text("nobody's")
        await page.get_by_label("Token").fill(site.tokens["viewer"])
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url("**/events?status=error")
        cookies = await page.context.cookies()
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url("**/login")
        await page.goto("/events")
        assert "/login" in page.url
        site.context.sessions._ended.clear()  # as another replica, or this one after a restart
        await page.context.add_cookies(cookies)
        await page.goto("/events")
        assert "/login" in page.url


async def test_what_a_role_may_not_is_neither_offered_nor_done(site):
    async with site.open("/events", "viewer") as page:
        menu = page.locator("#menu")
        for hidden in ("SQL", "What-if"):
            await expect(menu.get_by_role("link", name=hidden)).to_have_count(0)
        await expect(page.get_by_role("link", name="csv")).to_have_count(0)
        for path in ("/sql", "/settings/user"):
            await page.goto(path)
            await expect(page.get_by_role("alert")).to_contain_text("Your role is viewer")
        await page.goto("/settings/source/net")
        await expect(page.locator("#value")).to_have_attribute("readonly", "")
        await expect(page.get_by_role("button", name="Save")).to_have_count(0)


async def test_an_owner_adds_a_user_and_a_token_that_works_until_it_is_revoked(site):
    async with site.open("/settings/user") as page:
        form = page.locator("#user-form")
        for label, text in (("Id", "eve"), ("Name", "Eve"), ("E-mail", "eve@x.example")):
            await form.get_by_label(label, exact=True).fill(text)
        await form.get_by_role("button", name="Save user").click()
        await expect(page.locator("table.list tbody").first).to_contain_text("Eve")
        tokens = page.locator("#token-form")
        await tokens.locator("select[name=user_id]").select_option("eve")
        await tokens.get_by_label("Its name").fill("eve-laptop")
        await tokens.get_by_role("button", name="Make token").click()
        site.tokens["eve"] = await page.locator("#token").inner_text()
        async with site.open("/events", "eve") as hers:
            await expect(hers.locator("#counter")).to_be_visible()
            await page.reload()
            page.on("dialog", lambda dialog: dialog.accept())
            await page.get_by_role("button", name="Revoke token eve-laptop").click()
            await expect(page.get_by_role("button", name="Revoke token eve-laptop")).to_have_count(0)
            await hers.goto("/events")
            assert "/login" in hers.url


async def test_a_destination_is_tried_paused_and_resumed(site):
    async with site.open("/settings/destination/ads", "editor") as page:
        await page.get_by_label("Event", exact=True).fill(site.ids["ok"])
        await page.get_by_role("button", name="Show the request").click()
        await expect(page.locator("#tried")).to_contain_text("https://ads.example/pb?id=ann&v=49.9")
        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("h1 .pill")).to_contain_text("paused")
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator("h1 .pill")).to_have_count(0)
