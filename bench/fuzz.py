"""`python -m bench fuzz`: a million mutated payloads through parse, mapping, dedup, attribution and templates. No crash, and none unaccounted for.

The seeds are the golden examples (`schemas/examples/`): every sender, form and rule that is known, under its own settings. A payload is cut, spliced
with another one, given hostile values, told to be of another content type; its example's mapping is changed now and then, too. Then all goes
through the product's own stages on lists. What must hold: no exception, exactly one current row with a known status for each payload, every postback
request can be populated for its destination, and its address is one that a URL parser takes.

An own mutator, not atheris: coverage feedback needs a build of its own and finds what C code does with bytes; the code that reads payloads here is
Python over orjson and urllib, where hostile *values in the right places* find more than bit flips. A failing payload is printed with its
example, so that it can become one. Each worker has its own seed; the same seed makes the same payloads.
"""

import os
import random
import time
import traceback
from base64 import b64encode
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from bench.driver import keep
from schemas.destinations import Destination
from schemas.event import CONTENT_TYPE, METHOD, QUERY
from schemas.reasons import STATUSES
from streams.delivery.message import NotSent
from streams.delivery.template import made
from streams.runtime.memory import Memory
from streams.workspace import Workspace
from tests.golden import examples

AT_ONCE = 250  # payloads of one example in one memory
WORKERS = 2
SIZES = {"1m": 1_000_000, "200k": 200_000, "50k": 50_000}
SHOWN = 20
WORDS = tuple(status.code for status in STATUSES)
HOSTILE = (
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"%", b"%00", b"%u0041", b"%FF%FE", b"=", b"&", b"&&;;", b"[]", b"[0][1][2]", b"{", b"}}", b'"', b"\\", b"\\ud800",
    b"null", b"NaN", b"-Infinity", b"1e999", b"1e-999", b"-0", b"0x10", b"9" * 400, b"1" + b"0" * 5000, b"0." + b"0" * 300 + b"1", b"1,234.56", b"1.234,56",
    "١٢٣".encode(), "€5".encode(), "\u202e\u200b".encode(), "🧨".encode() * 50, b"a" * 70_000, b"[" * 1500, b'{"a":' * 500, b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"<a>" * 400,
    b"0001-01-01", b"9999-12-31T23:59:60Z", b"-99999999999999", b"253402300800000", b"{click_id}", b"[[MACRO]]", b"#S2#", b"${x}", b"'; DROP TABLE events;--",
    b"=cmd|' /C calc'!A0", b"../../etc/passwd", b"\r\nX-Injected: 1", b"a@" * 300, b"(a+)+" * 20, b"|" * 300, b"+" * 300, b"true", b"[{}]", b'{"":{"":""}}',
)  # fmt: skip
TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "application/xml",
    "text/plain",
    "multipart/form-data; boundary=x",
    "a/b; charset=utf-16",
    "",
)
TRANSFORMS = ("|lower", "|upper", "|trim", "|starts:a", "|when:a=b", "|digits", "|split:-,1", "|x", "|" * 3, "|when:=", "|starts:")


class Seed(NamedTuple):
    """A payload of an example."""

    source: str
    value: bytes
    headers: dict[str, str]
    received_ms: int


class Story(NamedTuple):
    """An example: its settings, its visits and its payloads."""

    name: str
    example: dict[str, Any]
    workspace: Workspace
    visits: list[dict[str, Any]]
    seeds: list[Seed]


def stories() -> list[Story]:
    """Every example that has a payload."""
    found = []
    for name in examples.names():
        example = examples.load(name)
        workspace = examples.workspace_of(example)
        visits = [examples.visit(workspace, **step["visit"]) for step in example["steps"] if "visit" in step]
        payloads = [step["payload"] for step in example["steps"] if "payload" in step]
        seeds = [Seed(payload["source"], *examples.body_of(payload, workspace), examples.ms(payload["at"])) for payload in payloads]
        if seeds:
            found.append(Story(name, example, workspace, visits, seeds))
    return found


