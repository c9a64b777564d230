"""Google Ads: offline and enhanced conversions, and adjustments (developers.google.com, ConversionUploadService, ConversionAdjustmentUploadService).

A conversion is a click conversion with gclid, gbraid or wbraid, and with hashed e-mail and phone where they are known (enhanced conversions
for leads); order_id is the transaction id, by which Google tells a repeat. A restatement and a retraction are adjustments by that order_id.
partialFailure is true, as the API requires: a refused conversion comes with status 200, and the body says so.
"""

from typing import Any

import orjson

from schemas.destinations import Destination
from streams.delivery.message import HttpRequest, NotSent
from streams.delivery.values import money, passed_of

DONE = (
    "CLICK_CONVERSION_ALREADY_EXISTS",
    "DUPLICATE_CLICK_CONVERSION_IN_REQUEST",
    "ORDER_ID_ALREADY_IN_USE",
    "CONVERSION_ALREADY_RETRACTED",
)
"""They have it already: a repeat of ours whose first answer was lost."""
RETRIED = (
    "TOO_RECENT_CONVERSION_ACTION",
    "TOO_RECENT_EVENT",
    "TOO_RECENT_CLICK",
    "CONVERSION_NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "INTERNAL",
    "UNAVAILABLE",
)
RETIRED = "UNSUPPORTED_VERSION"
ADJUSTMENT = {"restatement": "RESTATEMENT", "retraction": "RETRACTION"}


def made(request: dict[str, Any], destination: Destination, now_ms: int) -> HttpRequest:  # noqa: ARG001 - as all makers are called
    """POST /<version>/customers/<id>:uploadClickConversions or :uploadConversionAdjustments."""
    account = destination.google
    assert account is not None
    action = f"customers/{account.customer_id}/conversionActions/{account.conversion_action_id}"
    if request["kind"] in ADJUSTMENT:
        verb, body = "uploadConversionAdjustments", {"conversionAdjustments": [_adjustment(request, destination, action)]}
    else:
        verb, body = "uploadClickConversions", {"conversions": [_conversion(request, destination, action)]}
    headers = {"Content-Type": "application/json", "developer-token": account.developer_token.get_secret_value()}
    if account.login_customer_id:
        headers["login-customer-id"] = account.login_customer_id
    text = orjson.dumps({**body, "partialFailure": True, "validateOnly": bool(request.get("is_test"))})
    url = f"{destination.url.rstrip('/')}/{account.api_version}/customers/{account.customer_id}:{verb}"
    return HttpRequest("POST", url, headers, text, frozenset(["developer-token", "Authorization"]), needs_token=True)


def _conversion(request: dict[str, Any], destination: Destination, action: str) -> dict[str, Any]:
    passed, hashes = passed_of(request), request.get("user") or {}
    found = {name: passed[name] for name in ("gclid", "gbraid", "wbraid") if passed.get(name)}
    if "gclid" in found:  # one of them only
        found = {"gclid": found["gclid"]}
    users = [{field: hashes[kind]} for kind, field in (("email", "hashedEmail"), ("phone", "hashedPhoneNumber")) if hashes.get(kind)]
    if not found and not users:
        raise NotSent("Google needs a gclid, gbraid, wbraid, an e-mail or a phone number, and the conversion has none")
    value, currency = money(request, destination.value)
    conversion = {**found, "conversionAction": action, "conversionDateTime": google_time(request["event_ms"]), "orderId": request.get("transaction_id"),
                  "conversionValue": None if value is None else float(value), "currencyCode": currency, "userIdentifiers": users or None}  # fmt: skip
    return {name: inner for name, inner in conversion.items() if inner is not None}


def _adjustment(request: dict[str, Any], destination: Destination, action: str) -> dict[str, Any]:
    if not request.get("transaction_id"):
        raise NotSent("Google adjusts by order id, and the conversion has no transaction id")
    adjustment: dict[str, Any] = {
        "conversionAction": action, "adjustmentType": ADJUSTMENT[request["kind"]], "orderId": request["transaction_id"],
        "adjustmentDateTime": google_time(request.get("requested_ms") or request["event_ms"]),
    }  # fmt: skip
    value, currency = money(request, destination.value)
    if request["kind"] == "restatement" and value is not None:
        adjustment["restatementValue"] = {"adjustedValue": float(value), "currencyCode": currency}
    return adjustment


def google_time(at_ms: int) -> str:
    """A time as Google wants it: yyyy-mm-dd hh:mm:ss+00:00."""
    from streams.delivery.values import iso

    return iso(at_ms).replace("T", " ").split(".", maxsplit=1)[0] + "+00:00"


def problem(status: int, body: Any) -> tuple[str, bool] | None:
    """(what is wrong, whether it is worth another try) by the body of an answer; None: nothing."""
    if not isinstance(body, dict):
        return None
    error = body.get("error") if status >= 300 else body.get("partialFailureError")
    if not isinstance(error, dict) or not error:
        return None
    said = orjson.dumps(error).decode()
    if status < 300 and any(code in said for code in DONE):
        return None
    hint = "; set google.api_version of the destination to one that they still serve" if RETIRED in said else ""
    return f"Google {error.get('code')}: {error.get('message')}{hint}", status in (401, 429) or any(code in said for code in RETRIED)
