"""The ledger as a stage: payloads and answers in; rows, probes, postbacks and what is left in state out. And whole random homes."""

import random

import orjson
import pytest

from streams.finality import MAX_HEALABLE
from streams.identifiers import key
from streams.ledger import Ledger, identity_of
from streams.parse import Parser
from streams.runtime.memory import Memory, MemoryState
from streams.stage import MustWait, Outputs, Record
from streams.topology import EVENTS, LOOKUPS, MATCHES, POSTBACKS
from streams.workspace import Workspace

PII = b"memory"
NOW = 1_790_000_000_000
DAY = 86_400_000


def workspace(*changes, **source):
    made = Workspace()
    for kind, entity_id, value in [
        ("property", "p1", {}),
        ("property", "p2", {}),
        ("source", "s", {"kind": "postback", "property_id": "p1", "mapping": {"default_status": "approved"}, **source}),
        ("destination", "d1", {"url": "https://example.com/?c={click_id}"}),
        *changes,
    ]:
        made.apply(made.version + 1, kind, entity_id, None if value is None else {"id": entity_id, "name": entity_id, **value})
    return made


class Bench:
    """One ledger partition, driven by hand."""

    def __init__(self, made=None):
        self.workspace = made or workspace()
        self.ledger = Ledger(Parser(self.workspace, PII, 1), self.workspace, 4, PII)
        self.state = MemoryState()
        self.count = 0

    def restart(self):
        """Another worker goes on with the state."""
        self.ledger = Ledger(Parser(self.workspace, PII, 1), self.workspace, 4, PII)

    def payload(self, source="s", version=None, raw=None, at=0, receipt=None, **body):
        headers = [("receipt", receipt.encode())] if receipt else []
        headers += [("ce_source", source.encode()), ("settings", str(self.workspace.version if version is None else version).encode())]
        value = orjson.dumps(body) if raw is None else raw
        record = Record("clicktrail.payloads.v1", 0, self.count, NOW + (at or self.count), b"", value, headers)
        self.count += 1
        return self._judge(record)

    def answer(self, probe, click=None, n=0, **more):
        found = {"e": probe["e"], "h": probe["h"], "n": n, "m": probe["q"][n][0], "model": "last_click", "tried": []} | more
        if click:
            found["click"] = {"id": click, "t": NOW - 1000, "p": "p1"}
        else:
            found["tried"] = more.get("tried") or [[kind, "never_seen", None] for kind, _ in probe["q"]]
        return self._judge(Record(MATCHES.name, 0, 0, NOW, b"", orjson.dumps(found)))

    def home(self, name="default|p1|T1"):
        return orjson.loads(self.state[b"h:" + name.encode()].partition(b"\n")[0])

    def _judge(self, record):
        out = Outputs()
        self.ledger([record], self.state, out)
        return {topic: [orjson.loads(value) for value in values] for topic, values in by_topic(out).items()}


def by_topic(out):
    found = {}
    for topic, _, _, value, _ in out:
        found.setdefault(topic, []).append(value)
    return found


def rows(said):
    return [(row["event_id"], row["revision"], row["reason"]) for row in said.get(EVENTS.name, ())]


def test_what_is_decided_by_itself_leaves_no_state():
    """Half of the traffic: one row, nothing kept, nobody asked."""
    bench = Bench()
    for body in ({"status": "pending"}, {"status": "weird"}, {"test": "1"}, {"property_id": "p2"}):
        said = bench.payload(**body, transaction_id="T1")
        assert list(said) == [EVENTS.name]
    assert rows(bench.payload(raw=b"{")) == [("e1-0-4", 1, "unreadable_payload")]
    assert bench.state == {}


def test_a_usual_conversion():
    """Asked once; with the answer one row and one postback; 300 bytes stay."""
    bench = Bench()
    asked = bench.payload(click_id="K1", transaction_id="T1", value="5")
    assert list(asked) == [LOOKUPS.name]
    [probe] = asked[LOOKUPS.name]
    assert (probe["e"], probe["h"], probe["q"], probe["p"]) == ("e1-0-0", "default|p1|T1", [["click_id", "K1"]], "p1")
    assert set(bench.state) == {b"h:default|p1|T1"}
    said = bench.answer(probe, "K1")
    assert rows(said) == [("e1-0-0", 1, "recorded")]
    assert len(said[POSTBACKS.name]) == 1
    assert set(bench.state) == {b"h:default|p1|T1"}
    assert sum(map(len, bench.state.values())) < 400
    assert rows(bench.payload(click_id="K1", transaction_id="T1", value="5")) == [("e1-0-1", 1, "duplicate")]
    assert set(bench.state) == {b"h:default|p1|T1"}


