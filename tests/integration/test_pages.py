"""The views in the words of the product pages, on a real engine: System Logs (C) and Integration Events (R)."""

import asyncio
import typing
from datetime import UTC, datetime

import pytest

from schemas import pii
from schemas.policies import KIND_WORDS, SourceKind
from sinks import migrations
from sinks.feeds import FEEDS
from sinks.queries import recipes
from sinks.store import Store
from streams.stage import Record
from tests.integration.sink_rig import Rig, row, visit
from tests.unit.test_pii import CASES

EVENTS_FEED, VISITS_FEED = FEEDS[:2]
AT = 1_790_000_000_000
ERROR = {"status": "error", "reason": "unknown_click_id", "message": "Error: Unknown click_id", "view_status": "failure"}
INFO = {
    "status": "discarded",
    "reason": "invalid_member_link",
    "message": "Information captured, referral not created",
    "view_status": "info",
}
PERSON = {"name": "Ann Smith", "email": "ann@x.example", "phone": "+1 202 555 0143", "plan": "gold", "event_name": "Lead"}


async def put(rig, feed, values, first=0):
    store = Store(rig.clickhouse.url, rig.name)
    await store.insert(feed, [Record(feed.topic, 0, first + n, AT + n, None, value) for n, value in enumerate(values)])
    await store.close()


@pytest.fixture(scope="module")
async def rig(clickhouse):
    """A page view, a form, two clicks (one by a bot), a lander click; conversions of three kinds, one of them healed."""
    rig = Rig(type("NoBroker", (), {"bootstrap_servers": ""}), clickhouse, "pages")
    await asyncio.to_thread(migrations.migrate, clickhouse.url, rig.name)
    await put(rig, VISITS_FEED, [
        visit(1, kind="visit", campaign_id=None, traffic_source_id=None, referrer="https://news.example/"),
        visit(2, kind="identify"),
        visit(3),
        visit(4, traffic_source_id="t2", device_type="bot", is_bot=True, browser="Googlebot", received_ms=AT + 40 * 86_400_000),
        visit(5, kind="lander_click", lander_id="l1"),
    ])  # fmt: skip
    await put(rig, EVENTS_FEED, [
        row(1, type="api_call", parameters=PERSON),
        row(2, type="one_click_access", parameters=PERSON, **INFO),
        row(3, type="integration_script", campaign_id=None, traffic_source_id=None, **ERROR),
        row(4, type="api_call", **ERROR),
        row(5, type="referral", traffic_source_id="t2", status="error", reason="cant_find_refid", sub_reason="never_seen", view_status="failure",
            message="Error: Can't find refId: ann@x.example", parameters={"Reason": "mine", "email": "ann@x.example"}),
        row(6, status="error", reason="cant_find_refid", view_status="failure", message="Error: Can't find refId: +1 202 555 0143"),
    ])  # fmt: skip
    await put(rig, EVENTS_FEED, [row(4, type="api_call", revision=2)], first=10)
    return rig


FILTERS = [  # C04: event type, campaigns, traffic sources, date range
    ("1", {"Visits": 2, "Clicks": 3, "Conversions": 6}),
    ("event_type = 'Clicks'", {"Clicks": 3}),
    ("event_type = 'Conversions'", {"Conversions": 6}),
    ("campaign_id = 'c1'", {"Visits": 1, "Clicks": 3, "Conversions": 5}),
    ("campaign_id = 'nobody'", {}),
    ("traffic_source_id = 't2'", {"Clicks": 1, "Conversions": 1}),
    ("event_type = 'Clicks' AND campaign_id = 'c1' AND traffic_source_id = 't1'", {"Clicks": 2}),
    ("received_at >= '2026-10-01'", {"Clicks": 1}),
    ("received_at < '2020-01-01'", {}),
]


@pytest.mark.parametrize(("where", "found"), FILTERS, ids=[where for where, _ in FILTERS])
async def test_system_logs_filter_by_type_campaign_traffic_source_and_date(rig, where, found):
    """C03, C04: visits, landing page clicks and postbacks received in one list; every payload counts once, in its current revision."""
    assert dict(rig.query(f"SELECT event_type, count() FROM system_logs WHERE {where} GROUP BY event_type")) == found


@pytest.mark.parametrize(
    ("event_type", "campaign", "traffic_source", "counted"),
    [
        ("", "", "", (11, 2, 3, 6, 1)),
        ("Clicks", "c1", "", (3, 0, 3, 0, 1)),
        ("", "", "t2", (2, 0, 1, 1, 1)),
        ("Visits", "c9", "", (0, 0, 0, 0, 0)),
    ],
)
async def test_the_counter_of_system_logs_follows_the_filter(rig, event_type, campaign, traffic_source, counted):
    """C04."""
    (recipe,) = [recipe for recipe in recipes() if recipe.name == "system_logs_count"]
    values = {"event_type": event_type, "campaign": campaign, "traffic_source": traffic_source}
    assert rig.query(recipe.sql, values) == [counted]


