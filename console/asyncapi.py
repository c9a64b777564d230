"""`clicktrail schema asyncapi`: the topics as an AsyncAPI 3 document, made from the topology, for whoever reads or writes them with code of their own.

Payloads, visits, verdicts, requests, attempts and activity have their schemas: they may get fields, and lose none while they are v1
(`tests/contract/test_evolution.py`). Lookups, matches, deliveries and the states' changelogs are between our own roles; they are listed, so
that a cluster's owner knows what lies there, and promised to nobody.
"""

import json
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from schemas import event
from schemas.postbacks import Attempt, PostbackRequest
from streams.runtime.settings_store import Activity
from streams.topology import ACTIVITY, ATTEMPTS, DEAD_LETTERS, EVENTS, PAYLOADS, POSTBACKS, ROLES, SETTINGS, TOPICS, VISITS, Topic

JSON_SHAPES: dict[Topic, Any] = {
    VISITS: event.Visit, EVENTS: event.Row, POSTBACKS: PostbackRequest, ATTEMPTS: Attempt, ACTIVITY: Activity,
}  # fmt: skip
PAYLOAD_HEADERS = {
    event.SOURCE: "source_id of the route that it came by",
    event.SETTINGS_VERSION: "offset in clicktrail.settings.v1 of the settings that it is judged with",
    event.RECEIPT: "ingest's id of the accepted request",
    event.METHOD: "GET or POST; absent means POST. The value of a GET is its raw query string",
    event.CONTENT_TYPE: "as the sender gave it",
    event.QUERY: "raw query string of a POST that had one",
    event.SENDER_IP: "address of the sender",
    event.USER_AGENT: "user agent of the sender",
    event.TRACEPARENT: "W3C trace context, if it is a valid one",
}
DEAD_HEADERS = {
    "origin_topic": "where the record stood", "origin_partition": "where the record stood", "origin_offset": "where the record stood",
    "origin_timestamp": "its time, epoch milliseconds", "error": "class of the error", "reason": "the error in words",
    "failed_at_ms": "when it was given up, epoch milliseconds",
}  # fmt: skip
SETTING = {
    "type": "object",
    "required": ["entity", "entity_id", "value", "author", "reason", "changed_at_ms"],
    "properties": {
        "entity": {"type": "string"}, "entity_id": {"type": "string"},
        "value": {"type": ["object", "null"], "description": "as in the workspace file (`clicktrail schema workspace`); null deletes"},
        "author": {"type": "string"}, "reason": {"type": "string"}, "changed_at_ms": {"type": "integer"},
    },
}  # fmt: skip


def document(bootstrap_servers: str = "127.0.0.1:9092") -> dict[str, Any]:
    """Return the AsyncAPI document of these brokers."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Clicktrail", "version": version("clicktrail"),
            "description": "One payload, one verdict. Times ending in _ms are epoch milliseconds, money is a decimal string with its currency.",
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": bootstrap_servers.split(",", maxsplit=1)[0], "protocol": "kafka"}},
        "channels": {_name(topic): _channel(topic) for topic in TOPICS},
        "operations": {
            f"{role.name}-{verb}s-{_name(topic)}": {
                "action": verb, "channel": {"$ref": f"#/channels/{_name(topic)}"}, "summary": role.doc,
            }
            for role in ROLES for verb, topics in (("receive", role.inputs), ("send", role.outputs)) for topic in topics
        },
    }  # fmt: skip


def text() -> str:
    """Return the document as JSON."""
    return json.dumps(document(), indent=2)


def _name(topic: Topic) -> str:
    return topic.name.replace(".", "-")


def _channel(topic: Topic) -> dict[str, Any]:
    return {"address": topic.name, "description": topic.doc, "messages": {"record": _message(topic)}}


def _message(topic: Topic) -> dict[str, Any]:
    """What a record is: its headers, its value; for what is between our roles, only that it is JSON."""
    if topic == PAYLOADS:
        return {
            "contentType": "application/octet-stream", "summary": "the body as received, or the raw query string of a GET",
            "headers": _headers(PAYLOAD_HEADERS, [event.SOURCE, event.SETTINGS_VERSION]),
        }  # fmt: skip
    if topic in DEAD_LETTERS:
        return {
            "contentType": "application/octet-stream",
            "summary": "the record's own bytes",
            "headers": _headers(DEAD_HEADERS, [*DEAD_HEADERS]),
        }
    if topic == SETTINGS:
        return {"payload": SETTING}
    if (shape := JSON_SHAPES.get(topic)) is not None:
        schema = TypeAdapter(shape).json_schema()
        return {"payload": {**schema, "description": " ".join((shape.__doc__ or "").split())}}
    if topic.is_state:
        return {"contentType": "application/octet-stream", "summary": "between our own roles: its form may change with any version"}
    return {"summary": "between our own roles: its form may change with any version", "payload": {"type": "object"}}


def _headers(meanings: dict[str, str], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object", "required": required,
        "properties": {name: {"type": "string", "description": meaning} for name, meaning in meanings.items()},
    }  # fmt: skip
