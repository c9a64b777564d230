"""A hundred random histories and more against the oracle: any order of arrival, any chunking, crashes at any step, late clicks.

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
EXAMPLES = int(os.environ.get("HISTORIES", "300"))
EMAILS = [f"u{i}@example.com" for i in range(3)]
PHONES = ["+493012345", "+493099999"]


def workspace():
    made = Workspace()
    for version, (kind, name, value) in enumerate([
        ("property", "p1", {}), ("property", "p2", {}),
        *[("source", f"{s}-{p}", {"kind": "postback", "property_id": p, "mapping": {
            "click_id": "cid", "events": ["Purchase", "Lead"], "test": "test", "time": "time", "transaction_id": "tx"}})
          for s in ("a", "b") for p in ("p1", "p2")],
        ("destination", "d1", {"url": "https://example.com/?c={click_id}"}),
    ]):  # fmt: skip
        made.apply(version, kind, name, {"id": name, "name": name, **value})
    return made


WORKSPACE = workspace()

clicks = st.lists(
    st.fixed_dictionaries({
        "id": st.sampled_from("ABCDE"), "property": st.sampled_from(["p1", "p1", "p1", "p2"]), "time": st.integers(0, 12).map(lambda d: BASE + d * 4 * DAY),
        "email": st.sets(st.sampled_from(EMAILS), max_size=2), "phone": st.sets(st.sampled_from(PHONES), max_size=1),
    }), max_size=6, unique_by=lambda c: (c["id"], c["time"]),
)  # fmt: skip
payloads = st.lists(
    st.fixed_dictionaries({
        "source": st.sampled_from("ab"), "property": st.sampled_from(["p1", "p1", "p1", "p2"]), "tx": st.sampled_from(["T1", "T2"]),
        "name": st.sampled_from(["Purchase", "Purchase", "Lead", "AddToCart"]),
        "status": st.sampled_from(["approved", "approved", "approved", "pending", "refunded"]),
        "cid": st.sampled_from([None, *"ABCDEZ"]), "email": st.sampled_from([None, *EMAILS]), "phone": st.sampled_from([None, *PHONES]),
        "test": st.sampled_from([False, False, False, True]), "time": st.integers(8, 12).map(lambda d: BASE + d * 4 * DAY),
    }), min_size=1, max_size=8,
)  # fmt: skip


def receive_click(memory, click, now):
    identifiers = [("email", key("email", e, PII)) for e in sorted(click["email"])] + [
        ("phone", key("phone", p, PII)) for p in sorted(click["phone"])
    ]
    memory.visit({
        "visit_id": f"v{click['id']}{click['time']}", "kind": "click", "account_id": "default", "property_id": click["property"], "click_id": click["id"],
        "occurred_ms": click["time"], "received_ms": now, "identifiers": identifiers, "campaign_id": "c1", "traffic_source_id": None,
        "lander_id": None, "offer_id": None, "parameters": {},
    })  # fmt: skip


def receive_payload(memory, p, now):
    body = {"tx": p["tx"], "event": p["name"], "status": p["status"], "value": "9.90", "time": p["time"], "test": "1" if p["test"] else "0"}
    body |= {name: p[name] for name in ("cid", "email", "phone") if p[name]}
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
                seen.append((item, receive_payload(memory, item, now)))
        else:
            crash_safe_step(memory, rng.choice(memory.waiting()), rng.choice([1, 1, 2, 7, 500]), rng.random() < 0.1)
    return memory, seen


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clicks, payloads, st.integers(0, 2**32))
def test_any_order_of_arrival_ends_in_the_same_rows(clicks, payloads, seed):
    rng = random.Random(seed)
    history = [("click", c) for c in clicks] + [("payload", p) for p in payloads]
    rng.shuffle(history)
    memory, seen = live_through(history, rng)
    wanted = judge([p for p, _ in seen], [item for kind, item in history if kind == "click"])
    ids = [f"e1-{record.partition}-{record.offset}" for _, record in seen]
    rows = memory.events()
    assert set(rows) == set(ids), "every payload has exactly one current row"
    for at, want in enumerate(wanted):
        row = rows[ids[at]]
        target = row["duplicate_of"] or row["parent_event_id"]
        got = (row["status"], row["reason"], row["click_id"], ids.index(target) if target else None)
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
    """Rule 12: a conversion is reported once; what comes later about it is a restatement. Tests are never reported."""
    first = Counter()
    for request in memory.postbacks():
        row = rows[request["event_id"]]
        if request["kind"] == "conversion":
            first[row["property_id"], row["transaction_id"], row["conversion_name"]] += 1
        assert not row["is_test"]
    assert all(count == 1 for count in first.values()), first
    live = {
        (r["property_id"], r["transaction_id"], r["conversion_name"]) for r in rows.values() if r["status"] == "ok" and not r["is_test"]
    }
    assert set(first) == live


def test_the_same_history_twice_is_the_same_log():
    """Determinism: replaying the log reproduces the log, byte for byte."""
    history = [("click", {"id": "A", "property": "p1", "time": BASE + 9 * 4 * DAY, "email": set(), "phone": set()})]
    base = {
        "source": "a",
        "property": "p1",
        "tx": "T1",
        "name": "Purchase",
        "status": "approved",
        "cid": "A",
        "email": None,
        "phone": None,
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
            memory, {"id": f"K{i % 20}", "property": "p1", "time": BASE + i * DAY, "email": set(), "phone": set()}, BASE + 100 * DAY
        )
    memory.run(lambda waiting: (waiting[0], chunk))
    for i in range(200):
        p = {"source": "a", "property": "p1", "tx": f"T{rng.randrange(90)}", "name": rng.choice(["Purchase", "AddToCart"]), "status": "approved",
             "cid": f"K{rng.randrange(25)}", "email": None, "phone": None, "test": False, "time": BASE + 30 * DAY}  # fmt: skip
        receive_payload(memory, p, BASE + 100 * DAY + i)
    memory.run(lambda waiting: (waiting[0], chunk))
    return sorted((row["event_id"], row["revision"], orjson.dumps(row)) for row in memory.rows())


@pytest.mark.parametrize("chunk", [7, 500, 1_000_000])
def test_any_chunking_is_the_same_rows(chunk):
    """The same records in chunks of 7, 500 or all at once give the rows of one by one, byte for byte."""
    one_by_one = judged_in_chunks_of(1)
    assert len(one_by_one) == 200
    assert judged_in_chunks_of(chunk) == one_by_one
