"""Ingest against a real broker: bytes exact, answers as promised, and nothing that was answered 2xx is ever lost."""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import hmac
import json
import os
import random
import re
import signal
import sys
import time
from urllib.parse import parse_qs, urlsplit

import aiohttp
import mmdb_writer
import netaddr
import pytest
from yarl import URL

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from streams.identifiers import key as identifier_key
from streams.ingest.producer import Producer
from streams.partition import partition_of
from streams.runtime import topics
from streams.runtime.errors import BadSettings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Change, SettingsStore
from streams.topology import PAYLOADS, VISITS
from tests import command_line
from tests.integration.ingest_document import exercise
from tests.integration.ingest_rig import PARTITIONS, PII_KEY, Tail, running, settings_for

SECRET = "s3cret"
MIB = 1 << 20
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"


def source(source_id, **more):
    return Change("source", source_id, {"id": source_id, "name": source_id, "kind": "postback", "property_id": "shop"} | more)


WORKSPACE = [
    Change("property", "shop", {"id": "shop", "name": "Shop"}),
    source("net"),
    source("ok", answer="OK"),
    source("token", auth={"kind": "token", "token": SECRET}),
    source("hook", auth={"kind": "hmac", "secret": SECRET, "header": "X-Signature", "encoding": "base64", "prefix": "sha256="}),
    source("standard", auth={"kind": "standard_webhooks", "secret": "whsec_" + base64.b64encode(b"key").decode()}),
    source("listed", allow_ips=["10.0.0.0/8"]),
    source("slow", rate_limit_per_s=2.0),
    Change("lander", "page", {"id": "page", "name": "Page", "url": "https://page.example/p?a=1#top"}),
    Change(
        "offer", "trial", {"id": "trial", "name": "Trial", "url": "https://net.example/o?s={click_id}&c=--CLICK-ID--&e=#adclid#&u={nope}"}
    ),
    Change("offer", "plain", {"id": "plain", "name": "Plain", "url": "https://net.example/o/8", "affiliate_network_id": "acme"}),
    Change("affiliate_network", "acme", {"id": "acme", "name": "Acme", "click_id_parameter": "sub5"}),
    Change("flow", "through", {"id": "through", "name": "Through", "paths": [{"lander_id": "page", "offer_id": "trial"}]}),
    Change("flow", "direct", {"id": "direct", "name": "Direct", "paths": [{"offer_id": "plain"}]}),
    Change("campaign", "c1", {"id": "c1", "name": "C1", "property_id": "shop", "flow_id": "through"}),
    Change("traffic_source", "ads", {"id": "ads", "name": "Ads", "click_id_parameter": "adclid"}),
    Change("lander", "macros", {"id": "macros", "name": "M", "url": "https://page.example/m?c={campaign.id}&from={externalid}"}),
    Change(
        "offer",
        "all",
        {
            "id": "all",
            "name": "All",
            "url": (
                "https://net.example/o?s={click_id}&e={externalid}&sub1={sub1}&sub2={sub2}&var={var:sub1}&campaign={campaign.id}&offer={offer.id}"
                "&lander={lander.id}&source={trafficsource.id}&ip={ip}&ua={ua}&country={country}&lang={language}&os={os}&t={timestamp}&r={random}&payout={payout}"
            ),
        },
    ),
    Change("flow", "macros", {"id": "macros", "name": "M", "paths": [{"lander_id": "macros", "offer_id": "all"}]}),
    Change("campaign", "c3", {"id": "c3", "name": "C3", "property_id": "shop", "flow_id": "macros", "traffic_source_id": "ads"}),
    Change("campaign", "c2", {"id": "c2", "name": "C2", "property_id": "shop", "flow_id": "direct"}),
]


@pytest.fixture(scope="module")
async def broker(tmp_path_factory):
    """A broker of our own: these tests kill it."""
    own = Kafka(tmp_path_factory.mktemp("ingest-kafka"), port=free_port())
    await asyncio.to_thread(own.start)
    try:
        settings = settings_for(own, tmp_path_factory.mktemp("settings"))
        await topics.create_missing(settings)
        feed = SettingsFeed(settings)
        await feed.start()
        await SettingsStore(settings, feed).apply(WORKSPACE, "test", "set up")
        await feed.stop()
        yield own
    finally:
        await asyncio.to_thread(own.kill)


@pytest.fixture(scope="module")
async def ingest(broker, tmp_path_factory):
    async with running(settings_for(broker, tmp_path_factory.mktemp("ingest"))) as address:
        yield address


@pytest.fixture(scope="module")
async def client():
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
async def payloads(broker):
    async with Tail(broker, PAYLOADS) as tail:
        yield tail


@pytest.fixture
async def visits(broker):
    async with Tail(broker, VISITS) as tail:
        yield tail


async def raw(address, request):
    """Send bytes as they are, return the answer's bytes: HTTP clients tidy up what real senders send."""
    url = URL(address)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(65536), 15)
    finally:
        writer.close()


