"""The API's lists over a real engine: pages by cursor, exact totals, filters, downloads, and what is refused."""

import csv
import io
from datetime import datetime

import orjson
import pytest

from sinks.feeds import FEEDS
from tests.integration.console_rig import AT, Console
from tests.integration.sink_rig import row, visit

EVENTS_FEED, VISITS_FEED = FEEDS[:2]
ERROR = {"status": "error", "reason": "unknown_click_id", "view_status": "failure"}
COUNT = 23


@pytest.fixture(scope="module")
async def console(clickhouse, tmp_path_factory):
    """23 events of one account in pairs at the same time, one of another account, two visits."""
    async with Console(clickhouse, "console_lists", tmp_path_factory.mktemp("console")).with_people(viewer=["acme"]) as console:
        rows = [
            row(n, received_ms=AT + n // 2, message="=1+1" if n == 3 else "Conversion recorded", parameters={"email": "ann@x.example", "n": str(n)},
                **(ERROR if n % 5 == 0 else {}))
            for n in range(COUNT)
        ]  # fmt: skip
        await console.put(EVENTS_FEED, [*rows, row(100, account_id="other", source_id="theirs")])
        await console.put(VISITS_FEED, [visit(1), visit(2, kind="visit", account_id="other")])
        yield console


async def walk(console, path, who="owner"):
    """Every page from the first to the last, and back."""
    pages, cursor = [], ""
    while True:
        found = await console.get(f"{path}&cursor={cursor}", who)
        pages.append(found)
        if not found["next"]:
            return pages
        cursor = found["next"]


async def test_pages_by_cursor_show_every_row_once_in_a_total_order(console):
    """R01: one list over all sources, newest first."""
    pages = await walk(console, "/api/v1/events?limit=5")
    ids = [line["event_id"] for page in pages for line in page["rows"]]
    assert len(ids) == len(set(ids)) == COUNT + 1
    keys = [(datetime.fromisoformat(line["received_at"]), line["event_id"]) for page in pages for line in page["rows"]]
    assert keys == sorted(keys, reverse=True)
    assert {page["total"] for page in pages} == {COUNT + 1}
    assert pages[0]["previous"] is None
    back = await console.get(f"/api/v1/events?limit=5&cursor={pages[-1]['previous']}")
    assert back["rows"] == pages[-2]["rows"]


async def test_new_rows_do_not_move_the_pages(console):
    first = await console.get("/api/v1/events?limit=5&property=moving")
    assert first["total"] == 0
    await console.put(EVENTS_FEED, [row(200 + n, property_id="moving", received_ms=AT + n) for n in range(6)], first=200)
    first = await console.get("/api/v1/events?limit=3&property=moving")
    await console.put(EVENTS_FEED, [row(300, property_id="moving", received_ms=AT + 50)], first=300)
    second = await console.get(f"/api/v1/events?limit=3&property=moving&cursor={first['next']}")
    assert [line["event_id"] for line in second["rows"]] == ["e1-0-202", "e1-0-201", "e1-0-200"]
    newer = await console.get(f"/api/v1/events?limit=3&property=moving&cursor={second['previous']}")
    assert newer["rows"] == first["rows"]
    newest = await console.get(f"/api/v1/events?limit=3&property=moving&cursor={newer['previous']}")
    assert [line["event_id"] for line in newest["rows"]] == ["e1-0-300"]


