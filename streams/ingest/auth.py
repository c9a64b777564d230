"""Proves that a payload comes from its source: a shared token, an HMAC over the raw body, or Standard Webhooks signatures.

Every comparison is constant in time. "Raw body" means the bytes on the wire; with a Content-Encoding the bytes behind it count as well,
because some senders sign before a proxy compresses. For a GET it is the raw query string.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from time import time
from urllib.parse import unquote_to_bytes

from schemas.policies import Auth, HmacAuth, StandardWebhookAuth, TokenAuth
from streams.ingest.answers import Refused
from streams.ingest.body import Body

TOLERANCE_S = 300  # Standard Webhooks' own figure
TOKEN_HEADER = "X-Clicktrail-Token"  # noqa: S105 - a name


def check(auth: Auth | None, headers: Mapping[str, str], query: bytes, body: Body) -> None:
    """Return if the request proves its source, else raise Refused: unauthorized (nothing given), forbidden (wrong)."""
    if auth is None:
        return
    if isinstance(auth, TokenAuth):
        _check_token(auth, headers, query)
    elif isinstance(auth, HmacAuth):
        _check_hmac(auth, headers, body)
    else:
        _check_standard(auth, headers, body)


def _check_token(auth: TokenAuth, headers: Mapping[str, str], query: bytes) -> None:
    given = [headers.get(TOKEN_HEADER), headers.get(auth.header) if auth.header else None, headers.get("Authorization")]
    tokens = [_bare(value).encode("utf-8", "surrogateescape") for value in given if value]
    if auth.parameter and query:
        tokens += parameter_values(query, auth.parameter.encode())
    if not tokens:
        raise Refused("unauthorized", WWW_Authenticate="Bearer")
    expected = auth.token.get_secret_value().encode()
    if not any([hmac.compare_digest(token, expected) for token in tokens]):  # noqa: C419 - all are compared, whatever the first says
        raise Refused("forbidden")


def _bare(value: str) -> str:
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()


def parameter_values(query: bytes, name: bytes) -> list[bytes]:
    """Return the values of a query parameter, percent-decoded as bytes."""
    found = []
    for part in query.split(b"&"):
        key, _, value = part.partition(b"=")
        if key == name or (b"%" in key and unquote_to_bytes(key) == name):
            found.append(unquote_to_bytes(value.replace(b"+", b" ")))
    return found


def _check_hmac(auth: HmacAuth, headers: Mapping[str, str], body: Body) -> None:
    given = headers.get(auth.header)
    if not given:
        raise Refused("unauthorized")
    given = given.strip().removeprefix(auth.prefix)
    try:
        signature = bytes.fromhex(given) if auth.encoding == "hex" else base64.b64decode(given, validate=True)
    except (ValueError, binascii.Error):
        raise Refused("forbidden") from None
    _compare(auth.secret.get_secret_value().encode(), auth.algorithm, b"", body, [signature])


def _check_standard(auth: StandardWebhookAuth, headers: Mapping[str, str], body: Body) -> None:
    """https://github.com/standard-webhooks/standard-webhooks: v1 signatures, any of several may match (key rotation)."""
    message_id, sent_at, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and sent_at and given):
        raise Refused("unauthorized")
    if not sent_at.isdecimal() or len(sent_at) > 12 or abs(time() - int(sent_at)) > TOLERANCE_S:
        raise Refused("stale_signature")
    secret = auth.secret.get_secret_value()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
        signatures = [base64.b64decode(part[3:]) for part in given.split() if part.startswith("v1,")]
    except (ValueError, binascii.Error):
        raise Refused("forbidden") from None
    _compare(key, "sha256", f"{message_id}.{sent_at}.".encode("utf-8", "surrogateescape"), body, signatures)


def _compare(key: bytes, algorithm: str, before: bytes, body: Body, signatures: list[bytes]) -> None:
    messages = {body.wire, body.plain}
    expected = [hmac.new(key, before + message, getattr(hashlib, algorithm)).digest() for message in messages]
    matches = [hmac.compare_digest(signature, right) for signature in signatures for right in expected]
    if not any(matches):
        raise Refused("forbidden")