def code_of(body):
    error = json.loads(body)["error"]
    assert error["message"]
    assert error["remedy"]
    return error["code"]


QUERIES = [
    b"",
    b"cid=1&amount=12.50",
    b"cid=%zz&x=%&y=%e2%28",
    b"name=caf\xe9&b=\xff\xfe",
    b"cid=#S1#&tx=1",
    b"a=1?b=2/3&c=[x]{y}|^`",
    b"a=+%2B%20&&=&a",
    b"q=" + b"x" * 20_000,
]


@pytest.mark.parametrize("query", QUERIES)
async def test_a_query_string_arrives_byte_for_byte(ingest, payloads, query):
    answer = await raw(ingest, b"GET /in/net?" + query + b" HTTP/1.1\r\nHost: x\r\nUser-Agent: Net\xe9/1\r\nConnection: close\r\n\r\n")
    assert b" 202 " in answer.split(b"\r\n")[0]
    record = await payloads.one()
    assert record.value == query
    headers = dict(record.headers)
    assert headers["ce_source"] == b"net"
    assert headers["method"] == b"GET"
    assert headers["settings"].isdigit()
    assert headers["ip"] == b"127.0.0.1"
    assert headers["user-agent"].decode().startswith("Net")
    assert abs(record.timestamp - time.time() * 1000) < 10_000


BODIES = [
    ("application/x-www-form-urlencoded", b"cid=1&email=a%40b.example&x=%zz"),
    ("application/json", b'{"click_id": "c1", "transaction_id": "T1", "value": 1.10}'),
    ("application/xml", b"<?xml version='1.0'?><order><id>7</id></order>"),
    ("application/json", b'{"broken": '),
    ("text/plain", b"\xff\xfe\x00binary\n\r\n"),
    ("application/octet-stream", os.urandom(MIB)),
    ("text/plain", b""),
]


@pytest.mark.parametrize(("content_type", "body"), BODIES, ids=lambda value: value if isinstance(value, str) else str(len(value)))
async def test_a_body_arrives_byte_for_byte_and_the_answer_names_its_event(ingest, payloads, client, content_type, body):
    async with client.post(f"{ingest}/in/net?q=caf%E9", data=body, headers={"Content-Type": content_type}) as response:
        assert response.status == 202
        answer = await response.json()
    record = await payloads.one()
    assert record.value == body
    headers = dict(record.headers)
    assert headers["content-type"] == content_type.encode()
    assert headers["query"] == b"q=caf%E9"
    assert answer["event_id"] == f"e1-{record.partition}-{record.offset}"
    assert answer["inspect"].endswith(f"/events/{answer['event_id']}")
    assert answer["receipt_id"].encode() == headers["receipt"]
    assert record.partition == partition_of(record.key.rpartition(b"#")[0], PARTITIONS)


async def test_the_key_is_the_home_of_the_identity(ingest, payloads, client):
    for body in (b'{"transaction_id": "T9", "click_id": "a"}', b'{"transaction_id": "T9", "click_id": "b", "status": "refunded"}'):
        async with client.post(f"{ingest}/in/net", data=body, headers={"Content-Type": "application/json"}) as response:
            assert response.status == 202
    keys = [record.key for record in await payloads.rest()]
    assert [key.rpartition(b"#")[0] for key in keys] == [b"default|shop|T9"] * 2
    assert len(set(keys)) == 2, "each record can be taken out of the log alone"


async def test_a_source_gets_the_answer_that_its_sender_wants(ingest, payloads, client):
    async with client.get(f"{ingest}/in/ok?x=1") as response:
        assert (response.status, await response.text()) == (200, "OK")
        assert response.headers["X-Clicktrail-Receipt"].encode() == dict((await payloads.one()).headers)["receipt"]


async def test_compressed_and_chunked_bodies(ingest, payloads, client):
    async def chunks():
        for piece in (b"a=1", b"&b", b"=2"):
            yield piece

    plain = b'{"click_id": "z"}' * 100
    async with client.post(f"{ingest}/in/net", data=chunks()) as response:
        assert response.status == 202
    async with client.post(f"{ingest}/in/net", data=gzip.compress(plain), headers={"Content-Encoding": "gzip"}) as response:
        assert response.status == 202
    assert {record.value for record in await payloads.rest()} == {b"a=1&b=2", plain}


async def too_much():
    for _ in range(20):
        yield b"x" * 65536


