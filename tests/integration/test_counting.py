"""Counts of the event log: by the table of superseded verdicts and by the view they are the same, whether that table is complete or behind."""

import asyncio

import pytest

from console import counting, filters, paging, volume
from console.asking import Asker
from console.listing import Question, condition
from console.lists import listed
from sinks import migrations
from sinks.feeds import FEEDS
from sinks.store import Store
from sinks.superseding import Superseding
from sinks.tables import SUPERSEDED_VERDICTS
from streams.runtime.settings import ClickHouseSettings
from streams.stage import Record
from tests.integration.sink_rig import row, visit

EVENTS = listed("events")
ERROR = {"status": "error", "reason": "unknown_click_id", "view_status": "failure", "sub_reason": "never_seen", "campaign_id": None}
ASKED = [
    {}, {"status": "error"}, {"status": ["ok", "error"]}, {"reason": "unknown_click_id"}, {"campaign": "c1"}, {"q": "e1-0-3"}, {"q": "clk*"}, {"q": "nothing"},
    {"from": "2020-01-01", "status": "ok"}, {"to": "2020-01-01"}, {"source": "net"},
]  # fmt: skip


@pytest.fixture
async def rig(clickhouse, request):
    """Ten events; three were errors first, one of these was revised twice."""
    name = "counting_" + request.node.name.translate(str.maketrans("[]", "__"))[:50] + str(len(request.node.name))
    await asyncio.to_thread(migrations.migrate, clickhouse.url, name)
    store, asker = Store(clickhouse.url, name), Asker(ClickHouseSettings(url=clickhouse.url, database=name))

    async def put(first, *values):
        records = [Record(FEEDS[0].topic, 0, first + at, 1_790_000_100_000 + first + at, None, value) for at, value in enumerate(values)]
        await store.insert(FEEDS[0], records)

    await put(0, *(row(number, **(ERROR if number % 3 == 0 else {})) for number in range(10)))
    await put(100, row(3, revision=2), row(6, revision=2), row(6, revision=3, **ERROR))
    clicks = [Record(FEEDS[1].topic, 0, at, 1_790_000_100_000, None, visit(at)) for at in range(4)]
    await store.insert(FEEDS[1], clicks)
    superseding = Superseding(clickhouse.url, name)
    yield asker, put, superseding
    await superseding.close()
    await asker.close()
    await store.close()


async def by_the_view(asker, given, accounts=None):
    sql, values = condition(EVENTS, given, accounts)
    return (await asker.one(Question(f"SELECT count() AS listed FROM events WHERE {sql}", values)))["listed"]


async def test_counts_are_those_of_the_view_behind_and_complete(rig):
    asker, put, superseding = rig
    state = await asker.one(counting.STATE)
    assert state["revised"] != state["known"]  # behind: the view is asked
    for _ in range(3):
        for given in ASKED:
            wanted = await by_the_view(asker, given)
            assert await counting.count(asker, EVENTS, given, None) == wanted, given
            assert await counting.count(asker, EVENTS, given, ["other"]) == 0, given
            bars = (await volume.volume(asker, EVENTS, given, None)).bars
            assert sum(each for bar in bars for name, each in bar.items() if name != "at") == wanted, given
        await superseding.look()
        state = await asker.one(counting.STATE)
        assert state["revised"] == state["known"] == 3
    await put(200, row(9, revision=2))
    assert await counting.count(asker, EVENTS, {"status": "error"}, None) == 2
    await superseding.look()
    assert (await asker.one(counting.STATE))["known"] == 4
    assert await counting.count(asker, EVENTS, {"status": "error"}, None) == 2


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        (
            "integration_events",
            [{}, {"view_status": "Failure"}, {"type": "Postback"}, {"type": "webhook"}, {"from": "2020-01-01"}, {"to": "2020-01-01"}],
        ),
        (
            "system_logs",
            [{}, {"event_type": "Conversions"}, {"event_type": "Clicks"}, {"campaign": "c1"}, {"click_id": "clk3"}, {"to": "2020-01-01"}],
        ),
    ],
)
async def test_lists_that_say_the_same_in_other_words_count_like_their_views(rig, name, asked):
    asker, _, superseding = rig
    found = listed(name)
    for _ in range(2):
        for given in asked:
            sql, values = condition(found, given, None)
            wanted = (await asker.one(Question(f"SELECT count() AS listed FROM {name} WHERE {sql}", values)))["listed"]
            split = f"SELECT DISTINCT {volume.SPLITS[name]} AS split FROM {name} WHERE {sql} ORDER BY split"
            assert await counting.count(asker, found, given, None) == wanted, given
            drawn = await volume.volume(asker, found, given, None)
            assert sum(each for bar in drawn.bars for key, each in bar.items() if key != "at") == wanted, given
            assert sorted(drawn.splits) == [row["split"] for row in await asker.rows(Question(split, values))], given
            rows = await paging.rows(asker, found, given, None, None, 50, ["acme", "default"])
            assert len(rows) == wanted, given
        await superseding.look()


async def test_copies_of_two_sinks_fold(rig, clickhouse):
    asker, _, superseding = rig
    other = Superseding(clickhouse.url, superseding._database)
    await asyncio.gather(superseding.look(), other.look())
    await other._client.command(f"INSERT INTO {SUPERSEDED_VERDICTS.name} SELECT * FROM {SUPERSEDED_VERDICTS.name}")
    assert (await asker.one(counting.STATE))["known"] == 3
    assert await counting.count(asker, EVENTS, {"status": "error"}, None) == await by_the_view(asker, {"status": "error"})
    await other.close()


def test_all_that_the_event_log_is_filtered_by_is_copied():
    names = {column.name for column in SUPERSEDED_VERDICTS.columns}
    assert {column.strip() for each in filters.EVENTS for column in each.column.split(",")} <= names
