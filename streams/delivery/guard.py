"""Which addresses a postback may go to: public ones, and those that the operator allows.

A destination's URL is written by a user, and the answer is shown to them: without a guard the delivery role is a browser inside our
network. The check stands where the socket is made, on the address that is dialled. So it sees what every other place misses: numbers in
odd forms (0x7f.1), names that resolve to private addresses, a name that resolves differently the second time (DNS rebinding), redirects,
connections opened anew. A resolver-only check misses literals, a literal-only one was passed by 0x7f000001 (5-reliability, 3).

Forms of IPv6 that carry an IPv4 address inside (mapped, compatible, 6to4, NAT64, Teredo) lead through gateways that we do not know, so all
of them are refused unless the inner address is public *and* the form is the plain mapped one.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = frozenset([80, 443, 8080, 8443])
NEVER: dict[Network, str] = {
    ipaddress.ip_network("168.63.129.16/32"): "a cloud's internal service",
    ipaddress.ip_network("::/96"): "an IPv4-compatible IPv6 address",
    ipaddress.ip_network("64:ff9b::/96"): "a NAT64 address",
    ipaddress.ip_network("64:ff9b:1::/48"): "a local NAT64 address",
    ipaddress.ip_network("2002::/16"): "a 6to4 address",
    ipaddress.ip_network("2001::/32"): "a Teredo address",
    ipaddress.ip_network("5f00::/16"): "a segment routing address",
    ipaddress.ip_network("fec0::/10"): "a site-local address",
    ipaddress.ip_network("192.88.99.0/24"): "a 6to4 relay",
    ipaddress.ip_network("100.64.0.0/10"): "an address shared behind a carrier's NAT",
    ipaddress.ip_network("169.254.0.0/16"): "a link-local address (cloud metadata)",
    ipaddress.ip_network("fe80::/10"): "a link-local address",
    # IANA's special-purpose registries, written down: what Python calls private has changed from one patch release to the next.
    **{
        ipaddress.ip_network(network): "an address for special purposes"
        for network in (
            "0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
            "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32", "3fff::/20",
        )
    },
}  # fmt: skip


class ForbiddenAddressError(OSError):
    """The connection was not made; the text says why."""


class Allowed(NamedTuple):
    """A network that the operator allows, on one port or on all."""

    network: Network
    port: int | None = None


def networks(text: str) -> tuple[Allowed, ...]:
    """What a setting allows: networks by commas, an IPv4 address with a port among them (10.1.0.0/16, 127.0.0.1:8709). ValueError for anything else."""
    found = []
    for part in filter(None, map(str.strip, text.split(","))):
        address, colon, port = part.rpartition(":")
        if colon and "." in address and port.isdigit():
            found.append(Allowed(ipaddress.ip_network(address), int(port)))
        else:
            found.append(Allowed(ipaddress.ip_network(part)))
    return tuple(found)


def why_forbidden(text: str, port: int, allowed: Sequence[Allowed] = ()) -> str | None:
    """Why no connection is made to this address and port; None when it is."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return f"{text} is no address"
    inner = getattr(address, "ipv4_mapped", None) or address
    if any(one.network.version == inner.version and inner in one.network and one.port in (None, port) for one in allowed):
        return None
    if kind := _kind(inner):
        return f"{text} is {kind}; postbacks go to public addresses only"
    if port not in PORTS:
        return f"port {port} is not one of {', '.join(map(str, sorted(PORTS)))}"
    return None


def _kind(address: Address) -> str | None:
    """What is wrong with an address, as a noun."""
    if address.is_loopback:
        return "a loopback address"
    for network, kind in NEVER.items():
        if network.version == address.version and address in network:
            return kind
    if address.is_unspecified:
        return "no address of a machine"
    if address.is_multicast:
        return "a multicast address"
    if address.is_private:
        return "a private address"
    return None if address.is_global and not address.is_reserved else "a reserved address"


def socket_factory(allowed: Sequence[Allowed]) -> Callable[[Any], socket.socket]:
    """What makes the sockets of a connector: only for addresses that may be dialled. ForbiddenAddressError for the others."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, where = info
        if why := why_forbidden(str(where[0]), int(where[1]), allowed):
            raise ForbiddenAddressError(why)
        return socket.socket(family, kind, protocol)

    return make