@pytest.mark.parametrize(
    ("path", "arguments", "status", "code"),
    [
        ("/in/nobody", {"data": b"x"}, 404, "unknown_source"),
        ("/elsewhere", {}, 404, "unknown_route"),
        ("/in/net", {"method": "PUT"}, 405, "method_not_allowed"),
        ("/in/net", {"data": b"x" * (MIB + 1)}, 413, "too_large"),
        ("/in/net", {"data": too_much}, 413, "too_large"),
        ("/in/net", {"data": gzip.compress(bytes(50 * MIB)), "headers": {"Content-Encoding": "gzip"}}, 413, "too_large"),
        ("/in/net", {"data": b"not gzip", "headers": {"Content-Encoding": "gzip"}}, 400, "broken_encoding"),
        ("/in/net", {"data": b"x", "headers": {"Content-Encoding": "br"}}, 415, "unknown_encoding"),
        ("/in/token", {"data": b"x"}, 401, "unauthorized"),
        ("/in/token?token=wrong", {"data": b"x"}, 403, "forbidden"),
        ("/in/hook", {"data": b"x"}, 401, "unauthorized"),
        ("/in/hook", {"data": b"x", "headers": {"X-Signature": "sha256=AAAA"}}, 403, "forbidden"),
        ("/in/listed", {"data": b"x"}, 403, "address_not_allowed"),
        ("/t/nothing", {"data": b"{}"}, 404, "unknown_property"),
        ("/t/shop", {"data": b"no json"}, 422, "invalid_visit"),
        ("/t/shop", {"data": b'{"kind": "purchase"}'}, 422, "invalid_visit"),
        ("/go/nothing", {"method": "GET"}, 404, "unknown_campaign"),
    ],
)
async def test_what_cannot_be_a_payload_is_refused_with_a_remedy(ingest, payloads, client, path, arguments, status, code):
    arguments = {"method": "POST"} | {name: value() if callable(value) else value for name, value in arguments.items()}
    async with client.request(url=f"{ingest}{path}", **arguments) as response:
        assert (response.status, code_of(await response.read())) == (status, code)
    assert await payloads.rest() == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/in/token?token={SECRET}", {}),
        ("/in/token", {"X-Clicktrail-Token": SECRET}),
        ("/in/token", {"Authorization": f"Bearer {SECRET}"}),
        ("/in/hook", {"X-Signature": "sha256=" + base64.b64encode(hmac.new(SECRET.encode(), b"body", hashlib.sha256).digest()).decode()}),
    ],
)
async def test_a_source_that_proves_itself_comes_in(ingest, payloads, client, path, headers):
    async with client.post(f"{ingest}{path}", data=b"body", headers=headers) as response:
        assert response.status == 202
    assert (await payloads.one()).value == b"body"


async def test_standard_webhooks_signatures_and_their_age(ingest, client):
    for age_s, status in ((0, 202), (1000, 403)):
        sent_at = str(int(time.time()) - age_s)
        signature = base64.b64encode(hmac.new(b"key", f"m1.{sent_at}.body".encode(), hashlib.sha256).digest()).decode()
        headers = {"webhook-id": "m1", "webhook-timestamp": sent_at, "webhook-signature": f"v1,AAAA v1,{signature}"}
        async with client.post(f"{ingest}/in/standard", data=b"body", headers=headers) as response:
            assert response.status == status


async def test_a_source_over_its_rate_is_told_when_to_come_again(ingest, client):
    statuses = []
    for _ in range(4):
        async with client.get(f"{ingest}/in/slow?x=1") as response:
            statuses.append(response.status)
    assert statuses[0] == 202
    assert statuses[-1] == 429
    assert int(response.headers["Retry-After"]) >= 1


async def test_head_and_options_record_nothing(ingest, payloads, client):
    async with client.head(f"{ingest}/in/net?x=1") as response:
        assert response.status == 200
    async with client.options(f"{ingest}/t/shop") as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert await payloads.rest() == []


async def test_broken_http_gets_our_error(ingest):
    answer = await raw(ingest, b"GET /in/net?x= y z HTTP/9.9\r\n\r\n")
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert code_of(answer.partition(b"\r\n\r\n")[2]) == "bad_request"


async def test_slow_headers_are_ended(ingest, monkeypatch):
    monkeypatch.setattr("streams.ingest.server.HEADER_S", 0.3)
    began = time.monotonic()
    assert (await raw(ingest, b"GET /in/net HTTP/1.1\r\nHost:")).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 3


async def test_slow_bodies_are_ended(ingest, monkeypatch):
    monkeypatch.setattr("streams.ingest.body.BODY_S", 0.3)
    answer = await raw(ingest, b"POST /in/net HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408")
    assert code_of(answer.partition(b"\r\n\r\n")[2]) == "too_slow"


async def test_bulk_takes_each_line_and_names_the_refused(ingest, payloads, client):
    lines = [b'{"n": %d}' % n for n in range(12_000)]
    lines[5], lines[70] = b"", b"x" * (MIB + 1)
    lines[7] = b"\xff not json"
    async with client.post(f"{ingest}/in/net/bulk", data=b"\r\n".join(lines)) as response:
        assert response.status == 202
        answer = await response.json()
    assert (answer["accepted"], answer["refused"]) == (11_998, 2)
    assert answer["refused_lines"] == [{"line": 6, "reason": "empty_line"}, {"line": 71, "reason": "too_large"}]
    records = await payloads.rest()
    assert sorted(record.value for record in records) == sorted(line for n, line in enumerate(lines) if n not in {5, 70})
    assert {dict(record.headers)["receipt"].decode() for record in records} == {answer["receipt_id"]}


