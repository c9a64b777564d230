"""TikTok Events API 2.0 (business-api.tiktok.com, event/track; ads.tiktok.com, event deduplication).

The same event with the same event_id within 48 hours counts once. Their errors come with status 200: `code` is 0 only for success.
"""

from typing import Any

import orjson

from schemas.destinations import Destination
from streams.delivery.message import HttpRequest
from streams.delivery.values import money, passed_of

RETRIED = frozenset([40016, 40100, 40133, 50000, 50002, 51305])  # limits of calls, and their own failures


def made(request: dict[str, Any], destination: Destination, now_ms: int) -> HttpRequest:  # noqa: ARG001 - as all makers are called
    """POST /open_api/<version>/event/track/ with one event of a website's pixel."""
    account = destination.tiktok
    assert account is not None
    click, hashes, passed = request.get("click") or {}, request.get("user") or {}, passed_of(request)
    value, currency = money(request, destination.value)
    user = {"email": hashes.get("email"), "phone": hashes.get("phone"), "external_id": hashes.get("external_id"), "ttclid": passed.get("ttclid"),
            "ttp": passed.get("ttp"), "ip": click.get("i"), "user_agent": click.get("a")}  # fmt: skip
    properties = {"value": None if value is None else float(value), "currency": currency, "order_id": request.get("transaction_id")}
    event = {
        "event": request["ct"], "event_time": request["event_ms"] // 1000, "event_id": request["event_id"],
        "user": _given(user), "properties": _given(properties), "page": _given({"url": click.get("u")}),
    }  # fmt: skip
    body: dict[str, Any] = {"event_source": "web", "event_source_id": account.pixel_code, "data": [_given(event)]}
    if account.test_event_code:
        body["test_event_code"] = account.test_event_code
    headers = {"Content-Type": "application/json", "Access-Token": account.access_token.get_secret_value()}
    url = f"{destination.url.rstrip('/')}/open_api/{account.api_version}/event/track/"
    return HttpRequest("POST", url, headers, orjson.dumps(body), frozenset(["Access-Token"]))


def problem(status: int, body: Any) -> tuple[str, bool] | None:
    """(what is wrong, whether it is worth another try) by the body of an answer; None: nothing."""
    if not isinstance(body, dict) or "code" not in body:
        return ("TikTok's answer has no code", True) if status < 300 else None
    if body["code"] == 0:
        return None
    return f"TikTok {body['code']}: {body.get('message')}", body["code"] in RETRIED


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != {}}