def test_nothing_passed_leaves_no_state():
    """A26: there is nothing that could heal it."""
    bench = Bench()
    assert rows(bench.payload(transaction_id="T1")) == [("e1-0-0", 1, "no_click_id")]
    assert bench.state == {}


def test_those_behind_wait_without_rows_and_without_probes():
    """Rule 2: no retry storm counts a sale twice, and each has its row in the end."""
    bench = Bench()
    [probe] = bench.payload(click_id="K1", transaction_id="T1")[LOOKUPS.name]
    assert [bench.payload(click_id="K1", transaction_id="T1") for _ in range(3)] == [{}, {}, {}]
    said = bench.answer(probe, "K1")
    assert rows(said) == [("e1-0-0", 1, "recorded"), *((f"e1-0-{n}", 1, "duplicate") for n in (1, 2, 3))]
    assert len(said[POSTBACKS.name]) == 1


def test_a_miss_asks_the_next_and_heals():
    """A12, A30: error, then recorded; the late click heals the first, and the conversion moves to it."""
    bench = Bench()
    [first] = bench.payload(click_id="K1", transaction_id="T1")[LOOKUPS.name]
    bench.payload(click_id="K2", transaction_id="T1")
    said = bench.answer(first)
    assert rows(said) == [("e1-0-0", 1, "unknown_click_id")]
    [second] = said[LOOKUPS.name]
    assert second["q"] == [["click_id", "K2"]]
    assert rows(bench.answer(second, "K2")) == [("e1-0-1", 1, "recorded")]
    healed = bench.answer(first, "K1")
    assert rows(healed) == [("e1-0-0", 2, "recorded"), ("e1-0-1", 2, "duplicate")]
    [request] = healed[POSTBACKS.name]
    assert (request["kind"], request["restates_event_id"], request["revision"]) == ("restatement", "e1-0-1", 2)


def test_an_answer_that_changes_nothing_changes_nothing():
    """Late, repeated, worse, for a home or an event that is gone."""
    bench = Bench()
    [probe] = bench.payload(email="a@example.com", phone="+4930123456", transaction_id="T1")[LOOKUPS.name]
    assert rows(bench.answer(probe, "K1", n=1)) == [("e1-0-0", 1, "recorded")]
    before = dict(bench.state)
    for said in (
        bench.answer(probe, "K1", n=1),
        bench.answer(probe),
        bench.answer(probe | {"h": "default|p1|gone"}, "K1"),
        bench.answer(probe | {"e": "e1-0-99"}, "K1"),
    ):
        assert said == {}
    assert bench.state == before
    assert rows(bench.answer(probe, "K2", n=0)) == [("e1-0-0", 2, "recorded")]


def test_a_better_known_cause_is_a_revision():
    """Rule 10: the sub-reason does not depend on what came first."""
    bench = Bench()
    [probe] = bench.payload(click_id="K1", transaction_id="T1")[LOOKUPS.name]
    assert bench.answer(probe)[EVENTS.name][0]["sub_reason"] == "never_seen"
    [row] = bench.answer(probe, tried=[["click_id", "other_property", "p2"]])[EVENTS.name]
    assert (row["revision"], row["reason"], row["sub_reason"], row["evidence"]["detail"]) == (2, "unknown_click_id", "other_property", "p2")


def test_settings_that_have_not_come_are_waited_for():
    bench = Bench()
    version = bench.workspace.version + 1
    with pytest.raises(MustWait) as wait:
        bench.payload(click_id="K1", version=version)
    assert not wait.value.ready()
    bench.workspace.apply(version, "property", "p1", {"id": "p1", "name": "p1"})
    assert wait.value.ready()
    assert LOOKUPS.name in bench.payload(click_id="K1", version=version)


