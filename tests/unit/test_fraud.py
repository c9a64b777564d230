"""Fraud rules (R11): what a payload shows by itself, what the click and the home of a customer show."""

from types import SimpleNamespace

import pytest

from schemas.entities import Source
from schemas.policies import FraudPolicy
from streams import dedup, fraud
from streams.dedup import DUPLICATE, LINKED, MISS, OK, ORPHAN, REPEATED, SELF, WAIT, fold
from streams.finality import claims, final
from streams.identifiers import key
from streams.ingest.visits import TagEvent, visit_of

PII = b"memory"
OWNER = [["email", "m"], ["phone", "p"]]


def compiled(**policy):
    return fraud.compiled(FraudPolicy(**policy))


def test_a_policy_that_forbids_nothing_costs_nothing():
    assert compiled() is None
    assert compiled(self_referral=True) is not None


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("x@mailinator.com", "mailinator.com"),
        (" X@MAILINATOR.com ", "mailinator.com"),
        ("x@mailinator.com.", "mailinator.com"),
        ("x@a.b.mailinator.com", "mailinator.com"),
        ("x@notmailinator.com", None),
        ("x@mailinator.com.evil.org", None),
        ("mailinator.com@x.org", None),
        ("x@com", None),
        ("x@", None),
        ("no address", None),
        ("62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f", None),  # hashed: it has no domain
    ],
)
def test_blocked_domains(email, domain):
    assert fraud.blocked_domain(frozenset(["mailinator.com", "tempmail.example"]), email) == domain


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("203.0.113.255", "203.0.113.0/24"),
        ("203.0.114.0", None),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::9", "2001:db8::/32"),
        (None, None),
    ],
)
def test_blocked_networks(ip, network):
    event = {"refs": [], "ip": ip}
    fraud.look(event, compiled(blocked_networks=["203.0.113.0/24", "192.0.2.7", "2001:db8::/32"]), None)
    assert event.get("fraud") == (network and ("blocked_network", f"blocked_networks {network}"))


@pytest.mark.parametrize(
    "policy",
    [
        {"blocked_email_domains": ["@mailinator.com"]},
        {"blocked_email_domains": ["localhost"]},
        {"blocked_networks": ["203.0.113.7/24"]},
        {"blocked_networks": ["everybody"]},
        {"one_referral_per": "name"},
        {"self_referral": "yes"},
        {"daily_limit": 3},
    ],
)
def test_broken_policies_are_refused_at_save(policy):
    with pytest.raises(ValueError, match="fraud"):
        Source.model_validate({"id": "s", "name": "S", "kind": "referral", "property_id": "p", "fraud": policy})


def test_a_blocked_domain_is_kept_in_lower_case():
    source = Source.model_validate(
        {"id": "s", "name": "S", "kind": "referral", "property_id": "p", "fraud": {"blocked_email_domains": [" Mailinator.COM "]}}
    )
    assert source.fraud.blocked_email_domains == ["mailinator.com"]


def hit(click="K", m="click_id", **more):
    return {"click": {"id": click, "t": 0, "p": "p1", **more}, "m": m, "n": 0, "model": "last_click", "tried": []}


MISSED = {"tried": [["click_id", "never_seen", None]]}


def sale(answer=None, tx="T1", n="Lead", **more):
    entry = {"k": dedup.CONVERSION, "i": f"T|{n}|{tx}", "n": n, "t": 1_000, "u": 1_000, "w": None, "h": "email", "y": tx, **more}
    return entry if answer is None else entry | {"a": answer}


def refund(tx="T1", n="Lead"):
    return {"k": dedup.TAKEN_BACK, "i": f"B|{tx}", "n": n, "t": 1_000, "u": 1_000, "h": "email", "y": tx}


def home(*entries):
    return [{"id": f"e1-0-{at}", **entry} for at, entry in enumerate(entries)]


@pytest.mark.parametrize(
    ("refs", "owner", "what"),
    [
        ([["email", "m"]], OWNER, SELF),
        ([("phone", "p")], OWNER, SELF),  # as it is before it went through JSON
        ([["email", "x"], ["phone", "p"]], OWNER, SELF),
        ([["email", "p"]], OWNER, OK),  # of another kind
        ([["email", "x"]], OWNER, OK),
        ([["email", "m"]], [], OK),
        ([["email", "m"]], None, OK),
    ],
)
def test_self_referral(refs, owner, what):
    """The customer is the owner of the click: it counts nowhere, and makes nobody a duplicate."""
    answer = hit() if owner is None else hit(o=owner)
    entries = home({**sale(answer), "j": refs} | {"h": "email"}, sale(hit()))
    assert fold(entries)[0] == (what, -1)
    assert fold(entries)[1] == ((OK, -1) if what == SELF else (DUPLICATE, 0))


