"""What the tag and the tracking links saw, checked at the door and turned into the Visit of schemas/event.py.

Identifiers are hashed here, with the key that only our processes have: an e-mail address never enters the log in clear. The address of
the visitor is the connection's, never what a page says, and device, country and language are read from what the browser sends.
"""

import re
from urllib.parse import parse_qsl, urlsplit

import orjson

from schemas import event
from schemas.entities import Property
from schemas.event import Identifier, Visit
from streams import identifiers
from streams.ingest.context import Arrival, Context, text
from streams.ingest.device import device_of
from streams.ingest.ids import new_id
from streams.ingest.record import Record
from streams.ingest.tag_event import MOST_PARAMETERS, Person, TagEvent, notes, occurred
from streams.macros import given
from streams.topology import VISITS

LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}")  # BCP 47, as browsers write it: de, pt-BR, zh-Hans-CN


def visit_of(context: Context, arrival: Arrival, site: Property, seen: TagEvent) -> Visit:
    """Return the visit that an event is; empty texts, placeholders and unexpanded macros are None."""
    user_agent = seen.user_agent or arrival.request.headers.get("User-Agent") or ""
    device = device_of(user_agent)
    now_ms = arrival.now_ms
    ip = identifiers.ip(arrival.ip(context.trusted_proxies))
    visit = Visit(
        visit_id=given(seen.visit_id) or new_id(now_ms),
        kind=seen.kind,
        account_id=site.account_id,
        property_id=site.id,
        click_id=given(seen.click_id),
        occurred_ms=occurred(seen, now_ms)[0],
        received_ms=now_ms,
        identifiers=_identifiers(seen, ip, site, context.pii_key),
        campaign_id=given(seen.campaign_id),
        traffic_source_id=given(seen.traffic_source_id),
        lander_id=given(seen.lander_id),
        offer_id=given(seen.offer_id),
        parameters=_parameters(seen) | notes(seen, now_ms),
        device_type=device.device_type,
        browser=device.browser,
        os=device.os,
        is_bot=device.is_bot,
        user_agent=text(user_agent).decode() or None,
        language=language_of(seen.language or arrival.request.headers.get("Accept-Language") or ""),
        ip=ip,
        country=seen.country.upper() if seen.country else context.country_of(ip),
        referrer=seen.referrer or None,
        url=seen.url or None,
    )
    if seen.member is not None:
        visit["owner"] = _identifiers(seen.member, None, site, context.pii_key)
    return visit


def record_of(visit: Visit, arrival: Arrival, version: int, receipt: str) -> Record:
    """Return the record of a visit: keyed by its click id, so that all of one click lie in order."""
    headers = [(event.SETTINGS_VERSION, str(version).encode()), (event.RECEIPT, receipt.encode())]
    if user_agent := arrival.request.headers.get("User-Agent"):
        headers.append((event.USER_AGENT, text(user_agent)))
    key = (visit["click_id"] or visit["visit_id"]).encode("utf-8", "replace")
    return Record(VISITS.name, key, orjson.dumps(visit), arrival.now_ms, headers)


def _identifiers(seen: Person, ip: str | None, site: Property, pii_key: bytes) -> list[Identifier]:
    found: dict[Identifier, None] = {}
    by_kind: tuple[tuple[str, list[str]], ...] = (
        (identifiers.EMAIL, seen.email),
        (identifiers.PHONE, seen.phone),
        (identifiers.EXTERNAL_ID, seen.external_id),
        (identifiers.IP, [identifiers.network(ip) if site.attribution.ipv6_by_network else ip] if ip else []),
    )
    for kind, values in by_kind:
        for value in values:
            for key in identifiers.keys(kind, value, pii_key, site.attribution.gmail_aliases):
                found[kind, key] = None
    return list(found)


def language_of(said: str) -> str | None:
    """Return the first language of an Accept-Language header or of `navigator.language`; None when it is none."""
    found = LANGUAGE.match(said.strip())
    return found[0] if found else None


def _parameters(seen: TagEvent) -> dict[str, str]:
    """Return the parameters of the page's address (utm_…, gclid) under those that the tag names itself."""
    return dict(list((address_parameters(seen.url) | seen.parameters).items())[:MOST_PARAMETERS])


def address_parameters(url: str | None) -> dict[str, str]:
    """Return the query parameters of an address, at most MOST_PARAMETERS, long values cut."""
    query = _split_query(url) if url else ""
    try:
        pairs = parse_qsl(query, errors="replace", max_num_fields=1000)
    except ValueError:  # more fields than that are no page's address
        return {}
    return {name[:128]: value[:2048] for name, value in pairs[:MOST_PARAMETERS]}


def _split_query(url: str) -> str:
    try:
        return urlsplit(url).query
    except ValueError:
        return ""
