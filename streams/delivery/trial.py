"""The test button of a destination: a real event's postback, populated; shown, or sent once with a mark that it is a test.

The same code makes and judges it as for every other postback, so what is shown is what will be sent. A test goes past the send ledger: it has
an id of its own (`test-…`), is in no row, and says that it is one (header X-Clicktrail-Test, Meta's and TikTok's test_event_code, Google's validateOnly).
"""

import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.destinations import Destination
from streams.delivery.client import Client
from streams.delivery.guard import networks
from streams.delivery.message import Answer
from streams.delivery.outcome import Outcome, judged
from streams.delivery.request import Made, made
from streams.postback import told_of, traffic_source_of
from streams.runtime.settings import Settings
from streams.workspace import Workspace


class Trial(NamedTuple):
    """What a test was, and what became of it; without a send, `answer` and `outcome` are None."""

    ready: Made
    answer: Answer | None = None
    outcome: Outcome | None = None
    duration_ms: int | None = None


def request_of(
    event: Mapping[str, Any], visit: Mapping[str, Any] | None, destination: Destination, workspace: Workspace, kind: str = "conversion"
) -> dict[str, Any]:
    """A request as the ledger would make it now, from rows of the views `events` and `visits`."""
    rules = workspace.source(event["source_id"], workspace.version)
    source = traffic_source_of(workspace, event, workspace.version)
    names = destination.conversion_names
    name = event["conversion_name"]
    details = {} if visit is None else {
        "i": visit.get("ip"), "a": visit.get("user_agent"), "k": visit.get("country"), "l": visit.get("lander_id"), "f": visit.get("offer_id"),
        "u": visit.get("url"), "q": visit.get("parameters"),
    }  # fmt: skip
    return {
        "postback_id": f"test-{event['event_id']}.{destination.id}", "kind": kind, "restates_event_id": None, "follows": None, "is_test": True,
        **{field: event.get(field) for field in ("event_id", "revision", "click_id", "conversion_name", "transaction_id", "campaign_id",
                                                 "traffic_source_id", "account_id", "property_id", "currency", "settings_version")},
        "destination_id": destination.id, "integration_id": destination.integration_id, "ct": name if names is None else names.get(name, name),
        "value": None if event.get("value") is None else f"{event['value'].normalize():f}", "event_ms": int(event["event_time"].timestamp() * 1000),
        **told_of(rules, source, dict(event.get("parameters") or {}), destination), "click": {field: value for field, value in details.items() if value},
    }  # fmt: skip


async def tried(settings: Settings, destination: Destination, request: dict[str, Any], *, is_sending: bool) -> Trial:
    """Populate a request, and send it if that is wanted. NotSent when there is nothing to send."""
    ready = made(request, destination, 1, time.time_ns() // 1_000_000)
    if not is_sending:
        return Trial(ready)
    client = Client(destination, networks(settings.delivery.allow_networks), ssl.create_default_context(cafile=settings.delivery.ca_bundle))
    try:
        began = time.monotonic()
        answer = await client.send(ready.http._replace(headers=ready.http.headers | {"X-Clicktrail-Test": "1"}))
        return Trial(ready, answer, judged(answer, destination), int((time.monotonic() - began) * 1000))
    finally:
        await client.close()
