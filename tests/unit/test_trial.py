"""The test button shows what will be sent: the same parameters and the same hashes as the ledger's own request has, and nobody's e-mail."""

from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest

from streams.delivery import trial
from streams.delivery.request import made
from streams.runtime.memory import Memory
from streams.workspace import Workspace

AT = 1_790_000_000_000
META = {"id": "m", "name": "M", "kind": "conversion_api", "url": "https://m.example", "meta": {"pixel_id": "77", "access_token": "t0ken"}}
PLAIN = {"id": "p", "name": "P", "url": "https://p.example/?c={click_id}&mail={var:mail}&x={externalid}&tx={transaction_id}"}


@pytest.fixture(scope="module")
def memory():
    workspace = Workspace()
    for version, (kind, name, value) in enumerate((
        ("property", "shop", {"id": "shop", "name": "Shop"}),
        ("source", "net", {"id": "net", "name": "Net", "kind": "webhook", "property_id": "shop",
                           "mapping": {"click_id": "cid", "transaction_id": "tx", "value": "amount", "email": "mail"}}),
        ("traffic_source", "ads", {"id": "ads", "name": "Ads", "click_id_parameter": "adclick"}), ("campaign", "k", {"id": "k", "name": "K", "property_id": "shop", "traffic_source_id": "ads"}),
        ("destination", "m", META), ("destination", "p", PLAIN),
    )):  # fmt: skip
        workspace.apply(version, kind, name, value)
    memory = Memory(workspace)
    memory.visit({
        "visit_id": "v", "kind": "click", "account_id": "default", "property_id": "shop", "click_id": "c1", "occurred_ms": AT - 5_000, "received_ms": AT - 5_000,
        "identifiers": [], "campaign_id": "k", "traffic_source_id": None, "lander_id": None, "offer_id": None, "parameters": {"adclick": "X-9"},
    })  # fmt: skip
    memory.run()
    memory.payload("net", b'{"cid":"c1","tx":"T1","amount":"12.50","mail":"Ann@Shop.example","status":"approved"}', received_ms=AT)
    memory.run()
    return memory


@pytest.mark.parametrize("destination_id", ["m", "p"])
def test_it_is_made_of_what_the_ledger_would_send(memory, destination_id):
    (row,) = memory.events().values()
    assert row["status"] == "ok"
    (real,) = [request for request in memory.postbacks() if request["destination_id"] == destination_id]
    event = row | {"event_time": datetime.fromtimestamp(AT / 1000, UTC), "value": Decimal(row["value"])}
    destination = memory.workspace.get("destination", destination_id)
    request = trial.request_of(event, {"parameters": {"adclick": "X-9"}}, destination, memory.workspace)
    for field in ("parameters", "user", "value", "ct", "transaction_id", "click_id", "event_ms", "external_id_parameter"):
        assert request.get(field) == real.get(field), field
    shown = made(request, destination, 1, AT)
    assert "ann@shop" not in f"{shown.url}{shown.text}".lower()
    if destination_id == "m":
        assert orjson.loads(shown.http.body)["data"][0]["user_data"]["em"] == [real["user"]["email"]]
    else:
        assert shown.url == "https://p.example/?c=c1&mail=&x=X-9&tx=T1"
