"""Where postbacks may not go: every form of an address that leads inside, judged, and then really dialled with a canary listening."""

import asyncio
import contextlib
import socket
import ssl

import pytest

from schemas.destinations import Destination
from streams.delivery.client import Client
from streams.delivery.guard import networks, why_forbidden
from streams.delivery.message import HttpRequest

FORBIDDEN = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "169.254.170.2", "100.64.0.1", "100.100.100.200", "100.127.255.255", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::127.0.0.1", "::a9fe:a9fe",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_addresses_that_are_not_public(address):
    assert why_forbidden(address, 443)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "172.32.0.1", "100.128.0.1"]
)
def test_public_addresses(address):
    assert why_forbidden(address, 443) is None


def test_ports_and_the_allow_list():
    assert why_forbidden("8.8.8.8", 25) == "port 25 is not one of 80, 443, 8080, 8443"
    allowed = networks("127.0.0.0/8, fd00::/8")
    assert why_forbidden("127.0.0.1", 9999, allowed) is None
    assert why_forbidden("::ffff:127.0.0.1", 9999, allowed) is None
    assert why_forbidden("fd00::5", 80, allowed) is None
    assert why_forbidden("10.0.0.1", 80, allowed)
    one = networks("127.0.0.1:8709")
    assert why_forbidden("127.0.0.1", 8709, one) is None
    assert why_forbidden("127.0.0.1", 8710, one)
    with pytest.raises(ValueError, match="10"):
        networks("10.0.0.1/8")


HOSTILE = [
    "http://127.0.0.1:{port}/", "http://127.1:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/", "http://0x7f.1:{port}/",
    "http://017700000001:{port}/", "http://0177.0.0.1:{port}/", "http://127.0.0.1.:{port}/", "http://0:{port}/", "http://0.0.0.0:{port}/",
    "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/", "http://ip6-localhost:{port}/", "http://[::1]:{port}/",
    "http://[::]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://[fe80::1%25lo]:{port}/",
    "http://user:pass@127.0.0.1:{port}/", "http://8.8.8.8@127.0.0.1:{port}/", "http://127.0.0.1:{port}#@8.8.8.8/", "http://8.8.8.8%00@127.0.0.1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/", "http://127。0。0。1:{port}/", "http://127.0.0.1%20:{port}/", "http://%31%32%37.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/", "http:127.0.0.1:{port}", "//127.0.0.1:{port}/", "file:///etc/passwd", "gopher://127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock", "http://127.0.0.1:{port}\\@8.8.8.8/", "http://127.0.0.1:99999/", "http://[127.0.0.1]:{port}/", "http://",
    "http://rebinding.test:{port}/", "http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/",
]  # fmt: skip
assert len(HOSTILE) >= 40


@pytest.fixture
async def canary():
    """Listens on every loopback address; whoever connects is written down."""
    met = []

    async def meet(_, writer):
        met.append(writer.get_extra_info("peername"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ninner")
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    servers = [server]
    if socket.has_ipv6:
        with contextlib.suppress(OSError):  # a machine without IPv6 on loopback
            servers.append(await asyncio.start_server(meet, "::1", port))
    yield met, port
    for server in servers:
        server.close()


def destination(**more):
    return Destination(id="d", name="D", url="https://example.com/", sending={"timeout_s": 5, "connect_timeout_s": 2, **more})


async def sent(url, *, allowed=(), **more):
    client = Client(destination(**more), allowed, ssl.create_default_context())
    try:
        return await client.send(HttpRequest("GET", url, {}))
    finally:
        await client.close()


@pytest.mark.parametrize("form", HOSTILE)
async def test_hostile_addresses_reach_nobody(canary, form, monkeypatch):
    """Dialled for real: nobody is met, and there is no status."""
    met, port = canary
    look_up = asyncio.get_running_loop().getaddrinfo

    async def rebound(host, *args, **kwargs):
        return await look_up("127.0.0.1" if "rebinding" in str(host) else host, *args, **kwargs)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebound, raising=False)
    answer = await sent(form.replace("{port}", str(port)))
    assert answer.status is None
    assert answer.problem
    assert met == []


async def test_an_allowed_network_is_reached(canary):
    met, port = canary
    answer = await sent(f"http://127.0.0.1:{port}/", allowed=networks("127.0.0.0/8"))
    assert (answer.status, answer.body, len(met)) == (200, b"inner", 1)


async def test_a_redirect_inside_is_refused_when_redirects_are_followed(canary):
    """The second hop is dialled through the same guard: the first address is allowed here, the second is not."""
    met, port = canary

    async def redirect(reader, writer):
        await reader.readline()
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:{port}/\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    first = server.sockets[0].getsockname()[1]
    answer = await sent(f"http://127.0.0.1:{first}/", allowed=networks("127.0.0.1/32"), follow_redirects=True)
    server.close()
    assert answer.status is None
    assert answer.problem.startswith("refused: 127.0.0.2 is a loopback address")
    assert answer.is_final
    assert met == []
