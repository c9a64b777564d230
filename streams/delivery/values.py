"""What the macros of a template stand for in one postback. None: nothing is known of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from xxhash import xxh3_64_intdigest

from schemas.destinations import Destination, ValueRule
from schemas.outgoing import VARIABLE, fold

AD_CLICK_IDS = (
    "gclid", "gbraid", "wbraid", "dclid", "fbclid", "ttclid", "msclkid", "twclid", "li_fat_id", "ScCid", "epik", "rdt_cid", "tblci",
    "ob_click_id", "dicbo", "externalid", "external_id",
)  # fmt: skip
"""Click ids of ad platforms (3-trade, 1), for clicks whose traffic source does not say how its own is called."""


class Values:
    """Field of `schemas/outgoing.py`, or `var:<name>` -> value, worked out when it is asked for: a template asks for five of sixty."""

    def __init__(self, request: dict[str, Any], destination: Destination, now_ms: int) -> None:
        self.request = request
        self.click: dict[str, Any] = request.get("click") or {}
        self.destination = destination
        self.now_ms = now_ms
        self._passed: dict[str, str] | None = None

    @property
    def passed(self) -> dict[str, str]:
        """The parameters by folded name."""
        if self._passed is None:
            self._passed = passed_of(self.request)
        return self._passed

    def get(self, field: str) -> str | None:
        """The value of a field; None: nothing is known of it."""
        if field in WORKED_OUT:
            return WORKED_OUT[field](self)
        if field.startswith(VARIABLE):
            return self.passed.get(field[len(VARIABLE) :])
        if field.startswith("sub"):
            return self.passed.get(field) or self.passed.get(f"subid{field[3:]}")
        value: str | None = self.request.get(field)
        return value


WORKED_OUT: dict[str, Callable[[Values], str | None]] = {
    "value": lambda v: money(v.request, v.destination.value)[0],
    "currency": lambda v: money(v.request, v.destination.value)[1],
    "external_id": lambda v: external_id(v.request),
    "status": lambda v: "reversed" if v.request["kind"] == "retraction" else "approved",
    "timestamp": lambda v: str(v.request["event_ms"] // 1000),
    "timestamp_ms": lambda v: str(v.request["event_ms"]),
    "time": lambda v: iso(v.request["event_ms"]),
    "ip": lambda v: v.click.get("i"),
    "user_agent": lambda v: v.click.get("a"),
    "country": lambda v: v.click.get("k"),
    "lander_id": lambda v: v.click.get("l"),
    "offer_id": lambda v: v.click.get("f"),
    "random": lambda v: str(xxh3_64_intdigest(f"{v.request['postback_id']}:{v.request.get('attempt', 1)}:{v.now_ms}".encode())),
}


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
