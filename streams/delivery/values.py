"""What the macros of a template stand for in one postback. None: nothing is known of it."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from xxhash import xxh3_64_intdigest

from schemas.destinations import Destination, ValueRule
from schemas.outgoing import SUBS, VARIABLE, fold

AD_CLICK_IDS = (
    "gclid", "gbraid", "wbraid", "dclid", "fbclid", "ttclid", "msclkid", "twclid", "li_fat_id", "ScCid", "epik", "rdt_cid", "tblci",
    "ob_click_id", "dicbo", "externalid", "external_id",
)  # fmt: skip
"""Click ids of ad platforms (3-trade, 1), for clicks whose traffic source does not say how its own is called."""


def values_of(request: dict[str, Any], destination: Destination, now_ms: int) -> dict[str, str | None]:
    """Field -> value, for every field of `schemas/outgoing.py` and each `var:<name>` that was passed."""
    click: dict[str, Any] = request.get("click") or {}
    passed = passed_of(request)
    value, currency = money(request, destination.value)
    at_ms = request["event_ms"]
    found: dict[str, str | None] = {
        **{name: request.get(name) for name in ("click_id", "transaction_id", "ct", "conversion_name", "campaign_id", "traffic_source_id",
                                                "property_id", "event_id", "postback_id", "kind")},
        "value": value, "currency": currency, "external_id": external_id(request),
        "status": "reversed" if request["kind"] == "retraction" else "approved",
        "timestamp": str(at_ms // 1000), "timestamp_ms": str(at_ms), "time": iso(at_ms),
        "ip": click.get("i"), "user_agent": click.get("a"), "country": click.get("k"), "lander_id": click.get("l"), "offer_id": click.get("f"),
        "random": str(xxh3_64_intdigest(f"{request['postback_id']}:{request.get('attempt', 1)}:{now_ms}".encode())),
    }  # fmt: skip
    for number in SUBS:
        found[f"sub{number}"] = passed.get(f"sub{number}") or passed.get(f"subid{number}")
    return found | {f"{VARIABLE}{name}": value for name, value in passed.items()}


def passed_of(request: dict[str, Any]) -> dict[str, str]:
    """Parameters by folded name: the payload's, and before them those of the click's address."""
    click: dict[str, Any] = request.get("click") or {}
    return {fold(name): value for passed in (request.get("parameters") or {}, click.get("q") or {}) for name, value in passed.items()}


def external_id(request: dict[str, Any]) -> str | None:
    """The traffic source's own click id: under the name that the traffic source gives it, else under one that ad platforms use."""
    passed = passed_of(request)
    named = request.get("external_id_parameter")
    for name in (named,) if named else AD_CLICK_IDS:
        if value := passed.get(fold(name)):
            return value
    return None


def money(request: dict[str, Any], rule: ValueRule) -> tuple[str | None, str | None]:
    """(value, currency) as the destination is told them."""
    value, currency = request.get("value"), request.get("currency")
    if not rule.is_sent or (rule.currencies and currency not in rule.currencies):
        return None, None
    if value is not None and (rule.factor != 1 or rule.decimals is not None):
        amount = Decimal(value) * Decimal(str(rule.factor))
        if rule.decimals is not None:
            amount = amount.quantize(Decimal(1).scaleb(-rule.decimals), ROUND_HALF_UP)
        value = f"{amount:f}" if rule.decimals is not None else f"{amount.normalize():f}"
    return value, currency


def iso(at_ms: int) -> str:
    """A time as 2026-11-25T10:00:00.000Z."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