def test_a_payload_is_judged_with_the_settings_of_its_time():
    """What-if and replay: later settings change no verdict."""
    bench = Bench()
    old = bench.workspace.version
    mapping = {"default_status": "approved", "events": ["Lead"]}
    bench.workspace.apply(old + 1, "source", "s", {"id": "s", "name": "s", "kind": "postback", "property_id": "p1", "mapping": mapping})
    assert list(bench.payload(version=old, click_id="K1", event="Purchase")) == [LOOKUPS.name]
    assert rows(bench.payload(version=old + 1, click_id="K1", event="Purchase")) == [("e1-0-1", 1, "filtered_event")]


def test_a_source_whose_property_is_gone():
    """A34: sub-reason property_missing, which no workspace file can show."""
    bench = Bench(workspace(("property", "p1", None)))
    [row] = bench.payload(click_id="K1")[EVENTS.name]
    assert (row["message"], row["sub_reason"]) == ("Error: Unauthorized asset: p1", "property_missing")


def test_authorised_goes_before_readable():
    """Rule 6: property, then payload."""
    bench = Bench(workspace(("property", "p1", None)))
    assert rows(bench.payload(raw=b"{")) == [("e1-0-0", 1, "unauthorized_asset")]


def test_a_hostile_home_is_bounded():
    """A thousand payloads of one transaction with as many unknown click ids: each has its row, the newest are forgotten."""
    bench = Bench()
    count = MAX_HEALABLE + 40
    for n in range(count):
        [probe] = bench.payload(click_id=f"X{n}", transaction_id="T1")[LOOKUPS.name]
        assert rows(bench.answer(probe)) == [(f"e1-0-{n}", 1, "unknown_click_id")]
        if n == 0:
            first = probe
        if n == count - 1:
            last = probe
    assert len(orjson.loads(bench.state[b"h:default|p1|T1"].partition(b"\n")[0])) == MAX_HEALABLE
    assert len(bench.state) == 1
    assert len(rows(bench.answer(first, "X0"))) == MAX_HEALABLE, "those that are kept heal: one recorded, the others its duplicates"
    assert bench.answer(last, "X") == {}, "its verdict stands"


@pytest.mark.parametrize(
    ("body", "identity", "window"),
    [
        ({"transaction_id": "T1"}, "T|Lead|T1", None),
        ({"transaction_id": "T1", "event": "A|B\\"}, "T|A\\|B\\\\|T1", None),
        ({"transaction_id": "T1", "test": "1", "click_id": "K"}, "T.test|Lead|T1", None),
        ({"click_id": "K", "value": "9.90"}, "C|Purchase|K|9.9|USD", 86_400_000),
        ({"click_id": "K|L"}, "C|Lead|K\\|L|None|None", 86_400_000),
        ({"click_id": "K", "test": "1"}, "C.test|Lead|K|None|None", 86_400_000),
    ],
)
def test_identities(body, identity, window):
    """Rules 4 and 5."""
    bench = Bench()
    event = event_of(bench, body)
    assert identity_of(event, bench.workspace.source("s", bench.workspace.version)) == (identity, window)


@pytest.mark.parametrize("name", ["item_id", "Item-ID", "itemid"])
def test_attributes_are_found_as_the_mapping_finds_parameters(name):
    """A13: a look-alike taken for absent would make two items one duplicate."""
    bench = Bench(workspace(dedup={"attributes": ["item_id"]}))
    event = event_of(bench, {"transaction_id": "T1", name: "7"})
    assert identity_of(event, bench.workspace.source("s", bench.workspace.version)) == ("T|Lead|T1|7", None)


def event_of(bench, body):
    headers = [("ce_source", b"s"), ("settings", str(bench.workspace.version).encode())]
    return Parser(bench.workspace, PII, 1).parse(Record("t", 0, 0, NOW, b"", orjson.dumps(body), headers))