class Mutator:
    """Makes payloads out of payloads."""

    def __init__(self, chance: random.Random, pool: list[Seed]) -> None:
        self._chance = chance
        self._pool = pool

    def of(self, seed: Seed) -> Seed:
        """A payload that resembles the seed."""
        value, headers = seed.value, dict(seed.headers)
        for _ in range(self._chance.randint(1, 4)):
            value = self._changed(value)
        if self._chance.random() < 0.15:
            headers[CONTENT_TYPE] = self._chance.choice(TYPES)
        if self._chance.random() < 0.1:
            headers[METHOD] = self._chance.choice(("GET", "POST", "PUT", ""))
        if self._chance.random() < 0.1:
            headers[QUERY] = self._changed(self._chance.choice(self._pool).value[:2000]).decode("utf-8", "replace")
        return Seed(seed.source, value, headers, seed.received_ms)

    def _changed(self, value: bytes) -> bytes:
        chance = self._chance
        at, to = sorted((chance.randint(0, len(value)), chance.randint(0, len(value))))
        kind = chance.randrange(8)
        if kind == 0:
            return value[:at] + value[to:] if to - at < 40 else value[:at]
        if kind == 1:
            return value[:at] + chance.choice(HOSTILE) + value[at:]
        if kind == 2:
            other = chance.choice(self._pool).value
            return value[:at] + other[chance.randint(0, len(other)) :]
        if kind == 3:
            return value[:at] + bytes((chance.randrange(256),)) + value[at + 1 :]
        if kind == 4:
            return value[:to] + value[at:to] + value[to:]
        return self._with_value(value)

    def _with_value(self, value: bytes) -> bytes:
        """Put a hostile value where a value stands, in whatever form this is."""
        chance, hostile = self._chance, self._chance.choice(HOSTILE)
        starts = [at for at, byte in enumerate(value[:4000]) if byte in b'=:>"']
        if not starts:
            return hostile
        at = chance.choice(starts) + 1
        end = min((found for sign in b'&,"<}' if (found := value.find(sign, at)) >= 0), default=len(value))
        return value[:at] + (quote(hostile).encode() if chance.random() < 0.3 else hostile) + value[end:]


def remapped(story: Story, chance: random.Random) -> Workspace:
    """The example's settings with another mapping; as they were where such a mapping cannot be saved, which is an answer, too."""
    example = {**story.example, "settings": {**story.example.get("settings", {})}}
    seed = chance.choice(story.seeds)
    fields = ("click_id", "transaction_id", "value", "currency", "status", "email", "phone", "external_id", "event_time", "name", "ip")
    names = ("sub5", "id", "a.b.c", "items[0].price", "é", "x" * 300, "*", "", ".", "a..b", "payout", "status", "[", "(a+)+$")
    mapping = {chance.choice(fields): chance.choice(names) + chance.choice((*TRANSFORMS, "", "", "")) for _ in range(3)}
    example["settings"]["sources"] = [*example["settings"].get("sources", []), {"id": seed.source, "mapping": mapping}]
    try:
        return examples.workspace_of(example)
    except ValueError:  # pydantic's ValidationError is one, and so is a clear refusal of ours
        return story.workspace


def one_round(story: Story, workspace: Workspace, payloads: list[Seed], found: Counter[str]) -> None:
    """Judge these payloads and account for them. AssertionError names what was not."""
    memory = Memory(workspace, pii_key=examples.PII)
    for visit in story.visits:
        memory.visit(visit)
    ids = set()
    for payload in payloads:
        record = memory.payload(payload.source, payload.value, received_ms=payload.received_ms, headers=payload.headers)
        ids.add(f"e1-{record.partition}-{record.offset}")
    memory.run()
    rows = memory.events()
    assert rows.keys() == ids, f"{len(ids)} payloads, {len(rows)} rows"
    assert all(row["status"] in WORDS for row in rows.values())
    found.update(row["status"] for row in rows.values())
    for request in memory.postbacks():
        destination = workspace.get("destination", request["destination_id"])
        assert isinstance(destination, Destination)
        try:
            url = made(request, destination, request["requested_ms"] or 0).url
        except NotSent:
            found["postbacks not sent"] += 1
            continue
        before, after = urlsplit(destination.url), urlsplit(url)
        assert (before.scheme, before.netloc) == (after.scheme, after.netloc), url[:200]
        assert url.isascii(), url[:200]
        assert url.isprintable(), url[:200]
        found["postbacks"] += 1


