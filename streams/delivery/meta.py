"""Meta Conversions API (developers.facebook.com, Conversions API, parameters and error codes).

event_id is the event of our log: Meta drops a second one of the same event_id and event_name within 48 hours and keeps the first, so a
retry after a lost answer counts once. Meta takes no events older than seven days: that is said before the request, not by theirs.
"""

from typing import Any

import orjson

from schemas.destinations import Destination
from streams.delivery.message import HttpRequest, NotSent
from streams.delivery.values import money, passed_of

OLDEST_MS = 7 * 86_400_000
RETRIED = frozenset([1, 2, 4, 17, 32, 341, 613, 80004])  # unknown, service, and the limits of calls
RETIRED = 2635


def made(request: dict[str, Any], destination: Destination, now_ms: int) -> HttpRequest:
    """POST /<version>/<pixel>/events with one event; the token goes into the body, not into the address."""
    account = destination.meta
    assert account is not None
    if now_ms - request["event_ms"] > OLDEST_MS:
        raise NotSent("Meta takes no events that are older than 7 days")
    click: dict[str, Any] = request.get("click") or {}
    value, currency = money(request, destination.value)
    user = {"em": _listed(request, "email"), "ph": _listed(request, "phone"), "external_id": _listed(request, "external_id"),
            "client_ip_address": click.get("i"), "client_user_agent": click.get("a"), "fbc": fbc(request), "fbp": passed_of(request).get("fbp")}  # fmt: skip
    custom = {"value": None if value is None else float(value), "currency": currency, "order_id": request.get("transaction_id")}
    event = {
        "event_name": request["ct"], "event_time": request["event_ms"] // 1000, "event_id": request["event_id"], "action_source": account.action_source,
        "event_source_url": click.get("u"), "user_data": _given(user), "custom_data": _given(custom),
    }  # fmt: skip
    body = {"data": [_given(event)], "access_token": account.access_token.get_secret_value()}
    if account.test_event_code or request.get("is_test"):
        body["test_event_code"] = account.test_event_code or "TEST"
    url = f"{destination.url.rstrip('/')}/{account.api_version}/{account.pixel_id}/events"
    return HttpRequest("POST", url, {"Content-Type": "application/json"}, orjson.dumps(body))


def fbc(request: dict[str, Any]) -> str | None:
    """The _fbc cookie, or what it would be: fb.1.<ms of the click>.<fbclid>."""
    passed = passed_of(request)
    if passed.get("fbc"):
        return passed["fbc"]
    fbclid = passed.get("fbclid")
    return f"fb.1.{request.get('click_ms') or request['event_ms']}.{fbclid}" if fbclid else None


def problem(status: int, body: Any) -> tuple[str, bool] | None:
    """(what is wrong, whether it is worth another try) by the body of an answer; None: nothing."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        said = f"{error.get('code')}: {error.get('error_user_msg') or error.get('message')}"
        hint = "; set meta.api_version of the destination to one that they still serve" if error.get("code") == RETIRED else ""
        return f"Meta {said}{hint}", error.get("code") in RETRIED or bool(error.get("is_transient"))
    if status < 300 and isinstance(body, dict) and body.get("events_received") == 0:
        return "Meta received no event", False
    return None


def _listed(request: dict[str, Any], kind: str) -> list[str] | None:
    value = (request.get("user") or {}).get(kind)
    return [value] if value else None


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != {}}