def test_no_two_different_events_share_an_identity():
    """Values made of bars, backslashes and our own words, in names, ids and attributes."""
    bench = Bench(workspace(dedup={"attributes": ["a", "b"]}))
    other = Bench()
    texts = ("x", "|", "x|", "|x", "\\", "\\|", "x\\", "test", ".test", "T1")
    rng = random.Random(3)
    seen = {}
    for _ in range(3_000):
        made = rng.choice((bench, other))
        body = {"event": rng.choice(texts), "transaction_id": rng.choice(texts) + "9", "a": rng.choice(texts), "b": rng.choice(texts)}
        if rng.random() < 0.3:
            body |= {"test": "1", "click_id": "K1"}
        event = event_of(made, body)
        identity, _ = identity_of(event, made.workspace.source("s", made.workspace.version))
        parts = (event["conversion_name"], event["transaction_id"], event["is_test"], *((body["a"], body["b"]) if made is bench else ()))
        assert seen.setdefault(identity, parts) == parts


def test_a_very_long_transaction_id_is_still_one():
    """A12, A17: the same transaction with other bytes, reported by two sources."""
    memory = Memory(workspace(), pii_key=PII)
    receive_click(memory, "K1", NOW - 1000)
    for n in range(2):
        memory.payload("s", orjson.dumps({"click_id": "K1", "transaction_id": "T" * 201, "n": str(n)}), received_ms=NOW + n)
    memory.run()
    assert sorted(row["status"] for row in memory.rows()) == ["deduplicated", "ok"]


def receive_click(memory, click_id, t, property_id="p1", identifiers=(), received=None):
    memory.visit({
        "visit_id": f"v{click_id}", "kind": "click", "account_id": "default", "property_id": property_id, "click_id": click_id, "occurred_ms": t,
        "received_ms": received or t, "identifiers": list(identifiers), "campaign_id": None, "traffic_source_id": None,
    })  # fmt: skip


def a_history(rng):
    """Payloads of one home, all by reference or transaction id, and the clicks that some of them find."""
    payloads = []
    for _ in range(rng.randrange(1, 7)):
        name = rng.choice(("Purchase", "Rebill"))
        body = {
            "event": name,
            **rng.choice(({"transaction_id": "T1"}, {"transaction_id": rng.choice(("T2", "T3")), "reference": "T1"}, {"reference": "T1"})),
        }
        if rng.random() < 0.5:
            body["click_id"] = rng.choice("ABCZ") + "9"
        if rng.random() < 0.25:
            body["status"] = "refunded"
        payloads.append(body)
    clicks = [click for click in ("A9", "B9", "C9") if rng.random() < 0.7]
    return payloads, clicks


def live_through(made, payloads, clicks, rng):
    memory = Memory(made, partitions=2, pii_key=PII)
    arrivals = [("payload", n, body) for n, body in enumerate(payloads)]
    for click in clicks:
        arrivals.insert(rng.randrange(len(arrivals) + 1), ("click", 0, click))
    while arrivals or memory.waiting():
        if arrivals and (rng.random() < 0.5 or not memory.waiting()):
            kind, n, item = arrivals.pop(0)
            if kind == "click":
                receive_click(memory, item, NOW - 1000, received=NOW)
            else:
                memory.payload("s", orjson.dumps(item), received_ms=NOW + n)
        else:
            memory.step(rng.choice(memory.waiting()), rng.choice((1, 2, 500)))
    return memory


@pytest.mark.parametrize("seed", range(300))
def test_homes_with_references_do_not_depend_on_the_order_of_arrival(seed):
    """Rebills, refunds and sales that refer to each other: one row each, one recorded per identity, the same rows in any order."""
    rng = random.Random(seed)
    made = workspace()
    payloads, clicks = a_history(rng)
    runs = [live_through(made, payloads, clicks, rng) for _ in range(3)]
    said = [{e: (r["status"], r["reason"], r["sub_reason"], r["click_id"], r["duplicate_of"], r["parent_event_id"])
             for e, r in memory.events().items()} for memory in runs]  # fmt: skip
    assert said[0] == said[1] == said[2], payloads
    assert len(said[0]) == len(payloads)
    for memory in runs:
        recorded = [row["identity"] for row in memory.events().values() if row["status"] == "ok"]
        assert len(recorded) == len(set(recorded))
        told = [request["event_id"] for request in memory.postbacks() if request["kind"] == "conversion"]
        assert len(told) == len(recorded), "each conversion is reported once; what comes later about it is a restatement"
        for row in memory.events().values():
            if row["status"] == "ok":
                assert row["click_id"]
                assert row["conversion_name"]
                assert row["value"] is not None


