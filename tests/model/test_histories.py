"""Two thousand random histories and more (700 of each kind) against the oracle: any order of arrival, any chunking, crashes at any step, late clicks.

Rules 2, 3, 4, 7, 8, 11 and 14 of the mission, A09 to A12, A15 to A17, A20, A23 to A26, A30, A32: whatever meets whatever first, the current
rows are the ones that the log order gives with everything known; every payload has exactly one; a conversion is reported once.
"""

import copy
import os
import random
from collections import Counter

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.identifiers import key
from streams.runtime.memory import Memory
from streams.workspace import Workspace
from tests.model.oracle import DAY, judge

PII = b"memory"
BASE = 1_760_000_000_000
EXAMPLES = int(os.environ.get("HISTORIES", "700"))
EMAILS = [f"u{i}@example.com" for i in range(3)]
PHONES = ["+493012345", "+493099999"]
IPS = ["203.0.113.1", "203.0.113.2"]
PROPERTIES = ("p1", "p2", "p3")
PLAIN = {"window": 30 * DAY, "model": "last_click", "fallback": False, "ip": False, "least": 0}
POLICIES = {"p1": PLAIN, "p2": PLAIN, "p3": {"window": 20 * DAY, "model": "first_click", "fallback": True, "ip": True, "least": 8 * DAY}}


SOURCES = {  # dedup mode, window in ms: each payload is received a millisecond or more after the one before
    "a": ("ignore", None), "b": ("ignore", None), "brief": ("ignore", 3), "add": ("add_value", 365 * DAY), "edit": ("edit", 8),
    "create": ("create", 5), "refer": ("refer", None),
}  # fmt: skip


def dedup(mode, window):
    if mode == "refer":
        return {"fraud": {"one_referral_per": "email", "self_referral": True}}
    return {} if window is None else {"dedup": {"mode": mode, "transaction_window_days": window / DAY}}


def attribution(policy):
    return {
        "window_days": policy["window"] / DAY, "model": policy["model"], "fallback_to_refs_on_unknown_click": policy["fallback"],
        "ip_matching": policy["ip"], "min_click_to_conversion_s": policy["least"] / 1000,
    }  # fmt: skip


def workspace():
    made = Workspace()
    for version, (kind, name, value) in enumerate([
        *[("property", name, {"attribution": attribution(policy)}) for name, policy in POLICIES.items()],
        *[("source", f"{s}-{p}", {"kind": "postback", "property_id": p, "mapping": {
            "click_id": "cid", "events": ["Purchase", "Lead", "Rebill"], "test": "test", "time": "time", "transaction_id": "tx", "reference": "ref", "ip": "ip"}, **dedup(*policy)})
          for s, policy in SOURCES.items() for p in PROPERTIES],
        ("destination", "d1", {"url": "https://example.com/?c={click_id}"}),
    ]):  # fmt: skip
        made.apply(version, kind, name, {"id": name, "name": name, **value})
    return made


WORKSPACE = workspace()

clicks = st.lists(
    st.fixed_dictionaries({
        "id": st.sampled_from("ABCDE"), "property": st.sampled_from(["p1", "p1", "p3", "p3", "p2"]), "time": st.integers(1, 12).map(lambda d: BASE + d * 4 * DAY), "ip": st.sets(st.sampled_from(IPS), max_size=1),
        "owner": st.sampled_from([None, None, *EMAILS]), "email": st.sets(st.sampled_from(EMAILS), max_size=2), "phone": st.sets(st.sampled_from(PHONES), max_size=1),
    }), min_size=2, max_size=8, unique_by=lambda c: (c["id"], c["time"]),
)  # fmt: skip
payloads = st.lists(
    st.fixed_dictionaries({
        "source": st.sampled_from(["a", "a", "b", "brief", "add", "add", "edit", "edit", "create", "refer", "refer"]), "value": st.sampled_from([5, 7]), "property": st.sampled_from(["p1", "p1", "p3", "p3", "p2"]), "tx": st.sampled_from(["T1", "T2"]),
        "name": st.sampled_from([*["Purchase"] * 4, "Lead", "AddToCart"]),
        "status": st.sampled_from([*["approved"] * 6, "pending", "refunded"]),
        "ref": st.none(), "cid": st.sampled_from([None, None, None, *"ABCDEZ"]), "email": st.sampled_from([None, None, None, *EMAILS]), "phone": st.sampled_from([None, None, *PHONES]),
        "ip": st.sampled_from([None, *IPS, *IPS]), "test": st.sampled_from([False, False, False, True]), "time": st.integers(8, 12).map(lambda d: BASE + d * 4 * DAY),
    }), min_size=1, max_size=8,
)  # fmt: skip


