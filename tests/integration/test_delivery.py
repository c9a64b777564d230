"""Delivery against real destination servers on loopback: every behaviour ends as what it is, on record, and none holds up another."""

import asyncio
import ssl

import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from tests.integration.delivery_rig import Delivery, Receiver, all_in


@pytest.fixture(scope="module")
async def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("delivery")
    with Kafka(folder / "kafka", port=free_port()) as broker:
        async with Delivery(broker, folder) as delivery:
            yield delivery


@pytest.fixture(scope="module")
async def receiver():
    async with Receiver() as receiver:
        yield receiver


QUICK = {"timeout_s": 2, "connect_timeout_s": 1, "retry_after_s": [0.2, 0.2], "concurrency": 8}


def to(receiver, behaviour, **more):
    url = f"{receiver.url}/{behaviour}?click={{click_id}}&payout={{payout}}&cur={{currency}}&tx={{transaction_id}}&key=s3cret"
    return {"id": behaviour, "url": url, **more, "sending": QUICK | more.get("sending", {})}


async def test_every_behaviour_is_what_it_is(desk, receiver):
    """C10, C13 to C16: fast, slow, hanging, closing, 500, 429, 410, 200 with an error body, redirect, huge body, refused port, forbidden address."""
    await desk.destinations(
        to(receiver, "fast"),
        to(receiver, "slow"),
        to(receiver, "hang", sending={"timeout_s": 0.5}),
        to(receiver, "broken"),
        to(receiver, "busy"),
        to(receiver, "gone"),
        to(receiver, "hidden", sending={"error_contains": ['"status": "error"']}),
        to(receiver, "redirect"),
        to(receiver, "closing"),
        to(receiver, "huge"),
        {"id": "nobody", "url": f"http://127.0.0.1:{free_port()}/x", "sending": QUICK},
        {"id": "metadata", "url": "http://169.254.169.254/latest/meta-data/", "sending": QUICK},
        {"id": "unresolved", "url": "http://no-such-host.invalid/", "sending": QUICK},
    )
    names = ["fast", "slow", "hang", "broken", "busy", "gone", "hidden", "redirect", "closing", "huge", "nobody", "metadata", "unresolved"]
    await desk.send(*[desk.request(name) for name in names])
    desk.start()
    rows = {row["destination_id"]: row for row in (await desk.until(all_final(len(names)))).values()}
    said = {name: (row["state"], row["is_error"], row["status_code"], row["attempt"], row["error_message"]) for name, row in rows.items()}
    assert said == {
        "fast": ("delivered", 0, 200, 1, None),
        "slow": ("delivered", 0, 200, 1, None),
        "hang": ("failed", 1, None, 3, "no answer within 0.5 s; given up after 3 tries"),
        "broken": ("failed", 1, 500, 3, "500 Internal Server Error; given up after 3 tries"),
        "busy": ("delivered", 0, 200, 3, None),
        "gone": ("failed", 1, 410, 1, "410 Gone"),
        "hidden": ("failed", 1, 200, 3, '200, but the answer contains \'"status": "error"\'; given up after 3 tries'),
        "redirect": ("failed", 1, 302, 1, "302 Found: redirects are not followed"),
        "closing": ("delivered", 0, 200, 1, None),
        "huge": ("delivered", 0, 200, 1, None),
        "nobody": ("failed", 1, None, 3, rows["nobody"]["error_message"]),
        "metadata": (
            "failed",
            1,
            None,
            1,
            "refused: 169.254.169.254 is a link-local address (cloud metadata); postbacks go to public addresses only",
        ),
        "unresolved": ("failed", 1, None, 3, "the name no-such-host.invalid does not resolve; given up after 3 tries"),
    }
    assert "refused" in rows["nobody"]["error_message"]
    assert receiver.ids["trap"] == {}, "the redirect was not followed"
    number = names.index("fast")
    assert rows["fast"]["postback_url"] == f"{receiver.url}/fast?click=clk{number}&payout=12.50&cur=USD&tx=T{number}&key=***"
    assert "s3cret" not in str(rows)
    assert [call[2] for call in receiver.calls if call[0] == "fast"] == [
        f"/fast?click=clk{number}&payout=12.50&cur=USD&tx=T{number}&key=s3cret"
    ]


def all_final(count):
    return lambda rows: sum(row["state"] in ("delivered", "failed", "not_sent") for row in rows.values()) >= count


async def test_ten_replays_send_nothing_twice(desk, receiver):
    """The send ledger: the same requests again, however often, are known."""
    requests = [desk.request("fast") for _ in range(50)]
    await desk.send(*requests)
    await desk.until(all_in("delivered", 50))
    for _ in range(10):
        await desk.send(*requests)
    await desk.send(marker := desk.request("fast"))
    await desk.until(lambda rows: rows.get(marker["postback_id"], {}).get("state") == "delivered")
    assert {receiver.ids["fast"][request["postback_id"]] for request in requests} == {1}
    assert len([row for row in await desk.rows() if row["postback_id"] == requests[0]["postback_id"]]) == 2, "queued, delivered"


async def test_bad_tls_is_refused(desk, receiver, tmp_path):
    """A certificate that nobody vouches for: no request, and the row says why."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = tmp_path / "tls.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    got = []

    async def take(reader, writer):
        got.append(await reader.read(10))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    await desk.destinations({"id": "bad-tls", "url": f"https://127.0.0.1:{port}/", "sending": QUICK | {"retry_after_s": []}})
    await desk.send(request := desk.request("bad-tls"))
    rows = await desk.until(lambda rows: rows.get(request["postback_id"], {}).get("state") == "failed")
    server.close()
    assert rows[request["postback_id"]]["error_message"] == "TLS: self-signed certificate; given up after 1 tries"
    assert got == []


def google(receiver, name, refresh_token):
    account = {
        "customer_id": "123", "conversion_action_id": "9", "developer_token": "dev", "client_id": "id", "client_secret": "of-the-client",
        "refresh_token": refresh_token, "token_url": f"{receiver.url}/token",
    }  # fmt: skip
    return {"id": name, "kind": "conversion_api", "url": f"{receiver.url}/google", "google": account, "sending": QUICK | {"concurrency": 1}}


async def test_an_access_token_is_made_once_and_made_anew_when_it_is_refused(desk, receiver):
    """Google's tokens live an hour, and may be revoked before: the try that meets this fails, the next one has a new token."""
    await desk.destinations(google(receiver, "ads", "good"), google(receiver, "revoked", "bad"))
    click = {"click": {"q": {"gclid": "G1"}}}
    first, second, refused = desk.request("ads", **click), desk.request("ads", **click), desk.request("revoked", **click)
    await desk.send(first, second)
    rows = await desk.until(lambda rows: all(rows.get(one["postback_id"], {}).get("state") == "delivered" for one in (first, second)))
    assert receiver.ids["token"].total() == 1
    assert [rows[one["postback_id"]]["attempt"] for one in (first, second)] == [1, 1]

    receiver.ids["token"]["revoked elsewhere"] += 1
    await desk.send(third := desk.request("ads", **click))
    rows = await desk.until(lambda rows: rows.get(third["postback_id"], {}).get("state") == "delivered")
    assert (rows[third["postback_id"]]["attempt"], receiver.ids["token"].total()) == (2, 3)

    await desk.send(refused)
    rows = await desk.until(lambda rows: rows.get(refused["postback_id"], {}).get("state") == "failed")
    assert rows[refused["postback_id"]]["error_message"] == "the access token was refused: 400; given up after 3 tries"
    said = str(await desk.rows())
    assert not [secret for secret in ("of-the-client", "access-1", "access-3") if secret in said]