async def test_superseded_verdicts_are_on_no_page_and_in_no_total(console):
    """The table behind the view has them, and a page is bounded by that table: many of them at one moment, and most healed since."""
    rows = [row(1000 + n, property_id="healed", received_ms=AT + n // 100, **ERROR) for n in range(300)]
    healed = [row(1000 + n, property_id="healed", received_ms=AT + n // 100, revision=2) for n in range(300) if n % 6]
    await console.put(EVENTS_FEED, [*rows, *healed], first=1000)
    for query, total in (("status=error", 50), ("status=ok", 250), ("source=net", 300), ("status=error,ok", 300), ("q=e1-0-11*", 100)):
        pages = await walk(console, f"/api/v1/events?property=healed&limit=7&{query}", "analyst")
        ids = [line["event_id"] for page in pages for line in page["rows"]]
        assert (len(ids), len(set(ids)), pages[0]["total"]) == (total, total, total), query
        back = await console.get(f"/api/v1/events?property=healed&limit=7&{query}&cursor={pages[-1]['previous']}", "analyst")
        assert back["rows"] == pages[-2]["rows"]


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("status=error", 5),
        ("status=error,ok", COUNT),
        ("status=error&status=ok", COUNT),
        ("view_status=Failure", 5),
        ("reason=unknown_click_id&source=net", 5),
        ("source=nobody", 0),
        ("type=Postback", COUNT),
        ("q=e1-0-7", 1),
        ("q=clk1*", 11),
        ("q=TX22", 1),
        ("q=TX", 0),
        ("is_test=0", COUNT),
        ("is_test=1", 0),
        ("campaign=c1&traffic_source=t1", COUNT),
        ("from=2026-01-01&to=2027-01-01", COUNT),
        ("since=2027-01-01", 0),
        ("q=x'%20OR%201=1%20--", 0),
    ],
)
async def test_the_total_follows_the_filter(console, query, total):
    """A02, R14, R16: the counter is that of the list."""
    found = await console.get(f"/api/v1/events?property=shop&limit=100&{query}", "viewer")
    assert (found["total"], len(found["rows"])) == (total, total)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("stauts=ok", "Did you mean status?"),
        ("status=okk", "Did you mean ok?"),
        ("reason=unknown_click", "Did you mean unknown_click_id?"),
        ("from=tomorrow", "Times look like"),
        ("limit=0", "rows of a page"),
        ("limit=100000", "rows of a page"),
        ("limit=x", "rows of a page"),
        ("cursor=abc", "or leave it out"),
        ("is_test=maybe", "Say 1 or 0"),
        ("status=%ff", ""),
        ("q=" + "x" * 300, "at most 200"),
    ],
)
async def test_what_does_not_exist_is_refused_with_what_is_near(console, query, said):
    found = await console.get(f"/api/v1/events?{query}", status=400)
    assert found["error"]["code"] == "bad_parameter"
    assert said in found["error"]["remedy"]
    assert found["error"].keys() == {"code", "message", "remedy"}


async def test_a_user_with_accounts_sees_only_those(console):
    found = await console.get("/api/v1/events?source=theirs", "viewer")
    assert found["total"] == 0
    assert (await console.get("/api/v1/events?source=theirs", "owner"))["total"] == 1
    assert (await console.get("/api/v1/visits", "viewer"))["total"] == 1
    assert (await console.get("/api/v1/activity", "viewer", status=403))["error"]["code"] == "other_account"


async def test_lists_are_masked(console):
    """R10: identifying data is there, without giving anybody away."""
    (found,) = (await console.get("/api/v1/visits?q=v1"))["rows"]
    assert found["ip"] == "203.0.***"
    assert "payload" not in (await console.get("/api/v1/events?limit=1"))["rows"][0]


async def test_a_download_has_every_row_and_runs_nothing_in_a_spreadsheet(console):
    """R15."""
    async with console.asked("/api/v1/events.csv?property=shop&source=net", "analyst") as response:
        assert response.headers["Content-Type"].startswith("text/csv")
        assert response.headers["Content-Disposition"].startswith('attachment; filename="events-')
        rows = list(csv.DictReader(io.StringIO(await response.text(), newline="")))
    assert len(rows) == COUNT
    assert [line["message"] for line in rows if line["event_id"] == "e1-0-3"] == ["'=1+1"]
    async with console.asked("/api/v1/events.ndjson?property=shop&status=error", "analyst") as response:
        assert len([orjson.loads(line) for line in (await response.read()).splitlines()]) == 5
    async with console.asked("/api/v1/events.parquet?property=shop", "analyst") as response:
        assert (await response.read())[:4] == b"PAR1"
    await console.get("/api/v1/events.csv", "viewer", status=403)


async def test_every_list_answers(console):
    for path in ("integration-events", "system-logs", "visits", "postbacks", "activity", "dead-letters"):
        assert (await console.get(f"/api/v1/{path}?limit=2"))["rows"] is not None, path
        assert (await console.get(f"/api/v1/{path}.json?limit=2"))["total"] is not None, path
        async with console.asked(f"/api/v1/{path}.csv") as response:
            assert response.status == 200
            await response.read()
