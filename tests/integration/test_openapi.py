"""The OpenAPI document is valid, says what the table says, and schemathesis finds no answer that it does not allow.

schemathesis sends what the document allows and what it does not, to the real server over a real engine. What it may not find: an answer 500, a
status or a content type that is not in the document, a JSON that is not of the announced shape, nonsense that is taken, and a route that lets
in whoever has no token.
"""

import asyncio
import threading

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from console import api
from console.server.openapi import document
from schemas.reasons import REASONS, STATUSES
from sinks.feeds import FEEDS
from tests.integration.console_rig import Console
from tests.integration.sink_rig import row, visit

EXAMPLES = 5  # at random for each route, beside those that schemathesis makes of every bound and word
ALIKE = r"^/api/v1/((integration-events|system-logs|visits|postbacks|dead-letters)([.].*)?|(events|activity)[.](json|ndjson|parquet)|activity[.]csv|problems)$"
DOCUMENT = document(api.ROUTES)
CHECKS = [
    status_code_conformance, content_type_conformance, response_schema_conformance, negative_data_rejection, ignored_auth,
    unsupported_method,
]  # fmt: skip
SCHEMA = (
    schemathesis.openapi.from_dict(DOCUMENT).exclude(path="/api/v1/stream/events").exclude(path_regex=ALIKE)
)  # one never ends, the others are made by the same line


@pytest.fixture(scope="module")
def console(clickhouse, tmp_path_factory):
    """The server in a thread with a loop of its own: schemathesis is synchronous."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start():
        console = Console(clickhouse, "console_openapi", tmp_path_factory.mktemp("openapi"), requests_per_s=100_000)
        await console.__aenter__()
        console.with_people()
        await console.put(FEEDS[0], [row(number, click_id="clk1") for number in range(30)])
        await console.put(FEEDS[1], [visit(1)])
        return console

    found = asyncio.run_coroutine_threadsafe(start(), loop).result(120)
    yield found
    asyncio.run_coroutine_threadsafe(found.__aexit__(None, None, None), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_the_document_is_valid_openapi():
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_document_has_every_route_with_its_right_and_its_refusals():
    for route in api.ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        assert operation["x-permission"] == route.may
        assert operation["summary"] == route.doc
        assert {"400", "503"} <= operation["responses"].keys()
        assert ("401" in operation["responses"]) == (route.may is not None or "unknown_token" in route.refusals)
    ids = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_the_words_of_filters_are_in_the_document():
    parameters = {found["name"]: found["schema"] for found in DOCUMENT["paths"]["/api/v1/events"]["get"]["parameters"]}
    assert parameters["status"]["items"]["enum"] == [*(status.code for status in STATUSES), ""]
    assert parameters["reason"]["items"]["enum"] == [*(reason.code for reason in REASONS), ""]
    assert (parameters["limit"]["minimum"], parameters["limit"]["maximum"]) == (1, 500)


@SCHEMA.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_nothing_surprises_the_server(console, case):
    token = console.tokens["owner"]
    response = case.call(base_url=console.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert response.status_code != 500, response.text  # 503 is right: this rig has no broker
    case.validate_response(response, checks=CHECKS)