@pytest.mark.parametrize("is_test", [False, True])
def test_a_duplicate_is_one_before_it_is_a_self_referral(is_test):
    """Rule 6, for tests too: only whether they resolve goes before duplicates."""
    entries = home(sale(hit(), test=is_test), sale(hit(o=OWNER), test=is_test, j=OWNER))
    assert fold(entries) == [(OK, -1), (DUPLICATE, 0)]


@pytest.mark.parametrize(
    ("entries", "verdicts"),
    [
        ([sale(hit()), sale(tx="T2")], [(OK, -1), (REPEATED, 0)]),  # not even asked
        ([sale(hit()), sale(tx="T1")], [(OK, -1), (DUPLICATE, 0)]),  # the same transaction is a duplicate
        ([sale(hit()), sale(hit(), tx="T2", n="Purchase")], [(OK, -1), (OK, -1)]),
        ([sale(MISSED), sale(hit(), tx="T2"), sale(tx="T3")], [(MISS, -1), (OK, -1), (REPEATED, 1)]),
        ([sale(dedup.ASKED), sale(tx="T2")], [(WAIT, -1), (WAIT, -1)]),  # log order decides, not who is answered first
        ([sale(dedup.ASKED), sale(hit(), tx="T2", n="Purchase")], [(WAIT, -1), (OK, -1)]),
        ([sale(hit(), test=True), sale(hit(), tx="T2")], [(OK, -1), (OK, -1)]),  # a test is nobody's referral
        ([sale(hit()), sale(tx="T2"), refund(), refund("T2")], [(OK, -1), (REPEATED, 0), (LINKED, 0), (ORPHAN, -1)]),
        ([sale(dedup.ASKED), refund("T2")], [(WAIT, -1), (ORPHAN, -1)]),
    ],
)
def test_one_referral_per_customer(entries, verdicts):
    assert fold(home(*entries)) == verdicts


@pytest.mark.parametrize(
    ("entries", "finals"),
    [
        ([sale(hit()), sale(tx="T2")], [True, True]),
        ([sale(MISSED), sale(hit(), tx="T2"), sale(tx="T3")], [False, False, False]),  # the first may yet be the one
        ([sale(hit(m="email")), sale(tx="T2")], [False, False]),
        ([sale(MISSED), sale(hit(), tx="T2", n="Purchase")], [False, True]),
        ([sale(hit(o=OWNER), j=OWNER), sale(hit())], [True, True]),
    ],
)
def test_what_is_final(entries, finals):
    entries = home(*entries)
    assert final(entries, fold(entries)) == finals


def test_the_one_referral_stays_in_its_home():
    entries = home(sale(hit(), w=5), sale(tx="T2", u=9_000))
    kept = claims(entries, fold(entries))
    assert [entry["id"] for entry in kept] == ["e1-0-0"]
    assert fold([*kept, *home(sale(tx="T9", u=99_000))])[1] == (REPEATED, 0)


def test_the_owner_of_a_link_is_hashed_at_the_door():
    """The visit that makes a member's link known says whose it is, in the form in which a customer's identifiers are compared."""
    context = SimpleNamespace(pii_key=PII, trusted_proxies=(), country_of=lambda _: None)
    arrival = SimpleNamespace(request=SimpleNamespace(headers={}), now_ms=1_790_000_000_000, ip=lambda _: "192.0.2.1")
    site = SimpleNamespace(id="p1", account_id="acme", attribution=SimpleNamespace(gmail_aliases=False, ipv6_by_network=False))
    seen = TagEvent.model_validate({"click_id": "mem001", "member": {"email": "Mia@Example.com", "external_id": 7, "name": "Mia"}})
    visit = visit_of(context, arrival, site, seen)
    assert visit["owner"] == [("email", key("email", "mia@example.com", PII)), ("external_id", key("external_id", "7", PII))]
    assert [kind for kind, _ in visit["identifiers"]] == ["ip"]
    assert "owner" not in visit_of(context, arrival, site, TagEvent(click_id="K"))