def receive_click(memory, click, now):
    identifiers = [("email", key("email", e, PII)) for e in sorted(click["email"])] + [
        ("phone", key("phone", p, PII)) for p in sorted(click["phone"])
    ]
    identifiers += [("ip", key("ip", address, PII)) for address in sorted(click["ip"])]
    owner = [("email", key("email", click["owner"], PII))] if click["owner"] else []
    memory.visit({
        "owner": owner, "visit_id": f"v{click['id']}{click['time']}", "kind": "click", "account_id": "default", "property_id": click["property"], "click_id": click["id"],
        "occurred_ms": click["time"], "received_ms": now, "identifiers": identifiers, "campaign_id": "c1", "traffic_source_id": None,
        "lander_id": None, "offer_id": None, "parameters": {},
    })  # fmt: skip


def receive_payload(memory, p, now):
    body = {
        "tx": p["tx"],
        "event": p["name"],
        "status": p["status"],
        "value": p["value"],
        "time": p["time"],
        "test": "1" if p["test"] else "0",
    }
    body |= {name: p[name] for name in ("cid", "email", "phone", "ip", "ref") if p[name]}
    return memory.payload(f"{p['source']}-{p['property']}", orjson.dumps(body), received_ms=now)


def crash_safe_step(memory, at, count, crashes):
    """One step; with `crashes` it is done on a copy first and thrown away, as a killed transaction is."""
    if crashes:
        kept = copy.deepcopy(memory.states)
        lengths = {k: len(v) for k, v in memory.log.items()}
        read = dict(memory._read)
        memory.step(at, count)
        memory.states, memory._read = kept, read
        for k in list(memory.log):
            del memory.log[k][lengths.get(k, 0) :]
    memory.step(at, count)


def live_through(history, rng):
    """Let everything arrive in a random order, judged in random chunks by whichever partition comes first."""
    memory = Memory(WORKSPACE, partitions=3, pii_key=PII)
    now = BASE + 13 * 4 * DAY
    seen = []
    arrivals = list(history)
    while arrivals or memory.waiting():
        if arrivals and (rng.random() < 0.4 or not memory.waiting()):
            kind, item = arrivals.pop(0)
            now += 1
            if kind == "click":
                receive_click(memory, item, now)
            else:
                seen.append(({**item, "u": now}, receive_payload(memory, item, now)))
        else:
            crash_safe_step(memory, rng.choice(memory.waiting()), rng.choice([1, 1, 2, 7, 500]), rng.random() < 0.1)
    return memory, seen


