"""Traffic in families, and what must become of it.

A family is what belongs together: some clicks, some payloads with two transaction ids among them, all names, addresses and numbers its own.
So the oracle, which compares everything with everything, judges thousands of payloads in families of ten. The vocabulary is the one of
tests/model: sources with each way of dedup, properties with each model of attribution, refunds, tests, what is not mapped, what is found by
e-mail, phone or IP, clicks that come late: one in a family at most, to be found in one way, so that the evidence of what it heals is no chance.

What was *sent* decides nothing: payloads are read back from the log with their places, times and the settings' version they carry.
"""

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import orjson

from bench.chaos.judge import Brief
from bench.fault_rig import PII_KEY
from schemas.event import SETTINGS_VERSION, SOURCE
from streams.identifiers import key
from streams.stage import RecordLike
from tests.model.oracle import DAY, judge

PLAIN: dict[str, Any] = {"window": 30 * DAY, "model": "last_click", "fallback": False, "ip": False, "least": 0}
POLICIES = {
    "p1": PLAIN,
    "p2": PLAIN,
    "p3": {"window": 20 * DAY, "model": "first_click", "fallback": True, "ip": True, "least": 8 * DAY},
}
# Dedup mode, and its window in ms: two payloads of a family are received some milliseconds apart, or seconds under a fault.
SOURCES: dict[str, tuple[str, int | None]] = {
    "a": ("ignore", None), "b": ("ignore", None), "brief": ("ignore", 50), "add": ("add_value", 365 * DAY), "edit": ("edit", 365 * DAY),
    "create": ("create", 50), "refer": ("refer", None), "flip": ("ignore", None),
}  # fmt: skip
NAMES = ["Purchase", "Lead"]
FLIPPED = [*NAMES, "AddToCart"]  # the settings fault maps this name, and takes it away again
BEHAVIOURS = ("plain", "flaky", "slow")


class Family(NamedTuple):
    """`clicks` come before the payloads, `late` behind them; `payloads` are in the oracle's words, with their number in the family."""

    number: int
    clicks: list[dict[str, Any]]
    late: list[dict[str, Any]]
    payloads: list[dict[str, Any]]


def workspace(destination_url: str) -> str:
    """The workspace file (JSON is YAML)."""
    properties = [{"id": name, "name": name, "attribution": _attribution(policy)} for name, policy in POLICIES.items()]
    sources = [source(name, where, NAMES) for name in SOURCES for where in POLICIES]
    pauses = {"timeout_s": 3, "connect_timeout_s": 2, "retry_after_s": [0.5] * 40}
    destinations = [{"id": name, "name": name, "url": f"{destination_url}/{name}?c={{click_id}}", "sending": pauses} for name in BEHAVIOURS]
    return orjson.dumps({"properties": properties, "sources": sources, "destinations": destinations}).decode()


def source(name: str, where: str, events: list[str]) -> dict[str, Any]:
    """One source of a property."""
    mapping = {
        "click_id": "cid", "events": events, "test": "test", "time": "time", "transaction_id": "tx", "ip": "ip",
    }  # fmt: skip
    mode, window = SOURCES[name]
    more: dict[str, Any] = {}
    if mode == "refer":
        more = {"fraud": {"one_referral_per": "email", "self_referral": True}}
    elif window is not None:
        more = {"dedup": {"mode": mode, "transaction_window_days": window / DAY}}
    return {"id": f"{name}-{where}", "name": name, "kind": "postback", "property_id": where, "mapping": mapping, **more}


def _attribution(policy: dict[str, Any]) -> dict[str, Any]:
    return {
        "window_days": policy["window"] / DAY, "model": policy["model"], "fallback_to_refs_on_unknown_click": policy["fallback"],
        "ip_matching": policy["ip"], "min_click_to_conversion_s": policy["least"] / 1000,
    }  # fmt: skip


def families(first: int, count: int, seed: int) -> list[Family]:
    """Families with numbers of their own; the same for the same seed, apart from the day that their times hang on."""
    rng = random.Random(seed)
    today = int(time.time() * 1000) // DAY * DAY
    return [_family(number, rng, today - 60 * DAY) for number in range(first, first + count)]


def _family(number: int, rng: random.Random, base: int) -> Family:
    emails = [f"u{number}-{i}@example.com" for i in range(3)]
    phones = [f"+49301{number:06d}{i}" for i in range(2)]
    ips = [f"{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.{i}" for i in range(1, 3)]
    is_crowded = rng.random() < 0.5

    def some(values: Sequence[str], most: int) -> list[str]:
        return rng.sample(list(values), rng.randint(0, most))

    def click(name: str) -> dict[str, Any]:
        return {
            "id": f"{number}{name}", "property": "p1" if is_crowded else rng.choice(["p1", "p1", "p3", "p3", "p2"]), "time": base + rng.randint(4, 11) * 4 * DAY,
            "ip": set(some(ips, 1)), "owner": rng.choice([None, None, *emails]), "email": set(some(emails, 2)), "phone": set(some(phones, 1)),
        }  # fmt: skip

    clicks = [click(name) for name in "ABCD"[: rng.randint(2, 4)]]
    late = [_found_one_way(click("L"), rng)] if rng.random() < 0.4 else []
    ids = [c["id"] for c in clicks + late if not c.get("is_unnamed")] + [f"{number}Z"]

    def payload(i: int) -> dict[str, Any]:
        return {
            "n": f"{number}.{i}", "family": number, "source": rng.choice(["a", "a", "b", "brief", "add", "add", "edit", "edit", "create", "refer", "refer", "flip"]),
            "value": rng.choice([5, 7]), "property": "p1" if is_crowded else rng.choice(["p1", "p1", "p3", "p3", "p2"]),
            "tx": f"{number}-{rng.choice(['T1', 'T1', 'T2'])}", "name": rng.choice(["Purchase"] * 4 + ([] if is_crowded else ["Lead", "AddToCart"])),
            "status": rng.choice(["approved"] * 6 + ["refunded"] + ([] if is_crowded else ["pending"])),
            "cid": rng.choice([None, None, *ids]), "email": rng.choice([None, None, *emails]), "phone": rng.choice([None, None, *phones]),
            "ref": None, "ip": rng.choice([None, *ips]), "test": rng.random() < 0.15, "time": base + rng.randint(9, 12) * 4 * DAY,
        }  # fmt: skip

    payloads = [payload(i) for i in range(rng.randint(2, 8))]
    payloads += [rng.choice(payloads) for _ in range(rng.randint(0, 2))]  # a sender's retries: the same bytes again
    return Family(number, clicks, late, payloads)


