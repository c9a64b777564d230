"""Every example of a preset through the real thing: signed and sent over HTTP as its sender does, to its row in ClickHouse.

Each example gets an account, a property and sources of its own in one installation, so that all of them go through it together. Clicks are
written to Kafka as ingest would, because they are older than the test; the examples' days are in the past or not, so no window limits them.
"""

import asyncio
import http.client
import shutil
import time
import urllib.request
from decimal import Decimal
from hashlib import sha256

import orjson
import pytest
import yaml
from aiokafka import AIOKafkaProducer

from schemas.event import CONTENT_TYPE, METHOD
from schemas.presets import names as preset_names
from streams.identifiers import key as identifier_key
from streams.partition import partition_of
from streams.topology import VISITS
from tests import senders
from tests.golden import examples
from tests.integration.test_up import Installation

NAMES = [name for name in examples.names() if name.startswith("preset-")]
PARTITIONS = 4
LONG_AGO_MS = 1_577_836_800_000  # 2020: before anything that an example says
REFUSED = {"preset-clickbank-wrong-secret": 403}  # its bytes were accepted before the secret was changed; here they come after
SAME = (
    "status", "reason", "sub_reason", "message", "view_status", "click_id", "match_kind", "conversion_name", "original_name", "original_status",
    "conversion_status", "transaction_id", "currency", "is_test",
)  # fmt: skip


class Story:
    """One example, moved into an account of its own."""

    def __init__(self, number, name):
        self.name, self.example = name, examples.load(name)
        self.account, self.property = f"account-{number}", f"shop-{number}"
        self.workspace = examples.workspace_of(self.example)
        self.ids = {source["id"]: f"x{number}-{source['id']}" for source in self.example["settings"]["sources"]}
        self.sent = []  # (source id, SHA-256 of the bytes as sent), in order

    def settings(self):
        site = {"id": self.property, "name": self.name, "account_id": self.account, "attribution": {"window_days": None}}
        sources = [
            {**source, "id": self.ids[source["id"]], "name": self.name, "property_id": self.property}
            for source in self.example["settings"]["sources"]
        ]
        return site, sources

    def visits(self, pii):
        for number, step in enumerate(self.example["steps"]):
            if "visit" in step:
                made = examples.visit(self.workspace, **step["visit"])
                made["identifiers"] = [(kind, identifier_key(kind, step["visit"][kind], pii)) for kind, _ in made["identifiers"]]
                at = {"occurred_ms": LONG_AGO_MS + number, "received_ms": LONG_AGO_MS + number}
                yield made | at | {"account_id": self.account, "property_id": self.property}

    def requests(self):
        """(payload's source, method, target, body, headers), signed."""
        for step in self.example["steps"]:
            if "payload" in step:
                payload = step["payload"]
                source = self.workspace.source(payload["source"], self.workspace.version).source
                body, headers = examples.body_of(payload, self.workspace)
                target = f"/in/{self.ids[source.id]}"
                if headers.get(METHOD) == "GET":
                    yield source, "GET", target + "?" + body.decode(), b"", {}
                    continue
                body, proof = senders.signed(source.auth and source.auth.model_dump(mode="json"), body)
                yield source, "POST", target, body, proof | {"Content-Type": headers[CONTENT_TYPE]}


@pytest.fixture(scope="module")
def stories():
    return [Story(number, name) for number, name in enumerate(NAMES)]


@pytest.fixture(scope="module")
def installation(tmp_path_factory, stories):
    made = Installation(tmp_path_factory.mktemp("presets"))
    try:
        flags = [part for name, port in made.ports.items() for part in (f"--{name}-port", str(port))]
        made.command("up", "--detach", "--no-seed", *flags)
        sites, sources = zip(*(story.settings() for story in stories), strict=True)
        file = made.folder / "workspace.yaml"
        file.write_text(yaml.safe_dump({"properties": list(sites), "sources": [source for some in sources for source in some]}))
        made.run("apply", "-f", str(file))
        asyncio.run(write_visits(made, stories))
        yield made
    finally:
        made.command("down", codes=(0, 1, 2))
        for process in made.processes():
            process.kill()
        shutil.rmtree(made.folder, ignore_errors=True)