def work(count: int, seed: int) -> dict[str, Any]:
    """Fuzz `count` payloads; returns what became of them, and every crash with what made it."""
    chance = random.Random(seed)
    all_of = stories()
    mutator = Mutator(chance, [each for story in all_of for each in story.seeds])
    found: Counter[str] = Counter()
    crashes: list[dict[str, str]] = []
    done = slowest = 0.0
    while done < count:
        story = chance.choice(all_of)
        payloads = [mutator.of(chance.choice(story.seeds)) for _ in range(min(AT_ONCE, count - int(done)))]
        workspace = remapped(story, chance) if chance.random() < 0.2 else story.workspace
        began = time.perf_counter()
        try:
            one_round(story, workspace, payloads, found)
        except Exception:  # noqa: BLE001  whatever it is, it is what we look for
            crashes += culprits(story, workspace, payloads)
        slowest = max(slowest, (time.perf_counter() - began) / len(payloads))
        done += len(payloads)
    return {"payloads": int(done), "outcomes": dict(found), "crashes": crashes, "slowest_round_ms_per_payload": round(slowest * 1000, 2)}


def culprits(story: Story, workspace: Workspace, payloads: list[Seed]) -> list[dict[str, str]]:
    """Which payloads of a round raise when they are alone; the whole round when none does."""
    crashes = []
    for payload in payloads:
        try:
            one_round(story, workspace, [payload], Counter())
        except Exception:  # noqa: BLE001
            crashes.append(_crash(story, payload))
    if crashes:
        return crashes
    try:
        one_round(story, workspace, payloads, Counter())
    except Exception:  # noqa: BLE001
        return [_crash(story, payloads[0]) | {"payload": f"a round of {len(payloads)}"}]
    return []


def _crash(story: Story, payload: Seed) -> dict[str, str]:
    return {
        "example": story.name, "source": payload.source, "payload": b64encode(payload.value[:4000]).decode(), "headers": str(payload.headers)[:500],
        "error": traceback.format_exc()[-1500:],
    }  # fmt: skip


def measure(rounds: int = 1, size_name: str = "1m") -> list[dict[str, Any]]:
    """Fuzz with two workers that get out of everybody's way; returns and keeps one result per round."""
    results = []
    for number in range(rounds):
        began, count = time.monotonic(), SIZES[size_name] // WORKERS
        with ProcessPoolExecutor(WORKERS, initializer=os.nice, initargs=(19,)) as pool:
            parts = list(pool.map(work, [count] * WORKERS, range(number * WORKERS, (number + 1) * WORKERS)))
        outcomes: Counter[str] = sum((Counter(part["outcomes"]) for part in parts), Counter())
        crashes = [crash for part in parts for crash in part["crashes"]]
        result = {
            "payloads": sum(part["payloads"] for part in parts), "crashes": len(crashes), "outcomes": dict(outcomes),
            "rows": sum(outcomes[word] for word in WORDS), "seconds": round(time.monotonic() - began, 1), "examples": len(examples.names()),
            "slowest_round_ms_per_payload": max(part["slowest_round_ms_per_payload"] for part in parts), "date": time.strftime("%Y-%m-%d"),
        }  # fmt: skip
        for crash in crashes[:SHOWN]:
            print(crash, flush=True)
        print(result, flush=True)
        results.append(result)
    print(f"written to {keep('fuzz', results)}")
    return results