async def test_system_logs_say_what_was_passed_and_what_was_collected(rig):
    """C02, C05: event type, exact time, device; tracking fields beside the automatic metadata."""
    columns = (
        "event_type, kind, occurred_at, parameters, device_type, browser, os, ip, country, language, user_agent, is_bot, referrer, url"
    )
    (page,) = rig.query(f"SELECT {columns} FROM system_logs WHERE id = 'v1'")
    at = datetime.fromtimestamp((AT - 1_000_000 + 1) / 1000, UTC).replace(tzinfo=None)
    assert page == (
        "Visits", "visit", at, {"utm_source": "x"}, "mobile", "Firefox", "Android", "203.0.113.7", "DE", "de-DE", "Mozilla/5.0", False,
        "https://news.example/", "https://shop.example/",
    )  # fmt: skip
    columns = (
        "event_type, kind, source_id, click_id, status, message, value, currency, transaction_id, parameters['plan'], device_type, is_bot"
    )
    (conversion,) = rig.query(f"SELECT {columns} FROM system_logs WHERE id = 'e1-0-1'")
    assert conversion[:6] == ("Conversions", "api_call", "net", "clk1", "ok", "Conversion recorded")
    assert conversion[6:] == (pytest.approx(12.5), "USD", "TX1", "gold", None, None)
    assert rig.query("SELECT id FROM system_logs WHERE is_bot") == [("v4",)]
    assert rig.query("SELECT lander_id, offer_id FROM system_logs WHERE kind = 'lander_click'") == [("l1", "o1")]


async def test_a_date_range_reaches_the_tables_behind_system_logs(rig):
    """C04: a day must not cost the whole history."""
    plan = "\n".join(line for (line,) in rig.query("EXPLAIN indexes = 1 SELECT count() FROM system_logs WHERE received_at < '2020-01-01'"))
    assert plan.count("Parts: 0/") + plan.count("ReadNothing") + plan.count("Parts: 0") >= 2, plan


async def test_integration_events_has_the_columns_of_the_page(rig):
    """R01, R02, R05, R06, R07, R09: one list over all sources; date, type in words, status, message, details."""
    names = [name for name, *_ in rig.query("DESCRIBE integration_events")]
    assert names == ["created_date", "type", "status", "message", "details", "event_id", "account_id"]
    found = rig.query("SELECT event_id, type, status, message, created_date FROM integration_events ORDER BY event_id")
    assert [line[1:3] for line in found] == [
        ("API Call", "Success"), ("One Click Access", "Info"), ("Integration Script", "Failure"), ("API Call", "Success"),
        ("Referral", "Failure"), ("Postback", "Failure"),
    ]  # fmt: skip
    assert found[1][3] == INFO["message"]
    assert found[0][4] == datetime.fromtimestamp((AT + 1 - 5_000) / 1000, UTC).replace(tzinfo=None)


def test_every_kind_of_source_has_its_word():
    """R02, R07."""
    assert set(KIND_WORDS) == set(typing.get_args(SourceKind))
    assert {"One Click Access", "API Call", "Integration Script"} < set(KIND_WORDS.values())


async def test_details_identify_the_conversion_and_say_why_without_giving_anybody_away(rig):
    """R10, R13, R17, R18: name, e-mail and other metadata; why it failed; parameters with their values."""
    details = dict(rig.query("SELECT event_id, details FROM integration_events"))
    said = {"name": "A***", "email": "a***@x.example", "phone": "***43", "plan": "gold", "event_name": "Lead"}
    assert details["e1-0-1"] == {"Reason": "recorded", "Source": "net", "Conversion": "Purchase", "Value": "12.50 USD", "Click id": "clk1",
                                 "Transaction id": "TX1"} | said  # fmt: skip
    assert next(iter(details["e1-0-1"])) == "Reason"
    failed = details["e1-0-5"]
    assert (failed["Reason"], failed["Cause"], failed["email"]) == ("cant_find_refid", "never_seen", "a***@x.example")
    messages = dict(rig.query("SELECT event_id, message FROM integration_events"))
    assert messages["e1-0-5"] == "Error: Can't find refId: a***@x.example"
    assert messages["e1-0-6"] == "Error: Can't find refId: ***43"
    assert rig.query("SELECT parameters['email'] FROM events WHERE event_id = 'e1-0-1'") == [
        ("ann@x.example",)
    ]  # in clear, for roles that may


async def test_sql_masks_as_python_does(rig):
    """R10: the two forms of one pattern."""
    for name, value, shown in CASES:
        found = rig.query(
            f"SELECT {pii.sql_value('n', 'v')} FROM (SELECT {{name:String}} AS n, {{value:String}} AS v)", {"name": name, "value": value}
        )
        assert found == [(shown,)], name


@pytest.mark.parametrize(
    ("status", "type_", "count"),
    [("", "", 6), ("Info", "", 1), ("Success", "", 2), ("Failure", "", 3), ("", "API Call", 2), ("Failure", "API Call", 0)],
)
async def test_the_counter_follows_the_filter(rig, status, type_, count):
    """R14, R16: Info, Success, Failure or all; the number beside the download button is that of the list."""
    (recipe,) = [recipe for recipe in recipes() if recipe.name == "integration_events_count"]
    assert rig.query(recipe.sql, {"status": status, "type": type_}) == [(count,)]
    where = "{s:String} IN ('', status) AND {t:String} IN ('', type)"
    assert len(rig.query(f"SELECT event_id FROM integration_events WHERE {where}", {"s": status, "t": type_})) == count
