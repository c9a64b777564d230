"""Who gets in, and what each role may: every route of the table with every role, tokens, sessions, page tokens, foreign pages, limits."""

import asyncio
import re

import aiohttp
import pytest

from console import api
from console.server import app
from console.server.role import local_user
from console.server.sessions import COOKIE
from schemas.permissions import ROLES, may
from streams.runtime.errors import BadSettings
from streams.runtime.settings import ConsoleSettings, Settings
from streams.runtime.settings_store import Change
from tests.integration.console_rig import Console

TABLE = app.routes()
BODIES = {"POST", "PUT"}


@pytest.fixture(scope="module")
async def console(clickhouse, tmp_path_factory):
    async with Console(clickhouse, "console_access", tmp_path_factory.mktemp("access")).with_people() as console:
        yield console


@pytest.fixture(scope="module")
async def local(clickhouse, tmp_path_factory):
    async with Console(clickhouse, "console_access", tmp_path_factory.mktemp("local"), login="local") as console:
        yield console


def path_of(route):
    return re.sub(r"{\w+}", "x", route.path)


async def status_of(console, route, who):
    if route.path.endswith("/stream/events"):  # it never ends; who may not is told before it begins
        timeout = aiohttp.ClientTimeout(total=2)
        async with console.asked(path_of(route), who, route.method, timeout=timeout) as response:
            return response.status
    body = {"json": {}} if route.method in BODIES else {}
    async with console.asked(path_of(route), who, route.method, allow_redirects=False, **body) as response:
        is_sent_to_log_in = response.status == 303 and response.headers["Location"].startswith("/login")
        is_sent_to_log_in = is_sent_to_log_in and not (route.path == "/logout" and who)  # whoever logs out goes there, too
        return 401 if is_sent_to_log_in else response.status


@pytest.mark.parametrize("route", TABLE, ids=[f"{route.method} {route.path}" for route in TABLE])
async def test_every_route_lets_in_the_roles_of_its_right_and_nobody_else(console, route):
    """C08: several users, each with a role."""
    expected = {role: route.may is None or may(role, route.may) for role in ROLES}
    found = {role: await status_of(console, route, role) for role in ROLES}
    assert {role: status not in {401, 403} for role, status in found.items()} == expected, found
    assert 500 not in found.values()
    without = await status_of(console, route, "")
    assert (without == 401) == (route.may is not None), without


def test_the_table_is_whole():
    """Every route says who may; only logging in and the document of the API are anybody's."""
    assert {route.path for route in api.ROUTES if route.may is None} == {"/api/v1/session", "/api/v1/openapi.json"}
    assert len({(route.method, route.path) for route in TABLE}) == len(TABLE)
    assert all(route.doc for route in TABLE)
    changing = [route for route in api.ROUTES if route.method != "GET" and route.path != "/api/v1/session"]
    assert all(not may("viewer", route.may) for route in changing)


@pytest.mark.parametrize(
    "header", ["Bearer nonsense", "Bearer ", "Bearer " + "x" * 2_000, "Basic dXNlcjpwYXNz", "Token abc", "bearer", "Bearer ct_" + "a" * 43]
)
async def test_a_token_that_is_none_is_refused(console, header):
    async with console.asked("/api/v1/session", "", headers={"Authorization": header}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "unknown_token")


async def test_another_role_counts_from_the_next_request_on(console):
    await console.get("/api/v1/settings/user", "analyst", status=403)
    analyst = console.context.following.entities["user", "analyst"]
    console.settle(Change("user", "analyst", analyst | {"role": "owner"}))
    await console.get("/api/v1/settings/user", "analyst")
    console.settle(Change("user", "analyst", analyst))
    await console.get("/api/v1/settings/user", "analyst", status=403)


async def browser(console, token):
    """A browser that has logged in: (session, page token)."""
    session = aiohttp.ClientSession(console.url, cookie_jar=aiohttp.CookieJar(unsafe=True))
    async with session.post("/api/v1/session", json={"token": token}, headers={"Origin": console.url}) as response:
        assert response.status == 200
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        return session, response.headers["X-CSRF-Token"]


async def test_a_browser_logs_in_with_a_token_and_out_again(console):
    session, csrf = await browser(console, console.tokens["editor"])
    async with session:
        async with session.get("/api/v1/session") as response:
            found = await response.json()
            assert (found["user_id"], found["way"], found["csrf"]) == ("editor", "session", csrf)
        cookie = session.cookie_jar.filter_cookies(console.url)[COOKIE].value
        assert console.tokens["editor"] not in cookie
        async with session.delete("/api/v1/session", headers={"X-CSRF-Token": csrf}) as response:
            assert response.status == 200
        async with session.get("/api/v1/session", cookies={COOKIE: cookie}) as response:
            assert response.status == 401