def matched_by_email(memory, email):
    """The row of a conversion that brings only an e-mail."""
    memory.payload("s", orjson.dumps({"email": email, "transaction_id": "T1"}), received_ms=NOW)
    memory.run()
    return memory.rows()[-1]["status"]


@pytest.mark.parametrize(("click_ms", "identify_ms", "status"), [(-40 * DAY, -5 * DAY, "error"), (-1_000, 1, "ok")])
def test_an_identify_event_does_not_move_its_click(click_ms, identify_ms, status):
    """Rule 8: click time + window. The form was filled later: the window is too long, or the click comes "after" the conversion."""
    memory = Memory(workspace(), pii_key=PII)
    receive_click(memory, "K1", NOW + click_ms)
    receive_click(memory, "K1", NOW + identify_ms, identifiers=[("email", key("email", "ann@example.com", PII))])
    assert matched_by_email(memory, "ann@example.com") == status


def test_a_changed_conversion_is_revised_and_restated():
    """A13: the original's event stays for as long as it may change; what was told is restated once per change."""
    bench = Bench(workspace(dedup={"mode": "add_value", "transaction_window_days": 1}))
    [probe] = bench.payload(click_id="K1", transaction_id="T1", value="5")[LOOKUPS.name]
    bench.answer(probe, "K1")
    assert [entry.get("b") for entry in bench.home()] == [1]
    said = bench.payload(click_id="K1", transaction_id="T1", value="7")
    assert [(row["event_id"], row["revision"], row["value"]) for row in said[EVENTS.name]] == [("e1-0-0", 2, "12"), ("e1-0-1", 1, "7")]
    [request] = said[POSTBACKS.name]
    assert (request["kind"], request["restates_event_id"], request["value"]) == ("restatement", "e1-0-0", "12")
    again = bench.payload(click_id="K1", transaction_id="T1", value="7")
    assert (rows(again), list(again)) == ([("e1-0-2", 1, "duplicate")], [EVENTS.name]), "the same bytes are a retry"
    assert [entry.get("b") for entry in bench.home()] == [1]
    assert LOOKUPS.name in bench.payload(click_id="K1", transaction_id="T1", value="7", at=DAY + 1), "behind the window"


def test_the_event_of_a_conversion_goes_with_its_window():
    bench = Bench(workspace(dedup={"mode": "edit", "transaction_window_days": 1}))
    [probe] = bench.payload(click_id="K1", transaction_id="T1", value="5")[LOOKUPS.name]
    bench.answer(probe, "K1")
    bench.payload(transaction_id="T1", value="5", status="refunded", at=DAY + 1)
    assert [entry.get("b") for entry in bench.home()] == [None]
    assert rows(bench.payload(transaction_id="T1", value="5", status="refunded", at=DAY + 2)) == [("e1-0-2", 1, "wrong_status")]


@pytest.mark.parametrize("second", [{}, {"value": "7"}])
def test_a_mode_needs_a_transaction_id(second):
    """Without one, a duplicate has the value of its original: adding it would count a double report twice."""
    bench = Bench(workspace(dedup={"mode": "add_value", "transaction_window_days": 1}))
    [probe] = bench.payload(click_id="K1", value="5", n="1")[LOOKUPS.name]
    bench.answer(probe, "K1")
    said = bench.payload(**{"click_id": "K1", "value": "5", "n": "2", **second})
    assert (rows(said) == [("e1-0-1", 1, "duplicate")]) is (second == {})
    assert all(row["event_id"] == "e1-0-1" for row in said.get(EVENTS.name, ()))


def test_every_verdict_names_the_receipt_that_its_sender_was_given():
    """The only name that an answer from the spool has: also when the payload is parsed again from state."""
    bench = Bench()
    [probe] = bench.payload(click_id="K", transaction_id="T1", receipt="r-1")[LOOKUPS.name]
    bench.restart()
    answers = [bench.answer(probe), bench.answer(probe, "K"), bench.payload(transaction_id="T2", status="pending", receipt="r-2")]
    found = [row for said in answers for row in said[EVENTS.name]]
    assert [(row["revision"], row["status"], row["receipt_id"]) for row in found] == [
        (1, "error", "r-1"), (2, "ok", "r-1"), (1, "discarded", "r-2"),
    ]  # fmt: skip
