"""What of a visit is indexed: identifiers in the form in which conversions are compared, by the switches of the property."""

from types import SimpleNamespace

import pytest

from schemas.entities import Property
from streams.identifiers import key
from streams.ingest.tag_event import TagEvent
from streams.ingest.visits import visit_of

PII = b"k"


def collected(attribution, ip, **seen):
    context = SimpleNamespace(pii_key=PII, trusted_proxies=(), country_of=lambda _: None)
    arrival = SimpleNamespace(request=SimpleNamespace(headers={}), now_ms=1_790_000_000_000, ip=lambda _: ip)
    site = Property(id="shop", name="Shop", attribution=attribution)
    return visit_of(context, arrival, site, TagEvent(click_id="K", **seen))


@pytest.mark.parametrize(
    ("switch", "ip", "shown", "indexed"),
    [
        (False, "2001:db8:7:7:1:2:3:4", "2001:db8:7:7:1:2:3:4", "2001:db8:7:7:1:2:3:4"),
        (True, "2001:db8:7:7:1:2:3:4", "2001:db8:7:7:1:2:3:4", "2001:db8:7:7::"),
        (True, "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        (True, "fe80::1%eth0", "fe80::1", "fe80::"),
    ],
)
def test_the_address_of_a_visitor(switch, ip, shown, indexed):
    """A35 A36: the row keeps the address, the index has its /64 where the property says so."""
    visit = collected({"ipv6_by_network": switch}, ip)
    assert visit["ip"] == shown
    assert visit["identifiers"] == [("ip", key("ip", indexed, PII))]


def test_an_address_that_is_none_is_not_indexed():
    visit = collected({}, "unix:")
    assert (visit["ip"], visit["identifiers"]) == (None, [])


def test_both_hashes_of_a_gmail_address():
    """A22: where dots and +tag do not count."""
    visit = collected({"gmail_aliases": True}, "", email=["Jane.Doe+x@gmail.com"])
    assert visit["identifiers"] == [("email", key("email", text, PII)) for text in ("janedoe@gmail.com", "jane.doe+x@gmail.com")]