async def test_what_changes_something_needs_the_pages_token(console):
    """CSRF: another page can make the browser send its cookie, and nothing else."""
    session, csrf = await browser(console, console.tokens["owner"])
    body = {"value": {"name": "Shop"}, "reason": "x"}
    async with session:
        for headers, code in (
            ({}, "no_csrf_token"),
            ({"X-CSRF-Token": "0" * 64}, "no_csrf_token"),
            ({"X-CSRF-Token": csrf, "Origin": "http://evil.example"}, "foreign_page"),
            ({"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"}, "foreign_page"),
            ({"X-CSRF-Token": csrf, "Origin": "null"}, "foreign_page"),
            ({"X-CSRF-Token": csrf, "Origin": console.url}, "unavailable"),  # let in; there is no broker here
        ):
            async with session.put("/api/v1/settings/property/shop", json=body, headers=headers) as response:
                assert (await response.json())["error"]["code"] == code, headers


async def test_a_session_ends_with_its_token(console):
    session, _ = await browser(console, console.tokens["viewer"])
    token = console.context.following.entities.pop(("token", "viewer-token"))
    async with session, session.get("/api/v1/session") as response:
        assert response.status == 401
    console.settle(Change("token", "viewer-token", token))


@pytest.mark.parametrize("forged", ["viewer-token~9999999999~aa~" + "0" * 64, "owner-token~0~aa~" + "0" * 64, "x", "a~b~c~d", "~~~", "%00"])
async def test_a_cookie_that_we_did_not_sign_is_nobody(console, forged):
    async with console.asked("/api/v1/session", "", cookies={COOKIE: forged}) as response:
        assert response.status == 401


@pytest.mark.parametrize(
    ("wanted", "place"),
    [("/events/e1-0-1?x=1", "/events/e1-0-1?x=1"), ("", "/"), ("//evil.example", "/"), ("https://evil.example", "/"), ("/\\evil.example", "/"),
     ("/a\nSet-Cookie: x", "/"), ("javascript:alert(1)", "/")],
)  # fmt: skip
async def test_logging_in_leads_to_a_page_of_ours(console, wanted, place):
    form = {"token": console.tokens["viewer"], "next": wanted}
    async with console.asked("/api/v1/session", "", "POST", data=form, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, place)


async def test_on_ones_own_machine_nobody_logs_in(local):
    """The first run: the person in front of the machine is its owner; a name or a proxy from elsewhere is not."""
    assert (await local.get("/api/v1/session", ""))["way"] == "local"
    for headers in (
        {"Host": "evil.example"}, {"Host": f"evil.example:{local.settings.console.port}"}, {"Host": "127.0.0.1.evil.example"},
        {"X-Forwarded-For": "203.0.113.9"}, {"Forwarded": "for=203.0.113.9"}, {"Via": "1.1 proxy"}, {"X-Real-IP": "203.0.113.9"},
    ):  # fmt: skip
        async with local.asked("/api/v1/session", "", headers=headers) as response:
            assert response.status == 401, headers
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        async with local.asked("/api/v1/session", "", headers=headers) as response:
            assert response.status == 403, headers
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with local.asked("/api/v1/session", "", headers=link) as response:
        assert response.status == 200  # somebody followed a link to us


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "console.example"])
def test_no_login_is_only_for_the_loopback(host, tmp_path):
    with pytest.raises(BadSettings, match="no loopback address"):
        local_user(Settings(console=ConsoleSettings(host=host, login="local"), data_dir=tmp_path))
    assert local_user(Settings(console=ConsoleSettings(host=host), data_dir=tmp_path)) == ""


async def test_too_many_tries_and_too_many_requests_are_told_when_to_come_again(clickhouse, tmp_path):
    async with Console(clickhouse, "console_access", tmp_path, logins_per_minute=3).with_people() as console:
        codes = []
        for _ in range(5):
            async with console.asked("/api/v1/session", "", "POST", json={"token": "ct_wrong"}) as response:
                codes.append(response.status)
        assert codes == [401, 401, 401, 429, 429]
        assert int(response.headers["Retry-After"]) > 0
        console.context.limits._rates["request"] = 1.0
        answers = await asyncio.gather(*(status_of(console, api.ROUTES[0], "viewer") for _ in range(20)))
        assert {200, 429} == set(answers)


async def test_every_answer_says_how_it_may_be_used(console):
    async with console.asked("/api/v1/session", "viewer") as response:
        headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Server"] == "clicktrail"
    assert (await console.get("/api/v1/nothing", "viewer", status=404))["error"]["code"] == "unknown_route"
    async with console.asked("/api/v1/session", "viewer", "PATCH") as response:
        assert (response.status, "GET" in response.headers["Allow"]) == (405, True)