async def write_visits(installation, stories):
    pii = (installation.folder / "pii.key").read_bytes().strip()
    async with AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{installation.ports['kafka']}", linger_ms=20) as producer:
        for visit in (visit for story in stories for visit in story.visits(pii)):
            key = visit["click_id"].encode()
            await producer.send(VISITS.name, orjson.dumps(visit), key, partition=partition_of(key, PARTITIONS))


def ask(installation, method, target, body, headers):
    """(status, body). Written to the socket as it stands: a client that knows URLs would take `#S1#` for a fragment."""
    connection = http.client.HTTPConnection("127.0.0.1", installation.ports["ingest"], timeout=15)
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_every_preset_has_a_story():
    assert {name for name in preset_names() if any(story.startswith(f"preset-{name}-") for story in NAMES)} == set(preset_names())


def test_what_is_not_signed_is_refused(installation, stories):
    """A source with the secret of its sender takes nothing from anybody else."""
    refused = set()
    for story in stories:
        for source, method, target, body, headers in story.requests():
            if source.auth is not None:
                bare = body.partition(b"&sha_sign=")[0] if source.auth.kind != "clickbank" else b"{}"
                status, _ = ask(installation, method, target, bare, {"Content-Type": headers["Content-Type"]})
                assert status in (401, 403), story.name
                refused.add(source.preset)
                break
    assert refused == {"stripe", "shopify", "woocommerce", "digistore24", "clickbank"}


def test_each_payload_becomes_the_row_that_its_example_says(installation, stories):
    """A01 A16 A27 A39: each sender's parameters, its own slot for the click id, its retries and status changes."""
    for story in stories:
        for source, method, target, body, headers in story.requests():
            status, said = ask(installation, method, target, body, headers)
            if story.name in REFUSED:
                assert status == REFUSED[story.name]
                continue
            assert status == (202 if source.answer is None else 200), (story.name, said)
            assert source.answer is None or said.decode() == source.answer
            stored = body or target.partition("?")[2].encode()
            story.sent.append((story.ids[source.id], sha256(stored).hexdigest()))
    wanted = {story.name: story.example["expect"] for story in stories if story.name not in REFUSED}
    began, differing = time.monotonic(), wanted
    while differing and time.monotonic() - began < 30:
        time.sleep(0.3)
        rows = current_rows(installation)
        differing = {story.name: found for story in stories if story.name in wanted and (found := difference(story, rows))}
    print(f"\n{sum(map(len, wanted.values()))} rows as expected after {time.monotonic() - began:.1f} s")
    assert differing == {}


def current_rows(installation):
    """(source id, SHA-256 of the payload) -> rows in log order."""
    statement = "SELECT * FROM events ORDER BY partition, offset FORMAT JSONEachRow"
    url = f"http://127.0.0.1:{installation.ports['clickhouse']}/?database=clicktrail&output_format_json_quote_decimals=1"
    found = {}
    with urllib.request.urlopen(urllib.request.Request(url, data=statement.encode()), timeout=10) as response:
        for line in response.read().splitlines():
            row = orjson.loads(line)
            found.setdefault((row["source_id"], row["payload_sha256"]), []).append(row)
    return found


def difference(story, rows):
    """What of a story's rows is not as its example says; None when all of it is."""
    left = {place: list(rows.get(place, ())) for place in story.sent}
    try:
        mine = [left[place].pop(0) for place in story.sent]
    except IndexError:
        return f"{sum(len(rows.get(place, ())) for place in set(story.sent))} of {len(story.sent)} rows"
    ids = [row["event_id"] for row in mine]
    wanted = [examples.filled(row, ids) for row in story.example["expect"]]
    return [
        pair for pair in ((shown(row, want, ids), expected(want)) for row, want in zip(mine, wanted, strict=True)) if pair[0] != pair[1]
    ] or None


def expected(want):
    """Of an expectation what does not depend on when it was sent."""
    found = {name: want[name] for name in (*SAME, *examples.LINKS, "parameters") if name in want}
    return found | ({"value": Decimal(want["value"])} if want.get("value") is not None else {})


def shown(row, want, ids):
    found = {name: row[name] for name in SAME if name in want}
    for name, column in examples.LINKS.items():
        if name in want:
            found[name] = ids.index(row[column]) + 1 if row[column] in ids else row[column]
    if "parameters" in want:
        found["parameters"] = {name: row["parameters"].get(name) for name in want["parameters"]}
    return found | ({"value": row["value"] and Decimal(str(row["value"]))} if want.get("value") is not None else {})
