"""The stage of delivery over plain dicts: records in; state, rows and activity out."""

import orjson

from streams.delivery.stage import Delivery, due_key, due_of, sent_key
from streams.rehoming import RULES
from streams.runtime.memory import MemoryState
from streams.stage import Outputs, Record
from streams.topology import ACTIVITY, ATTEMPTS, DELIVERIES, DELIVERY_STATE, POSTBACKS


class Bench:
    def __init__(self):
        self.state, self.stage, self.offset = MemoryState(), Delivery(), 0

    def take(self, topic, *messages):
        records = []
        for message in messages:
            self.offset += 1
            records.append(Record(topic.name, 2, self.offset, 1_000 + self.offset, b"k", orjson.dumps(message)))
        out = Outputs()
        self.stage(records, self.state, out)
        return [(topic, orjson.loads(value)) for topic, _, _, value, _ in out]

    def sent(self, postback_id):
        return orjson.loads(self.state[sent_key(postback_id)])

    def due(self):
        return sorted(due_of(key)[2] for key in self.state if key.startswith(b"q:"))


def request(postback_id="p1", **more):
    return {
        "postback_id": postback_id,
        "destination_id": "d",
        "event_id": "e",
        "click_id": "c",
        "account_id": "a",
        "property_id": "s",
        "follows": None,
        **more,
    }


def ended(postback_id="p1", attempt=1, state="delivered", **more):
    return {
        "type": "ended", "postback_id": postback_id, "attempt": attempt, "by": "w", "state": state, "is_error": int(state != "delivered"), "is_down": state == "waiting",
        "error_message": None, "sent_ms": 5, "duration_ms": 1, "status_code": 200, "postback_url": "u", "request": "r", "response": "ok",
        "next_attempt_ms": 99_000 if state == "waiting" else None, **more,
    }  # fmt: skip


def begun(postback_id="p1", attempt=1):
    return {"type": "begun", "postback_id": postback_id, "attempt": attempt, "by": "w", "at_ms": 5}


def test_a_request_waits_is_tried_and_stays_in_the_ledger():
    bench = Bench()
    [(topic, row)] = bench.take(POSTBACKS, request())
    assert (topic, row["state"], row["attempt"], row["postback_ms"], row["request_offset"]) == (ATTEMPTS.name, "waiting", 0, 1_001, 1)
    assert bench.due() == ["p1"]
    assert bench.take(DELIVERIES, begun()) == []
    assert bench.sent("p1")["b"] == 1
    [(_, row)] = bench.take(DELIVERIES, ended())
    assert (row["state"], row["attempt"], row["status_code"], row["postback_ms"]) == ("delivered", 1, 200, 1_001)
    assert bench.due() == []
    assert bench.sent("p1")["st"] == "delivered"


def test_a_replay_changes_nothing():
    bench = Bench()
    bench.take(POSTBACKS, request())
    assert bench.take(POSTBACKS, request(), request()) == []
    bench.take(DELIVERIES, ended())
    before = dict(bench.state)
    assert bench.take(POSTBACKS, request()) == []
    assert bench.state == before


def test_an_end_that_comes_again_or_late_changes_nothing():
    bench = Bench()
    bench.take(POSTBACKS, request())
    bench.take(DELIVERIES, begun(), ended(state="waiting"))
    before = dict(bench.state)
    assert bench.take(DELIVERIES, ended(state="waiting"), begun(), ended("unheard-of")) == []
    assert bench.state == before
    assert due_key("d", 99_000, "p1") in bench.state
    [(_, row)] = bench.take(DELIVERIES, ended(attempt=2, state="failed"))
    assert (row["attempt"], row["state"], bench.due()) == (2, "failed", [])


def test_a_correction_waits_for_what_it_corrects():
    bench = Bench()
    rows = bench.take(POSTBACKS, request(), request("p2", follows="p1"), request("p3", follows="p2"))
    assert [row["state"] for _, row in rows] == ["waiting", "held", "held"]
    bench.take(DELIVERIES, ended(state="waiting"))
    assert bench.due() == ["p1"]
    bench.take(DELIVERIES, ended(attempt=2))
    assert bench.due() == ["p2"]
    bench.take(DELIVERIES, ended("p2", state="failed"))
    assert bench.due() == ["p3"], "a failure releases, too"
    assert bench.take(POSTBACKS, request("p4", follows="p1"))[0][1]["state"] == "waiting", "what is final holds up nobody"


def test_one_that_failed_is_sent_again_when_somebody_asks():
    """A resend is a record: on record in the activity log, its tries count on, its retries begin anew."""
    bench = Bench()
    bench.take(POSTBACKS, request())
    bench.take(DELIVERIES, ended(state="failed"))
    out = dict(bench.take(DELIVERIES, {"type": "resend", "request": request(), "author": "ann", "reason": "they mended it"}))
    assert (out[ATTEMPTS.name]["state"], out[ATTEMPTS.name]["attempt"]) == ("waiting", 1)
    activity = out[ACTIVITY.name]
    assert (activity["author"], activity["entity"], activity["entity_id"], activity["before"], activity["after"]) == (
        "ann", "postback", "p1", {"state": "failed"}, {"state": "waiting"},
    )  # fmt: skip
    assert bench.sent("p1")["r"] == 1
    assert bench.due() == ["p1"]
    [(_, row)] = bench.take(DELIVERIES, begun(attempt=2), ended(attempt=2))
    assert (row["attempt"], row["state"]) == (2, "delivered")


def test_a_resend_of_one_under_way_does_not_send_it_twice():
    bench = Bench()
    bench.take(POSTBACKS, request())
    bench.take(DELIVERIES, begun())
    before = dict(bench.state)
    [(topic, _)] = bench.take(DELIVERIES, {"type": "resend", "request": request(), "author": "ann", "reason": "again"})
    assert topic == ACTIVITY.name
    assert bench.state == before


def test_where_state_belongs_when_topics_have_grown():
    """Events stay where they are, and what is known of their postbacks stays with them."""
    rule = RULES[DELIVERY_STATE.name]
    bench = Bench()
    bench.take(POSTBACKS, request("e1-7-44.my-d.1"), request("e1-7-45.my-d.1", follows="e1-7-44.my-d.1"))
    assert {rule(key, value, 7, 12) for key, value in bench.state.items()} == {(7, value) for value in bench.state.values()}


def test_since_when_a_destination_fails():
    bench = Bench()
    bench.take(POSTBACKS, request(), request("p2"))
    bench.take(DELIVERIES, ended(state="waiting", sent_ms=50))
    bench.take(DELIVERIES, ended(attempt=2, state="waiting", sent_ms=80))
    assert bench.state[b"f:d"] == b"50"
    bench.take(DELIVERIES, ended("p2"))
    assert b"f:d" not in bench.state