def _found_one_way(click: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A late click that payloads can find by its id only, or by one address or number only: which of several ways heals first is chance, and
    stands in the row's evidence.
    """
    ways = [(kind, one) for kind in ("email", "phone") for one in sorted(click[kind])]
    click |= {"email": set(), "phone": set(), "ip": set()}
    if ways and rng.random() < 0.6:
        kind, one = rng.choice(ways)
        click |= {kind: {one}, "is_unnamed": True}
    return click


def body(payload: dict[str, Any]) -> bytes:
    """A payload as its sender writes it."""
    said = {"n": payload["n"], "tx": payload["tx"], "event": payload["name"], "status": payload["status"], "value": payload["value"]}
    said |= {"time": payload["time"], "test": "1" if payload["test"] else "0"}
    return orjson.dumps(said | {name: payload[name] for name in ("cid", "email", "phone", "ip") if payload[name]})


def probe(number: int, base_ms: int) -> Family:
    """The smallest family that needs every role: a click and a conversion of it."""
    click = {
        "id": f"{number}A", "property": "p1", "time": base_ms - 2 * DAY, "ip": set(), "owner": None, "email": set(), "phone": set(),
    }  # fmt: skip
    payload = {
        "n": f"{number}.0", "family": number, "source": "a", "value": 5, "property": "p1", "tx": f"{number}-T1", "name": "Purchase", "status": "approved",
        "cid": f"{number}A", "ref": None, "email": None, "phone": None, "ip": None, "test": False, "time": base_ms - DAY,
    }  # fmt: skip
    return Family(number, [click], [], [payload])


def visit(click: dict[str, Any], received_ms: int) -> bytes:
    """A click as ingest would log it."""
    pii = PII_KEY.encode()
    found = [("email", key("email", e, pii)) for e in sorted(click["email"])]
    found += [("phone", key("phone", p, pii)) for p in sorted(click["phone"])] + [("ip", key("ip", a, pii)) for a in sorted(click["ip"])]
    owner = [("email", key("email", click["owner"], pii))] if click["owner"] else []
    return orjson.dumps({
        "visit_id": f"v{click['id']}", "kind": "click", "account_id": "default", "property_id": click["property"], "click_id": click["id"],
        "occurred_ms": click["time"], "received_ms": received_ms, "campaign_id": "c1", "traffic_source_id": None, "identifiers": found, "owner": owner,
        "lander_id": None, "offer_id": None, "parameters": {}, "device_type": None, "browser": None, "os": None, "ip": None, "country": None,
        "referrer": None, "url": None,
    })  # fmt: skip


Flips = Mapping[str, Sequence[tuple[int, bool]]]
"""Source -> (version of the settings, whether AddToCart is mapped from then on)."""


def as_received(records: Iterable[RecordLike], known: Mapping[str, dict[str, Any]], flips: Flips) -> list[tuple[str, dict[str, Any]]]:
    """Payloads as the log has them, in log order: event id, and the oracle's words with the time of receipt. Bodies that are not ours (poison)
    are left out: the oracle has no words for them.
    """
    found = []
    for record in records:
        payload = known.get(_number(record.value or b""))
        if payload is None:
            continue
        payload = dict(payload, u=record.timestamp)
        headers = {name: value.decode() for name, value in record.headers}
        if payload["name"] == "AddToCart" and is_mapped(flips.get(headers[SOURCE], ()), int(headers[SETTINGS_VERSION])):
            payload["name"] = "Cart"  # any name that is mapped
        found.append((f"e1-{record.partition}-{record.offset}", payload))
    return found


def _number(value: bytes) -> str:
    try:
        said = orjson.loads(value)
    except orjson.JSONDecodeError:
        return ""
    return str(said.get("n", "")) if isinstance(said, dict) else ""


def is_mapped(flips: Sequence[tuple[int, bool]], version: int) -> bool:
    """Whether AddToCart was mapped in this version."""
    return next((is_on for since, is_on in reversed(flips) if since <= version), False)


def expected(received: list[tuple[str, dict[str, Any]]], clicks: dict[int, list[dict[str, Any]]]) -> dict[str, Brief]:
    """What the oracle says of each payload, by event id. `clicks`: family -> the clicks that the log has, in its order."""
    wanted: dict[str, Brief] = {}
    in_families = sorted(received, key=lambda one: one[1]["family"])  # stable: log order within a family
    for number, members in groupby(in_families, key=lambda one: one[1]["family"]):
        ids, payloads = zip(*members, strict=True)
        judged = judge(list(payloads), clicks.get(number, []), SOURCES, POLICIES)
        for event_id, (status, reason, click_id, target, value) in zip(ids, judged, strict=True):
            wanted[event_id] = (status, reason, click_id, None if target is None else ids[target], value)
    return wanted
