"""The examples of `schemas/examples/`: loading them, and running one through the topology in memory.

An example is a story: visits and payloads in the order in which they arrive, then what the current row of each payload says. `{1}` in an
expected text stands for the event id of the first payload. A field that the expectation does not name is not compared.
"""

import json
from base64 import b64decode
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

import orjson
import yaml

from schemas import workspace as workspace_file
from schemas.event import CONTENT_TYPE, METHOD, QUERY
from streams.identifiers import keys, network
from streams.runtime.memory import Memory
from streams.workspace import Workspace
from tests.senders import clickbank

FOLDER = Path(__file__).parents[2] / "schemas" / "examples"
PII = b"memory"
KINDS = ("email", "phone", "external_id", "ip")
LINKS = {"duplicate_of": "duplicate_of", "parent": "parent_event_id"}
BODIES = {"json": "application/json", "sealed": "application/json", "form": "application/x-www-form-urlencoded"}


def names():
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def workspace_of(example):
    """The base workspace with the example's settings over it, checked as `clicktrail apply` checks it."""
    data = yaml.safe_load((FOLDER / "workspace.yaml").read_text())
    for section, items in example.get("settings", {}).items():
        for item in items:
            base = next((old for old in data.setdefault(section, []) if old["id"] == item["id"]), None)
            if base is None:
                data[section].append({"name": item["id"], **item})
            else:
                base.update(_laid_over(base, item))
    made = Workspace()
    for kind, entity_id, model in workspace_file.check(data).entities():
        made.apply(made.version + 1, kind, entity_id, model.model_dump(mode="json", exclude_unset=True))  # as `apply` stores it
    return made


def _laid_over(base, item):
    if not isinstance(base, dict) or not isinstance(item, dict):
        return item
    return base | {name: _laid_over(base.get(name), value) for name, value in item.items()}


def ms(text):
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def receive(memory, step):
    """Append a step's record to its topic; returns the payload's event id, None for a visit."""
    if "visit" in step:
        memory.visit(visit(memory.workspace, **step["visit"]))
        return None
    value, headers = body_of(step["payload"], memory.workspace)
    record = memory.payload(step["payload"]["source"], value, received_ms=ms(step["payload"]["at"]), headers=headers)
    return f"e1-{record.partition}-{record.offset}"


def visit(workspace, click_id=None, at="", property="shop", received=None, campaign=None, traffic_source=None, member=None, **identifiers):  # noqa: A002
    """A visit as ingest makes it: identifiers hashed with the property's switches."""
    site = workspace.get("property", property)

    def hashed(person):
        aliases, by_network = site.attribution.gmail_aliases, site.attribution.ipv6_by_network
        said = {kind: network(person[kind]) if kind == "ip" and by_network else person[kind] for kind in KINDS if kind in person}
        return [(kind, found) for kind, text in said.items() for found in keys(kind, text, PII, aliases)]

    return {
        "visit_id": f"v{ms(at)}", "kind": "click", "account_id": site.account_id, "property_id": site.id, "click_id": click_id,
        "occurred_ms": ms(at), "received_ms": ms(received or at), "identifiers": hashed(identifiers), "campaign_id": campaign,
        "traffic_source_id": traffic_source, "lander_id": None, "offer_id": None, "parameters": {},
    } | ({"owner": hashed(member)} if member else {})  # fmt: skip


def body_of(payload, workspace):
    """(bytes, headers) of a payload. `sealed` is what ClickBank encrypts: the example shows what is inside."""
    headers = {}
    if payload.get("method") == "GET":
        return payload["query"].encode(), {METHOD: "GET"}
    if "query" in payload:
        headers[QUERY] = payload["query"]
    if "json" in payload:
        value = orjson.dumps(payload["json"])
    elif "sealed" in payload:
        secret = workspace.get("source", payload["source"]).auth.secret.get_secret_value()
        clear = orjson.dumps(payload["sealed"])
        value = clickbank(secret, clear, sha256(clear).digest()[:16])
    elif "form" in payload:
        value = urlencode(payload["form"]).encode()
    elif "text" in payload:
        value = payload["text"].encode()
    else:
        value = b64decode(payload.get("base64", ""))
    kind = payload.get("content_type") or next((kind for name, kind in BODIES.items() if name in payload), None)
    return value, headers | ({CONTENT_TYPE: kind} if kind else {})


def run(example):
    """(memory, event ids of the payloads): each step settles before the next one arrives."""
    memory = Memory(workspace_of(example), pii_key=PII)
    ids = []
    for step in example["steps"]:
        event_id = receive(memory, step)
        if event_id is not None:
            ids.append(event_id)
        memory.run()
    return memory, ids


def shown(row, ids, wanted):
    """The fields of a row that an expectation names, with payloads by their number."""
    found = {}
    for name in wanted:
        if name in LINKS:
            target = row[LINKS[name]]
            found[name] = ids.index(target) + 1 if target else None
        else:
            found[name] = row[name]
        if isinstance(wanted[name], dict):  # parameters, evidence: only what is named
            found[name] = {inner: found[name].get(inner) for inner in wanted[name]}
    return found


def filled(value, ids):
    """An expected value with `{1}` replaced by the event id of payload 1."""
    if isinstance(value, str):
        for number, event_id in enumerate(ids, 1):
            value = value.replace(f"{{{number}}}", event_id)
    elif isinstance(value, dict):
        return {name: filled(inner, ids) for name, inner in value.items()}
    elif isinstance(value, list):
        return [filled(inner, ids) for inner in value]
    return value