# The same, crowded: few values, so that payloads are duplicates, retries and refunds of each other all the time.
crowded_clicks = st.lists(
    st.fixed_dictionaries({
        "id": st.sampled_from("AB"), "property": st.just("p1"), "time": st.just(BASE + 8 * 4 * DAY), "owner": st.sampled_from([None, None, EMAILS[0]]), "email": st.sets(st.sampled_from(EMAILS[:1])),
        "phone": st.just(set()), "ip": st.just(set()),
    }), max_size=2, unique_by=lambda c: c["id"],
)  # fmt: skip
crowded_payloads = st.lists(
    st.fixed_dictionaries({
        "source": st.sampled_from(["a", "brief", "add", "add", "edit", "edit", "create", "refer", "refer"]), "value": st.sampled_from([5, 7]), "property": st.just("p1"),
        "tx": st.sampled_from(["T1", "T1", "T2"]), "name": st.just("Purchase"), "status": st.sampled_from(["approved"] * 4 + ["refunded"]),
        "ref": st.none(), "cid": st.sampled_from([None, "A", "A", "B", "Z"]), "email": st.sampled_from([None, EMAILS[0], EMAILS[0], EMAILS[1]]), "phone": st.none(), "ip": st.none(),
        "test": st.sampled_from([False] * 5 + [True]), "time": st.just(BASE + 9 * 4 * DAY),
    }), min_size=2, max_size=10,
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clicks, payloads, st.integers(0, 2**32))
def test_any_order_of_arrival_ends_in_the_same_rows(clicks, payloads, seed):
    check_history(clicks, payloads, random.Random(seed))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(crowded_clicks, crowded_payloads, st.integers(0, 2**32))
def test_any_order_of_arrival_of_what_belongs_together(clicks, payloads, seed):
    """A13: the dedup modes and their windows, retries, and what they restate."""
    check_history(clicks, payloads, random.Random(seed))