async def test_a_csv_upload_is_a_payload_per_row_behind_its_header(ingest, payloads, client):
    table = b'order_id,note,value\r\nT1,"a, b",5\r\n\r\nT2,"two\r\nlines",6\r\nT3,"open,7'
    async with client.post(f"{ingest}/in/net/bulk", data=table, headers={"Content-Type": "text/csv; charset=utf-8"}) as response:
        assert response.status == 202
        answer = await response.json()
    assert (answer["accepted"], answer["refused_lines"]) == (3, [{"line": 3, "reason": "empty_line"}])
    records = await payloads.rest()
    rows = [b'T1,"a, b",5', b'T2,"two\nlines",6', b'T3,"open,7']
    assert sorted(record.value for record in records) == [b"order_id,note,value\n" + row for row in rows]
    async with client.post(f"{ingest}/in/net/bulk", data=b"x" * 70_000 + b"\n1\n", headers={"Content-Type": "text/csv"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (413, "too_large")


async def test_tag_events_become_visits_with_hashed_identifiers(ingest, visits, client):
    chrome = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"
    events = [
        {
            "kind": "visit",
            "click_id": "c-1",
            "url": "https://shop.example/?utm_source=ad&gclid=G1",
            "occurred_ms": int(time.time() * 1000) - 50,
        },
        {"kind": "identify", "click_id": "c-1", "email": " Ann@Example.com ", "phone": "+1 650 555 1212"},
        {"kind": "nonsense"},
    ]
    headers = {"User-Agent": chrome, "Accept-Language": "pt-BR,pt;q=0.9,en;q=0.5"}
    async with client.post(f"{ingest}/t/shop", data=json.dumps(events), headers=headers) as response:
        assert response.status == 202
        answer = await response.json()
    assert (answer["accepted"], [item["index"] for item in answer["refused"]]) == (2, [2])
    first, second = [json.loads(record.value) for record in sorted(await visits.rest(), key=lambda record: record.offset)]
    assert (first["kind"], first["click_id"], first["property_id"], first["account_id"]) == ("visit", "c-1", "shop", "default")
    assert first["parameters"] == {"utm_source": "ad", "gclid": "G1"}
    assert (first["device_type"], first["browser"], first["os"], first["ip"]) == ("mobile", "Chrome Mobile", "Android", "127.0.0.1")
    assert (first["is_bot"], first["user_agent"], first["language"], first["country"]) == (False, chrome, "pt-BR", None)
    assert first["occurred_ms"] < first["received_ms"]
    assert ["email", identifier_key("email", "ann@example.com", PII_KEY.encode())] in second["identifiers"]
    assert {kind for kind, _ in second["identifiers"]} == {"email", "phone", "ip"}
    assert "example.com" not in json.dumps(second["identifiers"])


REFUSED_EVENTS = [
    ({"type": "click"}, "Unknown field: type (did you mean kind?)", "The fields are: "),
    ({"occurred_at": 1, "zzz": 1}, "Unknown fields: occurred_at (did you mean occurred_ms?), zzz", "The fields are: "),
    ({"kind": "purchase"}, "kind: Input should be 'visit', 'click', 'lander_click' or 'identify'", "The fields are: "),
    ({"occurred_ms": "yesterday"}, "occurred_ms: Input should be a valid integer", "The fields are: "),
    ([], "The list is empty.", "Send one JSON object, or a list of them"),
    ([{}] * 1_001, "At most 1000 events at once.", "Send them in several requests."),
    ("broken", "The body is not JSON: ", "Send one JSON object, or a list of them"),
]


@pytest.mark.parametrize(("event", "what", "next_step"), REFUSED_EVENTS, ids=[what[:30] for _, what, _ in REFUSED_EVENTS])
async def test_a_tag_event_that_is_none_is_refused_by_its_field(ingest, visits, client, event, what, next_step):
    """Whoever reads answers learns at the first try what is not understood, and what may be meant."""
    body = b'{"kind":' if event == "broken" else json.dumps(event).encode()
    async with client.post(f"{ingest}/t/shop", data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 422
        error = (await response.json())["error"]
    assert what in error["message"]
    assert error["remedy"].startswith(next_step)
    assert await visits.rest() == []


async def test_a_beacon_is_taken_and_its_row_says_what_was_left_out(ingest, visits, client):
    """A page reads no answers and may have a newer tag: nothing of its event is lost that can be kept, and nothing is silent."""
    far = int(time.time() * 1000) + 86_400_000
    events = [{"click_id": "c-7", "type": "click", "occurred_ms": far}, {"click_id": "c-7", "url": "https://shop.example/?\ud800"}]
    body = json.dumps(events).encode()
    assert b"ud800" in body
    async with client.post(f"{ingest}/t/shop", data=body, headers={"Content-Type": "text/plain;charset=UTF-8"}) as response:
        assert response.status == 202
        answer = await response.json()
    first, second = [json.loads(record.value) for record in sorted(await visits.rest(), key=lambda record: record.offset)]
    note = f"'{far}' lies in the future, the time of receipt was taken"
    assert (first["kind"], first["occurred_ms"]) == ("visit", first["received_ms"])
    assert first["parameters"] == {"(occurred_ms)": note, "(ignored)": "type (did you mean kind?)"}
    assert second["url"] == "https://shop.example/?\ufffd"
    assert answer["warnings"] == [{"index": 0, "occurred_ms": note}, {"index": 0, "ignored": "type (did you mean kind?)"}]


async def test_the_country_comes_from_the_file_of_the_settings(broker, visits, client, tmp_path):
    """C05. What a server says of its visitor goes first: the connection is the server's."""
    writer = mmdb_writer.MMDBWriter(4)
    writer.insert_network(netaddr.IPSet(["127.0.0.0/8"]), {"country": {"iso_code": "DE"}})
    writer.to_db_file(str(tmp_path / "geo.mmdb"))
    async with running(settings_for(broker, tmp_path / "data", geoip_database=tmp_path / "geo.mmdb")) as address:
        events = [{"click_id": "c-9"}, {"click_id": "c-9", "country": "fr", "language": "nb", "user_agent": FIREFOX}]
        async with client.post(f"{address}/t/shop", data=json.dumps(events)) as response:
            assert response.status == 202
        async with client.get(f"{address}/go/c2", allow_redirects=False, headers={"User-Agent": "Googlebot/2.1"}) as response:
            assert response.status == 302
    found = [json.loads(record.value) for record in await visits.rest()]
    assert sorted((visit["kind"], visit["country"], visit["language"], visit["is_bot"]) for visit in found) == [
        ("click", "DE", None, True), ("visit", "DE", None, True), ("visit", "FR", "nb", False),
    ]  # fmt: skip


async def test_a_wrong_country_file_stops_the_role_with_a_remedy(broker, tmp_path):
    with pytest.raises(BadSettings, match="CLICKTRAIL_INGEST__GEOIP_DATABASE"):
        async with running(settings_for(broker, tmp_path, geoip_database=tmp_path / "nowhere.mmdb")):
            pass


async def test_the_pixel_and_the_tag_itself(ingest, visits, client):
    async with client.get(f"{ingest}/t/shop.gif?click_id=c-2&sub=x", headers={"Referer": "https://shop.example/thanks"}) as response:
        assert (response.status, response.content_type) == (200, "image/gif")
        assert (await response.read()).startswith(b"GIF89a")
    record = await visits.one()
    visit = json.loads(record.value)
    assert record.key.rpartition(b"#")[0] == b"c-2"
    assert (visit["kind"], visit["url"], visit["parameters"]) == ("visit", "https://shop.example/thanks", {"sub": "x"})
    async with client.get(f"{ingest}/tag.js") as response:
        script = await response.read()
    assert response.content_type == "text/javascript"
    assert len(gzip.compress(script)) < 2_048


async def test_a_tracking_link_records_the_click_and_fills_it_in(ingest, visits, client):
    async with client.get(f"{ingest}/go/c1?adclid=A%201&sub1=s", allow_redirects=False) as response:
        assert response.status == 302
        to_page = urlsplit(response.headers["Location"])
    click = json.loads((await visits.one()).value)
    click_id = parse_qs(to_page.query)["click_id"][0]
    assert (to_page.netloc, to_page.fragment, parse_qs(to_page.query)["a"]) == ("page.example", "top", ["1"])
    assert (click["kind"], click["click_id"], click["campaign_id"], click["lander_id"], click["offer_id"]) == (
        "click",
        click_id,
        "c1",
        "page",
        "trial",
    )
    assert click["parameters"] == {"adclid": "A 1", "sub1": "s"}
    async with client.get(f"{ingest}/go/c1?click_id={click_id}&adclid=A%201", allow_redirects=False) as response:
        assert response.headers["Location"] == f"https://net.example/o?s={click_id}&c={click_id}&e=A%201&u="
    assert json.loads((await visits.one()).value)["kind"] == "lander_click"
    async with client.get(f"{ingest}/go/c2", allow_redirects=False) as response:
        assert response.headers["Location"].startswith("https://net.example/o/8?sub5=")


async def test_a_lander_links_to_its_offer_and_every_macro_is_filled(ingest, visits, client):
    """C03: the click, then the landing page's click, both under one click id; the offer's link says all that is known."""
    headers = {
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
        "Accept-Language": "de",
        "Referer": "https://ad.example/",
    }
    async with client.get(f"{ingest}/go/c3?adclid=A%201&sub1=s", allow_redirects=False, headers=headers) as response:
        to_page = parse_qs(urlsplit(response.headers["Location"]).query)
    click = json.loads((await visits.one()).value)
    assert to_page == {"click_id": [click["click_id"]], "c": ["c3"], "from": ["A 1"]}
    async with client.get(
        f"{ingest}/go/c3/offer?click_id=of-their-own&sub1=s&adclid=A%201", allow_redirects=False, headers=headers
    ) as response:
        found = parse_qs(urlsplit(response.headers["Location"]).query, keep_blank_values=True)
    lander_click = json.loads((await visits.one()).value)
    assert (lander_click["kind"], lander_click["click_id"], lander_click["campaign_id"]) == ("lander_click", "of-their-own", "c3")
    assert (lander_click["traffic_source_id"], lander_click["lander_id"], lander_click["offer_id"]) == ("ads", "macros", "all")
    assert abs(int(found.pop("t")[0]) - time.time()) < 10
    assert len(found.pop("r")[0]) == 8
    assert {name: value for name, (value,) in found.items()} == {
        "s": "of-their-own", "e": "A 1", "sub1": "s", "sub2": "", "var": "s", "campaign": "c3", "offer": "all", "lander": "macros", "source": "ads",
        "ip": "127.0.0.1", "ua": headers["User-Agent"], "country": "", "lang": "de", "os": "Linux", "payout": "",
    }  # fmt: skip
    async with client.get(f"{ingest}/go/c3/offer", allow_redirects=False) as response:
        fresh = parse_qs(urlsplit(response.headers["Location"]).query)["s"][0]
    assert json.loads((await visits.one()).value)["click_id"] == fresh


async def test_overload_is_refused_before_memory_grows(broker, client, tmp_path):
    settings = settings_for(broker, tmp_path, max_in_flight_bytes=2 * MIB)
    async with running(settings) as address:

        async def post():
            async with client.post(f"{address}/in/net", data=bytes(900_000)) as response:
                return response.status, response.headers.get("Retry-After")

        answers = await asyncio.gather(*(post() for _ in range(20)))
    assert {status for status, _ in answers} == {202, 503}
    assert all(retry for status, retry in answers if status == 503)


class Sender:
    """Sends numbered payloads until stopped, and remembers what each answer said."""

    def __init__(self, address, client, workers=20):
        self.address, self.client = address, client
        self.accepted = {}
        self.statuses = set()
        self.slowest_s = 0.0
        self.numbers = iter(range(10**9))
        self.tasks = [asyncio.create_task(self._send()) for _ in range(workers)]

    async def _send(self):
        while True:
            number = next(self.numbers)
            began = time.monotonic()
            try:
                async with self.client.get(f"{self.address}/in/net?n={number}") as response:
                    answer = await response.json()
                    self.statuses.add(response.status)
                    if response.status == 202:
                        self.accepted[f"n={number}".encode()] = answer
                        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.stop()

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return self.accepted


async def until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


def health(settings, client):
    async def is_direct():
        async with client.get(f"http://127.0.0.1:{settings.metrics_port}/readyz?verbose") as response:
            return "broker direct" in await response.text()

    return is_direct


def environment_of(settings):
    return command_line.environment(
        KAFKA__BOOTSTRAP_SERVERS=settings.kafka.bootstrap_servers, INGEST__PORT=settings.ingest.port, DATA_DIR=settings.data_dir,
        PARTITIONS=PARTITIONS, PII_KEY=PII_KEY, METRICS_PORT=settings.metrics_port,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def process(settings, **more):
    """Ingest as a process of its own; killed at the end, by its id."""
    environment = environment_of(settings) | more
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.ingest_process", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert await asyncio.wait_for(child.stdout.readline(), 20) == b"ready\n"
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        await child.wait()


async def test_killed_under_load_every_accepted_payload_is_in_the_log(broker, payloads, client, tmp_path):
    """5-reliability, section 5: nothing acked is lost at ingest."""
    settings = settings_for(broker, tmp_path)
    accepted = {}
    for _ in range(3):
        async with process(settings) as child:
            async with Sender(settings.ingest_url(), client) as sender:
                await asyncio.sleep(random.uniform(0.2, 0.6))
                child.send_signal(signal.SIGKILL)
                await child.wait()
            accepted |= sender.accepted
    async with process(settings):
        await until(health(settings, client))
    found = [record.value for record in await payloads.rest()]
    assert len(accepted) > 100
    assert set(accepted) <= set(found)


async def test_a_killed_broker_makes_it_spool_and_drain_in_order_without_a_double(broker, payloads, client, tmp_path):
    settings = settings_for(broker, tmp_path)
    async with running(settings) as address:
        async with Sender(address, client) as sender:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(broker.kill)
            await asyncio.sleep(1.5)
            async with client.get(f"{address}/go/c2", allow_redirects=False) as response:
                assert response.status == 302
            await asyncio.to_thread(broker.start)
            await until(health(settings, client))
            await asyncio.sleep(0.3)
        accepted = sender.accepted
        await until(health(settings, client))
    records = await payloads.rest()
    values = [record.value for record in records]
    assert set(accepted) <= set(values)
    assert len(values) == len(set(values))
    spooled = [answer for answer in accepted.values() if answer.get("spooled")]
    assert spooled
    assert all(answer["event_id"] is None and answer["receipt_id"] for answer in spooled)
    assert sender.statuses == {202}
    assert sender.slowest_s < 3
    receipts = {dict(record.headers)["receipt"].decode() for record in records}
    assert {answer["receipt_id"] for answer in spooled} <= receipts


@contextlib.asynccontextmanager
async def worker(settings):
    """`clicktrail worker ingest`, as production and `up` start it; killed at the end, by its id."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console.cli", "worker", "ingest", env=environment_of(settings), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        child.send_signal(signal.SIGKILL)
        await child.wait()


def ready(settings, client, words):
    async def says():
        with contextlib.suppress(aiohttp.ClientError):
            async with client.get(f"http://127.0.0.1:{settings.metrics_port}/readyz?verbose") as response:
                return words in await response.text()
        return False

    return says


async def test_started_while_the_broker_is_away_it_goes_by_what_it_knew_and_spools(broker, payloads, visits, client, tmp_path):
    """A deployment or a crash in the middle of an outage: the sources of the last run are known, what they send waits on disk."""
    settings = settings_for(broker, tmp_path)
    address = settings.ingest_url()
    async with worker(settings):
        await until(lambda: asyncio.to_thread((tmp_path / "spool" / "settings.json").exists), 60)
    assert (tmp_path / "spool" / "settings.json").stat().st_mode & 0o777 == 0o600
    await asyncio.to_thread(broker.kill)
    try:
        async with worker(settings):
            await until(ready(settings, client, "of the last run"), 60)
            receipts = []
            for number in range(3):
                async with client.get(f"{address}/in/net?cold={number}") as response:
                    answer = await response.json()
                    assert (response.status, answer["spooled"], answer["event_id"]) == (202, True, None)
                    receipts.append(answer["receipt_id"])
            async with client.get(f"{address}/go/c2", allow_redirects=False) as response:
                assert response.status == 302
            async with client.post(f"{address}/in/token", data=b"x") as response:
                assert response.status == 401  # who may send is known, too
            await asyncio.to_thread(broker.start)
            await until(ready(settings, client, "direct"), 60)
            async with client.get(f"{address}/in/net?warm=1") as response:
                assert (await response.json())["event_id"]
    finally:
        await asyncio.to_thread(broker.start)
    records = await payloads.rest()
    assert sorted(record.value for record in records) == [b"cold=0", b"cold=1", b"cold=2", b"warm=1"]
    assert set(receipts) <= {dict(record.headers)["receipt"].decode() for record in records}
    assert len(await visits.rest()) == 1


@pytest.mark.parametrize(("partitions", "is_taken"), [(PARTITIONS, True), (PARTITIONS + 1, False), (PARTITIONS - 1, False)])
async def test_topics_of_another_size_get_nothing(broker, partitions, is_taken):
    """What lies in the spool of an ingest with the wrong CLICKTRAIL_PARTITIONS stays there: its keys would miss what was recorded for them."""
    producer = Producer({"bootstrap_servers": broker.bootstrap_servers}, partitions)
    fresh = await producer.try_fresh()
    assert (fresh is not None) == is_taken
    if fresh is not None:
        await producer.discard(fresh)


async def test_an_ingest_that_never_saw_settings_says_why_it_takes_nothing(broker, client, tmp_path):
    """503 with Retry-After: nobody can say what a payload is for. It takes payloads as soon as it can."""
    settings = settings_for(broker, tmp_path)
    await asyncio.to_thread(broker.kill)
    try:
        async with worker(settings):
            await until(ready(settings, client, "[-]settings"), 60)
            async with client.get(f"{settings.ingest_url()}/in/net?n=1") as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "2")
                assert "not read from Kafka" in (await response.json())["error"]["message"]
            await asyncio.to_thread(broker.start)
            await until(ready(settings, client, "[+]settings"), 60)
            async with client.get(f"{settings.ingest_url()}/in/net?n=2") as response:
                assert response.status == 202
    finally:
        await asyncio.to_thread(broker.start)


async def test_one_sender_keeps_its_order_through_an_outage(broker, payloads, client, tmp_path):
    settings = settings_for(broker, tmp_path)
    async with running(settings) as address:
        outage = asyncio.create_task(asyncio.to_thread(lambda: (time.sleep(0.3), broker.kill(), broker.start())))
        numbers = 0
        while not outage.done() or not await health(settings, client)():
            async with client.post(f"{address}/in/net", data=b'{"transaction_id": "same", "n": %d}' % numbers) as response:
                assert response.status == 202
            numbers += 1
    found = [json.loads(record.value)["n"] for record in sorted(await payloads.rest(), key=lambda record: record.offset)]
    assert found == list(range(numbers))


async def test_a_full_spool_is_503_and_killed_while_spooling_it_loses_nothing(broker, payloads, client, tmp_path):
    settings = settings_for(broker, tmp_path)
    address = settings.ingest_url()
    accepted, refused = set(), None
    async with process(settings, CLICKTRAIL_INGEST__SPOOL_MAX_BYTES="10000"):  # leaving means kill -9
        await asyncio.to_thread(broker.kill)
        for number in range(60):
            async with client.get(f"{address}/in/net?full={number}") as response:
                if response.status == 503:
                    refused = response.headers["Retry-After"], code_of(await response.read())
                else:
                    accepted.add(b"full=%d" % number)
        assert refused == ("5", "unavailable")
        async with client.get(f"{address}/go/c2", allow_redirects=False) as response:
            assert response.status == 302  # the visitor is not lost
    await asyncio.to_thread(broker.start)
    async with process(settings):
        await until(health(settings, client))
    found = [record.value for record in await payloads.rest()]
    assert len(accepted) > 10
    assert accepted <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("failpoint", ["after_spool:3", "after_drain:2"])
async def test_killed_between_two_steps_of_the_spool(broker, payloads, client, tmp_path, failpoint):
    """5-reliability, section 0, point 10: kills at random points miss what a kill between two exact steps finds."""
    settings = settings_for(broker, tmp_path)
    accepted = {}
    async with process(settings, CLICKTRAIL_FAILPOINT=failpoint) as child:
        async with Sender(settings.ingest_url(), client) as sender:
            await asyncio.sleep(0.2)
            os.kill(broker.pid, signal.SIGSTOP)
            await asyncio.sleep(1.5)
            os.kill(broker.pid, signal.SIGCONT)
            await asyncio.wait_for(child.wait(), 15)
        accepted = sender.accepted
    async with process(settings):
        await until(health(settings, client))
    assert set(accepted) <= {record.value for record in await payloads.rest()}


async def test_a_frozen_broker_doubles_nothing(broker, payloads, client, tmp_path):
    settings = settings_for(broker, tmp_path)
    async with running(settings) as address:
        async with Sender(address, client, workers=10) as sender:
            await asyncio.sleep(0.3)
            os.kill(broker.pid, signal.SIGSTOP)
            await asyncio.sleep(2.5)
            os.kill(broker.pid, signal.SIGCONT)
            await until(health(settings, client))
        accepted = sender.accepted
        await until(health(settings, client))
    values = [record.value for record in await payloads.rest()]
    assert set(accepted) <= set(values)
    assert len(values) == len(set(values))


async def test_whatever_comes_is_answered_and_accounted_for(ingest, payloads):
    """Schemathesis over every route: no answer that is none of ours, and as many payloads in the log as were accepted."""
    found = await asyncio.to_thread(exercise, ingest, 25)
    assert {status for _, status, _ in found} >= {200, 202, 302, 404, 422}
    single = sum(path == "/in/{source}" and status in {200, 202} for path, status, _ in found)
    uploads = [(status, body) for path, status, body in found if path.endswith("/bulk")]
    stopped = [re.search(r"(\d+) lines were accepted", str(body)) for status, body in uploads if status >= 400]
    bulk = sum(body.get("accepted", 0) for _, body in uploads) + sum(int(each[1]) for each in stopped if each)
    records = await payloads.rest()
    assert len(records) == single + bulk, (
        single,
        bulk,
        uploads,
        [(dict(record.headers)["ce_source"], record.value[:60]) for record in records],
    )


INNER = b"GET /in/net?smuggled=1 HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED_INNER = b"0\r\n\r\n" + INNER


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"Content-Length: 0\r\nContent-Length: 60",
        b"Content-Length: 60, 0", b"Content-Length: +0", b"Content-Length: -1", b"Content-Length: 0x0", b"Content-Length: 0_0", b"Content-Length : 0",
        b"Transfer-Encoding: xchunked", b"Transfer-Encoding: identity, chunked, identity", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        b" Content-Length: 0", b"X: 1\r\n Content-Length: 0\r\nContent-Length: 60", b"Content\x00-Length: 0", b"Content-Length: 60\x00", b"X: a\rContent-Length: 0",
    ],
)  # fmt: skip
async def test_a_request_inside_a_request_is_never_taken(ingest, payloads, header):
    """Smuggling: two readings of where a body ends must not make two requests of one. Refused, or one body; never a 5xx."""
    answer = await raw(ingest, b"POST /in/net HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n" + CHUNKED_INNER)
    assert answer.split(b" ")[1][:1] in {b"2", b"4"}, answer[:200]
    assert answer.count(b"HTTP/1.") == 1, answer
    assert not [record for record in await payloads.rest() if record.value.startswith(b"smuggled")]


@pytest.mark.parametrize("size", [b"FFFFFFFFFFFFFFFFF", b"-1", b"0x1", b"", b"1 1", b"G"])
async def test_a_chunk_of_an_impossible_size_is_refused(ingest, payloads, size):
    answer = await raw(ingest, b"POST /in/net HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\na\r\n0\r\n\r\n")
    assert answer.split(b" ")[1][:1] == b"4", answer[:200]
    assert await payloads.rest() == []
