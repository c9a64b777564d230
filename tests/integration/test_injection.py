"""What strangers write into filters, paths and names: it is a value, wherever it is put. It finds nothing, changes nothing and leads nowhere."""

import asyncio
import re

import pytest
from yarl import URL

from console import api
from console.server.openapi import document
from sinks.feeds import FEEDS
from tests.integration.console_rig import Console
from tests.integration.sink_rig import row, visit

HOSTILE = (
    "' OR 1=1 --", "' OR '1'='1", "\\' OR 1=1 --", "\\", "x' UNION ALL SELECT name FROM system.tables --", "'; DROP TABLE event_revisions; --", "`", '"', "')) OR ((1=1",
    "{x:String}", "{limit:UInt32}", "%", "%' OR 1", "_", "*", "\x00' OR 1=1", "\ud7ff\u2028' OR 1=1 --", "/**/OR/**/1=1", "1; SELECT sleep(3)", "$1", "${x}", "%(x)s",
    "url('http://127.0.0.1:9/')", "file('/etc/passwd')", "\n\r\t' OR 1=1", "é' OR 1=1 --", "a" * 5_000, "-1 OR 1=1", "0x31", "١",
)  # fmt: skip
DOCUMENT = document(api.ROUTES)
LISTS = [
    (path, parameter["name"])
    for path, operations in DOCUMENT["paths"].items()
    if "{" not in path and "get" in operations and "stream" not in path
    for parameter in operations["get"].get("parameters", ())
    if parameter["in"] == "query"
]
FREE = re.compile("cursor|limit|order|from|to|sort|interval|step|columns|fields|group|tz|zone")


@pytest.fixture(scope="module")
async def console(clickhouse, tmp_path_factory):
    async with Console(clickhouse, "console_injection", tmp_path_factory.mktemp("injection")).with_people() as console:
        await console.put(FEEDS[0], [row(number, click_id="clk1") for number in range(5)])
        await console.put(FEEDS[1], [visit(1)])
        yield console


async def test_no_filter_of_any_list_is_more_than_a_value(console):
    """SQL injection: hostile texts through each parameter of each list; one that filters finds nothing by it, and all rows are still there."""
    before = (await console.get("/api/v1/events"))["total"]
    turns = asyncio.Semaphore(8)
    failed = []

    async def tried(path, name, text):
        async with turns, console.asked(URL(path).with_query({name: text}), "owner") as response:
            body = await response.text(errors="replace")
            if response.status not in {200, 400, 404, 413, 414, 422, 503}:
                failed.append((path, name, text, response.status, body[:200]))
            elif (
                response.status == 200
                and path == "/api/v1/events"
                and "OR" in text
                and not FREE.search(name)
                and f'"total":{before}' in body.replace(" ", "")
            ):
                failed.append((path, name, text, "finds everything"))

    wanted = [(path, name) for path, name in LISTS if not re.search(r"[.](csv|ndjson|parquet|json)$", path)]  # made by the same line
    await asyncio.gather(*(tried(*at, text) for number, at in enumerate(wanted) for text in HOSTILE[number % 5 :: 5]))
    await asyncio.gather(*(tried(path, name, text) for path, name in wanted if path == "/api/v1/events" for text in HOSTILE[::2]))
    assert not failed, failed[:5]
    assert len(wanted) > 30
    assert (await console.get("/api/v1/events"))["total"] == before == 5


@pytest.mark.parametrize(
    "path",
    [
        "/static/../role.py", "/static/..%2frole.py", "/static/%2e%2e/%2e%2e/pyproject.toml", "/static//etc/passwd", "/static/..%5c..%5cx", "/static/%00",
        "/static/....//....//etc/passwd", "/events/..%2f..%2fetc%2fpasswd", "/api/v1/events/..%2f..%2f..%2fetc%2fpasswd/payload", "/clicks/..%2fx", "/static/",
        "/api/v1/events/e1-0-1%0d%0aX-Injected:%201/payload", "/api/v1/settings/..%2f..%2fetc/passwd", "/api/v1/settings/source/..%2f..%2fpii.key",
    ],
)  # fmt: skip
async def test_no_path_leads_out_of_what_is_served(console, path):
    """Path traversal in static files, downloads and inspectors, and header injection through a name that a download gets."""
    async with console.asked(URL(path, encoded=True), "owner", allow_redirects=False) as response:
        assert response.status in {302, 303, 400, 403, 404, 422}, (response.status, await response.text())
        assert "X-Injected" not in response.headers
        assert b"root:" not in await response.read()


async def test_a_download_is_named_by_us(console):
    """The file's name is the list's, whatever the address says; a browser runs nothing of it."""
    async with console.asked("/api/v1/events.csv?q=../../x") as response:
        assert response.status == 200
        assert re.fullmatch(r'attachment; filename="[\w.-]+"', response.headers["Content-Disposition"])
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "html" not in response.headers["Content-Type"]
