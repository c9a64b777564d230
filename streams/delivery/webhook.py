"""A JSON webhook, signed after the Standard Webhooks specification (github.com/standard-webhooks): webhook-id, -timestamp, -signature.

The id is the postback's, the same at every try: the receiver's idempotency key. The signature covers id, time and body, so a recorded
request cannot be played again later; with several secrets there are several signatures, and a secret can be changed without a gap.
"""

from base64 import b64decode, b64encode
from hashlib import sha256
from hmac import new as hmac
from typing import Any

import orjson

from schemas.destinations import Destination
from streams.delivery.message import USER_AGENT, HttpRequest
from streams.delivery.values import external_id, iso, money

SENT = (
    "postback_id", "event_id", "revision", "click_id", "conversion_name", "ct", "transaction_id", "campaign_id", "traffic_source_id", "account_id",
    "property_id", "restates_event_id",
)  # fmt: skip


def made(request: dict[str, Any], destination: Destination, now_ms: int) -> HttpRequest:
    """POST of {"type", "timestamp", "data"}; type is conversion.recorded, conversion.restated or conversion.retracted."""
    account = destination.webhook
    assert account is not None
    value, currency = money(request, destination.value)
    data = {name: request.get(name) for name in SENT}
    data |= {"value": value, "currency": currency, "event_time": iso(request["event_ms"]), "external_id": external_id(request)}
    kind = {"conversion": "recorded", "restatement": "restated", "retraction": "retracted"}[request["kind"]]
    body = orjson.dumps({"type": f"conversion.{kind}", "timestamp": iso(request["event_ms"]), "data": data})
    seconds = now_ms // 1000
    secrets = [secret.get_secret_value() for secret in account.secrets]
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": request["postback_id"],
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signature(secret, request["postback_id"], seconds, body) for secret in secrets),
    }
    return HttpRequest("POST", destination.url, headers, body, frozenset(["webhook-signature"]))


def signature(secret: str, message_id: str, seconds: int, body: bytes) -> str:
    """v1,<base64 of HMAC-SHA-256 over id.timestamp.body>; a secret that is not whsec_<base64> counts by its own bytes."""
    text = secret.removeprefix("whsec_")
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = secret.encode()
    digest = hmac(key, b"%b.%d.%b" % (message_id.encode(), seconds, body), sha256).digest()
    return f"v1,{b64encode(digest).decode()}"
