"""Postback status (C10 to C19) as far as it exists: attempts as the delivery role will write them, through the real sink, read in the views.

Nothing sends postbacks yet. What is proved here is the log of them: its columns, its keys, and that it says what a record says. Requests made
of conversions are proved by the examples (`tests/golden`), sending them will be by the delivery role's own tests.
"""

import time
from datetime import UTC, datetime

import orjson
import pytest

from sinks.queries import recipes
from tests.integration.sink_rig import EVENTS, Rig, row

ATTEMPTS = "clicktrail.attempts.v1"
NOW = int(time.time() * 1000) - 60_000


def attempt(number, **changes):
    """A record of clicktrail.attempts.v1: the postback of the event `number`, delivered at the first try."""
    known = {
        "postback_id": f"e1-0-{number}.ads.1", "attempt": 1, "account_id": "acme", "property_id": "shop", "event_id": f"e1-0-{number}",
        "click_id": f"clk{number}", "destination_id": "ads", "integration_id": None, "postback_ms": NOW + number, "sent_ms": NOW + number + 5,
        "duration_ms": 12, "is_error": 0, "error_message": None, "status_code": 200,
        "postback_url": f"https://ads.example/postback?clickid=clk{number}&payout=12.50&event=sale", "ct": "sale", "request": "GET", "response": "OK",
        "next_attempt_ms": None, "state": "delivered",
    }  # fmt: skip
    return orjson.dumps(known | changes)


STARTED = {"state": "sending", "status_code": None, "duration_ms": None, "response": None}
REFUSED = {"is_error": 1, "status_code": 503, "error_message": "503 Service Unavailable", "response": "busy"}
AWAY = {"is_error": 1, "status_code": None, "error_message": "connection refused", "response": None, "state": "failed"}


@pytest.fixture(scope="module")
async def rig(kafka, clickhouse):
    """Five postbacks: delivered, by a Conversion API, waiting for its third try, given up without an answer, being sent."""
    async with Rig(kafka, clickhouse, "postback_log") as rig, rig.running():
        await rig.send(EVENTS, [row(number, received_ms=NOW, event_ms=NOW) for number in range(1, 6)])
        await rig.send(ATTEMPTS, [
            attempt(1, **STARTED), attempt(1),
            attempt(2, destination_id="capi", postback_id="e1-0-2.capi.1", integration_id="meta-42", ct="lead"),
            attempt(3, ct="signup", state="waiting", next_attempt_ms=NOW + 5_000, **REFUSED),
            attempt(3, ct="signup", state="waiting", next_attempt_ms=NOW + 99_000, attempt=2, **REFUSED),
            attempt(4, **AWAY),
            attempt(5, **STARTED),
        ], partition=0)  # fmt: skip
        await rig.wait_for("SELECT count() FROM postback_attempts", 7)
        await rig.wait_for("SELECT count() FROM events", 5)
        yield rig


def column(rig, name):
    return [value for (value,) in rig.query(f"SELECT {name} FROM postbacks ORDER BY event_id")]


async def test_every_postback_is_one_row_in_its_last_state(rig):
    """C10: all that was fired, by postback URL and by Conversion API; tries are counted, not listed twice."""
    assert rig.query("SELECT count(), uniqExact(postback_id) FROM postbacks") == [(5, 5)]
    assert column(rig, "state") == ["delivered", "delivered", "waiting", "failed", "sending"]
    assert column(rig, "attempts") == [1, 1, 2, 1, 1]
    assert column(rig, "integration_id IS NULL") == [1, 0, 1, 1, 1]


async def test_postbacks_and_events_find_each_other(rig):
    """C11: postback id and click id can be cross-checked in the event log, from either side."""
    joined = "SELECT postback_id, events.click_id FROM postbacks INNER JOIN events USING (event_id, click_id) ORDER BY postback_id"
    assert len(rig.query(joined)) == 5
    back = "SELECT postback_id FROM events INNER JOIN postbacks ON postbacks.event_id = events.event_id WHERE events.click_id = 'clk2'"
    assert rig.query(back) == [("e1-0-2.capi.1",)]


async def test_when_it_was_triggered(rig):
    """C12: the time of the postback, the same for all of its tries."""
    times = [datetime.fromtimestamp((NOW + number) / 1000, UTC).replace(tzinfo=None) for number in range(1, 6)]
    assert column(rig, "postback_time") == times
    assert rig.query("SELECT uniqExact(postback_time) FROM postback_attempts WHERE event_id = 'e1-0-3'") == [(1,)]


async def test_is_error_and_its_explanation(rig):
    """C13, C14: 0 or 1, and an error message exactly where it is 1."""
    assert column(rig, "is_error") == [0, 0, 1, 1, 0]
    assert column(rig, "error_message") == [None, None, "503 Service Unavailable", "connection refused", None]
    assert rig.query("SELECT toTypeName(is_error) FROM postbacks LIMIT 1") == [("UInt8",)]


async def test_the_status_code_is_that_of_the_answer(rig):
    """C15: 200 means received; without an answer there is none, not 0."""
    assert column(rig, "status_code") == [200, 200, 503, None, None]


async def test_the_url_is_the_one_that_was_sent(rig):
    """C16: fully populated."""
    urls = column(rig, "postback_url")
    assert urls[0] == "https://ads.example/postback?clickid=clk1&payout=12.50&event=sale"
    assert not any("{" in url for url in urls)


async def test_the_custom_conversion_names_what_was_reported(rig):
    """C17: signup, sale, lead."""
    assert column(rig, "ct") == ["sale", "lead", "signup", "sale", "sale"]


async def test_the_integration_that_sent_it(rig):
    """C18: a Conversion API's postback says which one, any other has none."""
    assert column(rig, "integration_id") == [None, "meta-42", None, None, None]


async def test_what_fails_is_found_by_its_cause(rig):
    """C19: diagnose, validate conversions, ensure that tracking operates: failures by cause, and conversions that nobody was told of."""
    (recipe,) = [recipe for recipe in recipes() if recipe.name == "postback_errors"]
    found = {(line[0], line[1]): line[2:6] for line in rig.query(recipe.sql)}
    assert found == {("ads", "503"): ("503 Service Unavailable", 1, 1, 0), ("ads", "no answer"): ("connection refused", 1, 0, 1)}
    untold = "SELECT event_id FROM events WHERE status = 'ok' AND event_id NOT IN (SELECT event_id FROM postbacks WHERE state = 'delivered') ORDER BY 1"
    assert [event_id for (event_id,) in rig.query(untold)] == ["e1-0-3", "e1-0-4", "e1-0-5"]
