"""Fraud rules of a source (R11): a conversion that breaks one is information, and no referral is created.

Blocked e-mail domains and networks are seen in the payload itself. The customer who is the member of the link is seen when the link is
found: the visit that made the link known carries its owner, as hashed identifiers, and so does the click. The customer who was referred
before is seen in the home: such a source's payloads are kept by customer, not by transaction, so that log order alone decides who was first.
Looking each customer up elsewhere would be a second home whose order of arrival nothing fixes. That is the price of the limit per day and
link: it is counted where the link is (attribution.py), so which of a day's referrals are over it depends on who came there first.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from schemas.event import Event
from schemas.policies import FraudPolicy
from schemas.reasons import BLOCKED_EMAIL, BLOCKED_NETWORK
from streams.dedup import TAKEN_BACK, Entry
from streams.identifiers import email as normal_email


class FraudRules(NamedTuple):
    """A policy, compiled."""

    domains: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]
    is_self_refused: bool
    referee: str | None  # the kind of identifier that a customer is known by
    daily_limit: int | None


def compiled(policy: FraudPolicy) -> FraudRules | None:
    """What `look` and `mark` need; None when the policy forbids nothing, so that most sources pay nothing."""
    if policy == FraudPolicy():
        return None
    networks = tuple(map(ip_network, policy.blocked_networks))
    return FraudRules(
        frozenset(policy.blocked_email_domains), networks, policy.self_referral, policy.one_referral_per, policy.daily_limit_per_link
    )


def look(event: Event, rules: FraudRules, email: str | None) -> None:
    """Note the rule that a payload breaks by itself, and its customer. `email` as passed: a hashed one has no domain."""
    if rules.referee is not None:
        referee = next((key for kind, key in event["refs"] if kind == rules.referee), None)
        if referee is not None:
            event["referee"] = referee
    domain = blocked_domain(rules.domains, email) if email and rules.domains else None
    if domain is not None:
        event["fraud"] = BLOCKED_EMAIL, f"blocked_email_domains {domain}"
    elif event["ip"] and rules.networks:
        address = ip_address(event["ip"])
        network = next((network for network in rules.networks if address in network), None)
        if network is not None:
            event["fraud"] = BLOCKED_NETWORK, f"blocked_networks {network}"


def blocked_domain(domains: frozenset[str], email: str) -> str | None:
    """The blocked domain that an address belongs to: its own, or one above it."""
    domain = normal_email(email).rpartition("@")[2].rstrip(".")
    while domain and domain not in domains:
        domain = domain.partition(".")[2]
    return domain or None


def mark(entry: Entry, event: Event, rules: FraudRules) -> None:
    """Note on an entry what the fold needs: j whose referral it would be, h that its home is a customer's, y what transaction it is about."""
    if rules.is_self_refused and event["refs"]:
        entry["j"] = event["refs"]
    if "referee" in event:
        entry["h"] = rules.referee
        about = event["reference"] if entry["k"] == TAKEN_BACK else None
        entry["y"] = about or event["transaction_id"] or ""
