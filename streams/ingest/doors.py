"""The door of each source: who may come in, how often, and what it is answered. Follows the workspace.

Compiled once per version of a source (networks parsed, bucket made), found by one dict hit per request.
"""

import asyncio
import ipaddress

from streams.ingest.answers import Refused
from streams.ingest.limits import Bucket
from streams.workspace import SourceRules, Workspace

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


class Door:
    """One source, as ingest sees it."""

    __slots__ = ("allowed", "answer", "bucket", "rules")

    def __init__(self, rules: SourceRules, bucket: Bucket | None) -> None:
        source = rules.source
        self.rules = rules
        self.allowed: Networks = tuple(ipaddress.ip_network(text) for text in source.allow_ips)
        self.answer = source.answer
        self.bucket = bucket

    def admit(self, ip: str, count: int = 1) -> None:
        """Check the allow-list and the rate for `count` payloads. Refused: address_not_allowed, rate_limited."""
        if self.allowed and not is_within(ip, self.allowed):
            raise Refused("address_not_allowed")
        if self.bucket is not None and (wait_s := self.bucket.take(count)):
            raise Refused("rate_limited", Retry_After=str(int(wait_s) + 1))


class Doors:
    """All doors. Closed (503) until the settings were read once; afterwards they follow the workspace."""

    def __init__(self) -> None:
        self.workspace = Workspace()
        self.opened = asyncio.Event()
        self.is_remembered = False  # the settings are those of the last run: Kafka was not read yet
        self._doors: dict[str, Door] = {}

    @property
    def version(self) -> int:
        """Return the settings that are in force now; payloads are stamped with it."""
        return self.workspace.version

    def open(self, workspace: Workspace, *, is_remembered: bool = False) -> None:
        """Go by a workspace that was read to its end; the settings feed fills it on in the same event loop."""
        self.workspace = workspace
        self.is_remembered = is_remembered
        self.opened.set()

    def of(self, source_id: str) -> Door:
        """Return the door of a source, or raise Refused("unknown_source")."""
        self.require_open()
        rules = self.workspace.source(source_id, self.version)
        if rules is None:
            self._doors.pop(source_id, None)
            raise Refused("unknown_source")
        door = self._doors.get(source_id)
        if door is None or door.rules is not rules:
            rate = rules.source.rate_limit_per_s
            is_same_rate = door is not None and door.rules.source.rate_limit_per_s == rate
            # A change of other settings must not refill the bucket.
            bucket = door.bucket if door is not None and is_same_rate else Bucket(rate) if rate else None
            door = self._doors[source_id] = Door(rules, bucket)
        return door

    def require_open(self) -> None:
        """Raise Refused("not_ready") while nobody can say whether an id is known."""
        if not self.opened.is_set():
            raise Refused("not_ready")


def is_within(ip: str, networks: Networks) -> bool:
    """Say whether the address is in one of the networks; an IPv4 address that came through IPv6 counts as IPv4."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def sender_ip(peer: str, forwarded_for: str | None, trusted: Networks) -> str:
    """Return who sent the request: the peer, or, behind proxies that we trust, the last address that none of them is."""
    if forwarded_for is None or not trusted or not is_within(peer, trusted):
        return peer
    for hop in reversed([part.strip() for part in forwarded_for.split(",")]):
        if not is_within(hop, trusted):
            return hop if is_address(hop) else peer
    return peer


def is_address(text: str) -> bool:
    """Say whether the text is an IP address: a header may say anything."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