# Orders with what names them: upsells and rebills with a click of their own or with nothing but the order, and refunds of each of these.
orders = st.lists(
    st.fixed_dictionaries({
        "source": st.sampled_from(["a", "a", "a", "brief", "add", "edit", "create"]), "value": st.sampled_from([5, 7]), "property": st.sampled_from(["p1", "p1", "p3"]),
        "tx": st.sampled_from(["T1", "T1", "R1", "R2"]), "ref": st.sampled_from([None, "T1", "T1", "R1"]), "name": st.sampled_from(["Purchase", "Purchase", "Rebill"]),
        "status": st.sampled_from([*["approved"] * 4, "refunded"]), "cid": st.sampled_from([None, None, None, "A", "A", "B", "Z"]),
        "email": st.sampled_from([None, None, None, EMAILS[0]]), "phone": st.none(), "ip": st.sampled_from([None, IPS[0]]), "test": st.sampled_from([False] * 7 + [True]),
        "time": st.sampled_from([BASE + 9 * 4 * DAY, BASE + 11 * 4 * DAY]),
    }), min_size=2, max_size=9,
)  # fmt: skip
order_clicks = st.lists(
    st.fixed_dictionaries({
        "id": st.sampled_from("AB"), "property": st.sampled_from(["p1", "p1", "p3"]), "time": st.sampled_from([BASE + 8 * 4 * DAY, BASE + 10 * 4 * DAY]), "owner": st.none(),
        "email": st.sets(st.sampled_from(EMAILS[:1])), "phone": st.just(set()), "ip": st.sets(st.sampled_from(IPS[:1])),
    }), max_size=3, unique_by=lambda c: (c["id"], c["time"]),
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(order_clicks, orders, st.integers(0, 2**32))
def test_any_order_of_arrival_of_orders_and_what_refers_to_them(clicks, payloads, seed):
    """A32 A33: rebills, upsells and refunds that name an earlier transaction find it, whichever of them comes first."""
    check_history(clicks, payloads, random.Random(seed))


def check_history(clicks, payloads, rng):
    history = [("click", c) for c in clicks] + [("payload", p) for p in payloads]
    rng.shuffle(history)
    memory, seen = live_through(history, rng)
    wanted = judge([p for p, _ in seen], [item for kind, item in history if kind == "click"], SOURCES, POLICIES)
    ids = [f"e1-{record.partition}-{record.offset}" for _, record in seen]
    rows = memory.events()
    assert set(rows) == set(ids), "every payload has exactly one current row"
    for at, want in enumerate(wanted):
        row = rows[ids[at]]
        target = row["duplicate_of"] or row["parent_event_id"]
        got = (row["status"], row["reason"], row["click_id"], ids.index(target) if target else None, int(row["value"]))
        assert got == want, (at, seen[at][0], row)
    check_revisions(memory)
    check_postbacks(memory, rows)


def check_revisions(memory):
    """Revisions of an event are 1..n without a gap, and each says something else than the one before."""
    by_event = {}
    for row in memory.rows():
        by_event.setdefault(row["event_id"], []).append(row)
    for rows in by_event.values():
        assert [row["revision"] for row in rows] == list(range(1, len(rows) + 1))


def check_postbacks(memory, rows):
    """Rule 12: a conversion is reported once; what comes later about it is a restatement. Tests are never reported.

    What a destination was told last of a conversion is what its row says. What turns out to be none is not taken back (rule 12: only ok
    conversions are reported): two that a payload before both makes one by its window, a referral whose customer is found to be the member.
    """
    requests = memory.postbacks()
    first = Counter(rows[request["event_id"]]["identity"] for request in requests if request["kind"] == "conversion")
    assert all(r["follows"] in {request["postback_id"] for request in requests} for r in requests if r["kind"] != "conversion")
    assert not any(rows[request["event_id"]]["is_test"] for request in requests)
    live = {event_id: row for event_id, row in rows.items() if row["status"] == "ok" and not row["is_test"]}
    if not any(row["source_id"].startswith(("brief", "edit", "refer")) for row in rows.values()):
        assert first == Counter(row["identity"] for row in live.values())
    told = {request["event_id"]: request for request in sorted(requests, key=lambda request: request["revision"])}
    for event_id, row in live.items():
        assert (told[event_id]["value"], told[event_id]["click_id"]) == (row["value"], row["click_id"])


def test_the_same_history_twice_is_the_same_log():
    """Determinism: replaying the log reproduces the log, byte for byte."""
    history = [
        ("click", {"id": "A", "property": "p1", "time": BASE + 9 * 4 * DAY, "email": set(), "phone": set(), "ip": set(), "owner": None})
    ]
    base = {
        "source": "a",
        "property": "p1",
        "tx": "T1",
        "name": "Purchase",
        "value": 5,
        "status": "approved",
        "ref": None,
        "cid": "A",
        "email": None,
        "phone": None,
        "ip": None,
        "test": False,
    }
    history += [("payload", {**base, "time": BASE + 10 * 4 * DAY}) for _ in range(3)]
    logs = [live_through(history, random.Random(1))[0].log for _ in range(2)]
    assert logs[0] == logs[1]


def judged_in_chunks_of(chunk):
    rng = random.Random(5)
    memory = Memory(WORKSPACE, partitions=2, pii_key=PII)
    for i in range(60):
        receive_click(
            memory,
            {"id": f"K{i % 20}", "property": "p1", "time": BASE + i * DAY, "email": set(), "phone": set(), "ip": set(), "owner": None},
            BASE + 100 * DAY,
        )
    memory.run(lambda waiting: (waiting[0], chunk))
    for i in range(200):
        p = {"source": "a", "property": "p1", "tx": f"T{rng.randrange(90)}", "name": rng.choice(["Purchase", "AddToCart"]), "status": "approved", "value": 9,
             "cid": f"K{rng.randrange(25)}", "email": None, "phone": None, "ip": None, "ref": None, "test": False, "time": BASE + 30 * DAY}  # fmt: skip
        receive_payload(memory, p, BASE + 100 * DAY + i)
    memory.run(lambda waiting: (waiting[0], chunk))
    return sorted((row["event_id"], row["revision"], orjson.dumps(row)) for row in memory.rows())


@pytest.mark.parametrize("chunk", [7, 500, 1_000_000])
def test_any_chunking_is_the_same_rows(chunk):
    """The same records in chunks of 7, 500 or all at once give the rows of one by one, byte for byte."""
    one_by_one = judged_in_chunks_of(1)
    assert len(one_by_one) == 200
    assert judged_in_chunks_of(chunk) == one_by_one
