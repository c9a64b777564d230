"""Ingest's routes as an OpenAPI document, for schemathesis alone, and what is sent by it: everything that the routes allow, and much that they don't."""

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import status_code_conformance

ANSWERS = {str(code): {"description": ""} for code in (200, 202, 204, 302, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 503)}
BODIES = {
    kind: {"schema": schema}
    for kind, schema in {
        "application/json": {},
        "application/x-www-form-urlencoded": {"type": "object", "additionalProperties": {"type": "string"}},
        "text/plain": {"type": "string"},
        "application/octet-stream": {"type": "string", "format": "binary"},
    }.items()
}
SEEN = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["visit", "click", "lander_click", "identify", "x", None]}, "click_id": {}, "url": {}, "occurred_ms": {}, "parameters": {},
        "email": {}, "phone": {}, "external_id": {}, "user_agent": {}, "country": {}, "member": {}, "language": {}, "referrer": {},
    },
}  # fmt: skip


def _place(name, *values):
    return {"name": name, "in": "path", "required": True, "schema": {"enum": [*values, "nobody", "é%"]}}


def _query(*names):
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]


def _operation(*parameters, body=None):
    return {"parameters": list(parameters), "responses": ANSWERS} | ({"requestBody": {"content": body}} if body else {})


SOURCE = _place("source", "net", "ok", "token", "hook", "standard", "listed")
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "ingest", "version": "1"},
    "paths": {
        "/in/{source}": {
            "get": _operation(SOURCE, *_query("sub5", "txid", "payout", "status")), "post": _operation(SOURCE, *_query("sub5", "x"), body=BODIES),
        },
        "/in/{source}/bulk": {"post": _operation(SOURCE, body=BODIES)},
        "/t/{site}": {"post": _operation(_place("site", "shop"), body={"application/json": {"schema": SEEN}})},
        "/t/{site}.gif": {"get": _operation(_place("site", "shop"), *_query("kind", "click_id", "url", "email"))},
        "/go/{campaign}": {"get": _operation(_place("campaign", "c1", "c2", "c3"), *_query("click_id", "sub1", "adclid", "lander"))},
        "/tag.js": {"get": _operation()},
    },
}  # fmt: skip
HEADERS = {"allow_redirects": False, "timeout": 60}


def exercise(address, examples):
    """Send `examples` requests to each route; returns (route, status, body) of each answer. AssertionError for a status that the document has not."""
    found = []
    for operation in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations():

        @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.ok().as_strategy())
        def send(case):
            answer = case.call(base_url=address, **HEADERS)
            assert answer.status_code != 500, (case, answer.text)
            case.validate_response(answer, checks=[status_code_conformance])
            found.append((case.path, answer.status_code, answer.json() if "json" in str(answer.headers.get("content-type")) else {}))

        send()
    return found
