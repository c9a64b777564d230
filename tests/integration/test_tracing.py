"""OpenTelemetry, as its collector sees it: one event's way through all roles under the sender's trace, and nothing of anybody else's."""

import asyncio
import time
import urllib.request
from collections import defaultdict

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from streams.runtime.role_ports import ROLES
from tests.integration.roles_rig import WORKSPACE, Roles

SENDERS_SPAN = "00f067aa0ba902b7"
DESTINATION = """
destinations: [{{id: ads, name: Ads, url: "http://127.0.0.1:{port}/ads?c={{click_id}}"}}]
"""


class Collector:
    """Takes OTLP over HTTP on loopback: spans by trace, each as (service, name, parent, span id, attributes); `/ads` is a destination."""

    async def __aenter__(self):
        self.spans, self.bytes = defaultdict(list), b""
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        app.router.add_get("/ads", self._ads)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _ads(self, _request):
        return web.Response(text="OK")

    async def _take(self, request):
        body = await request.read()
        self.bytes += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    said = {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}
                    self.spans[span.trace_id.hex()].append((service, span.name, span.parent_span_id.hex(), span.span_id.hex(), said))
        return web.Response()


@pytest.fixture
async def collector():
    async with Collector() as collector:
        yield collector


EXPECTED = {
    ("clicktrail-ingest", "GET /in"),
    ("clicktrail-ledger", "process clicktrail.payloads.v1"),
    ("clicktrail-attribution", "process clicktrail.lookups.v1"),
    ("clicktrail-ledger", "process clicktrail.matches.v1"),
    ("clicktrail-sink", "insert clicktrail.events.v1"),
    ("clicktrail-delivery", "process clicktrail.postbacks.v1"),
    ("clicktrail-delivery", "postback ads"),
}


async def test_one_events_way_across_the_roles(collector, clickhouse, tmp_path):
    broker = Kafka(tmp_path / "kafka", port=free_port())
    await asyncio.to_thread(broker.start)
    environment = {
        "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers, "CLICKTRAIL_PARTITIONS": "2", "CLICKTRAIL_CLICKHOUSE__URL": clickhouse.url,
        "CLICKTRAIL_CLICKHOUSE__DATABASE": "tracing", "CLICKTRAIL_DELIVERY__ALLOW_NETWORKS": "127.0.0.0/8",
        "CLICKTRAIL_TRACING__ENDPOINT": f"http://127.0.0.1:{collector.port}/v1/traces", "CLICKTRAIL_TRACING__RATIO": "0",
    }  # fmt: skip
    try:
        with Roles(tmp_path, environment) as roles:
            await asyncio.to_thread(send_everything, roles, collector.port)
            traced = collector.spans["4bf92f3577b34da6a3ce929d0e0e4736"]
            ends_at = time.monotonic() + 120
            while not {(service, name) for service, name, *_ in traced} >= EXPECTED:
                roles.all_run()
                assert time.monotonic() < ends_at, traced
                await asyncio.sleep(0.3)
    finally:
        await asyncio.to_thread(broker.kill)
    (root,) = [span for span in traced if span[0] == "clicktrail-ingest"]
    assert root[2] == SENDERS_SPAN
    assert root[4] == {"http.response.status_code": 202}
    assert {span[2] for span in traced if span is not root} == {root[3]}, "all others are ingest's children"
    (postback,) = [span for span in traced if span[1] == "postback ads"]
    assert postback[4]["http.response.status_code"] == 200
    assert list(collector.spans) == ["4bf92f3577b34da6a3ce929d0e0e4736"], "neither what the sender does not sample nor what has no trace"
    assert not [word for word in (b"visitor@example.com", b"T-traced", b"c1") if word in collector.bytes]


def send_everything(roles, port):
    roles.cli("topics", "apply")
    roles.cli("migrate")
    roles.apply_workspace(WORKSPACE + DESTINATION.format(port=port))
    for role in ROLES:
        roles.start(role)
    roles.click("c1")
    roles.send(sub5="c1", txid="T-plain", payout="5", status="approved")
    for number, (trace, flags) in enumerate((("a" * 32, "00"), ("4bf92f3577b34da6a3ce929d0e0e4736", "01"))):
        url = (
            f"http://127.0.0.1:{roles.ingest_port}/in/net?sub5=c1&txid=T-traced-{number}&payout=5&status=approved&email=visitor@example.com"
        )
        request = urllib.request.Request(url, headers={"traceparent": f"00-{trace}-{SENDERS_SPAN}-{flags}"})
        urllib.request.urlopen(request, timeout=30).close()
