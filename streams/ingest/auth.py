"""Proves that a payload comes from its source: one function per scheme of `schemas/auth.py`, chosen by the table at the end.

Every comparison is constant in time. "Raw body" means the bytes on the wire; with a Content-Encoding the bytes behind it count as well,
because some senders sign before a proxy compresses. For a GET it is the raw query string.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from time import time
from typing import Any
from urllib.parse import unquote_to_bytes

from schemas.auth import Auth, BasicAuth, ClickBankAuth, Digistore24Auth, HmacAuth, StandardWebhookAuth, StripeAuth, TokenAuth
from streams.ingest import signatures
from streams.ingest.answers import Refused
from streams.ingest.body import Body
from streams.sealed import clickbank_key, open_clickbank

Headers = Mapping[str, str]

TOLERANCE_S = 300  # Standard Webhooks' own figure
TOKEN_HEADER = "X-Clicktrail-Token"  # noqa: S105 - a name


def check(auth: Auth | None, headers: Headers, query: bytes, body: Body) -> None:
    """Return if the request proves its source, else raise Refused: unauthorized (nothing given), forbidden (wrong)."""
    if auth is not None:
        _CHECKS[auth.kind](auth, headers, query, body)


def _check_token(auth: TokenAuth, headers: Headers, query: bytes, body: Body) -> None:  # noqa: ARG001
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


def _check_hmac(auth: HmacAuth, headers: Headers, query: bytes, body: Body) -> None:  # noqa: ARG001
    given = headers.get(auth.header)
    if not given:
        raise Refused("unauthorized")
    given = given.strip().removeprefix(auth.prefix)
    try:
        signature = bytes.fromhex(given) if auth.encoding == "hex" else base64.b64decode(given, validate=True)
    except (ValueError, binascii.Error):
        raise Refused("forbidden") from None
    _compare(auth.secret.get_secret_value().encode(), auth.algorithm, b"", body, [signature])


def _check_standard(auth: StandardWebhookAuth, headers: Headers, query: bytes, body: Body) -> None:  # noqa: ARG001
    """https://github.com/standard-webhooks/standard-webhooks: v1 signatures, any of several may match (key rotation)."""
    message_id, sent_at, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and sent_at and given):
        raise Refused("unauthorized")
    _check_age(sent_at, TOLERANCE_S)
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


def _check_age(sent_at: str, tolerance_s: int) -> None:
    """A signature that somebody recorded must not be good for ever."""
    if not (sent_at.isascii() and sent_at.isdecimal()) or len(sent_at) > 12 or abs(time() - int(sent_at)) > tolerance_s:
        raise Refused("stale_signature")


def _check_basic(auth: BasicAuth, headers: Headers, query: bytes, body: Body) -> None:  # noqa: ARG001
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise Refused("unauthorized", WWW_Authenticate="Basic")
    try:
        found = base64.b64decode(given.strip(), validate=True)
    except (ValueError, binascii.Error):
        raise Refused("forbidden") from None
    if not hmac.compare_digest(found, f"{auth.user}:{auth.password.get_secret_value()}".encode()):
        raise Refused("forbidden")


def _check_stripe(auth: StripeAuth, headers: Headers, query: bytes, body: Body) -> None:  # noqa: ARG001
    sent_at, given = signatures.stripe_parts(headers.get("Stripe-Signature", ""))
    if not sent_at or not given:
        raise Refused("unauthorized")
    _check_age(sent_at, auth.tolerance_s)
    secret = auth.secret.get_secret_value()
    _same(given, [signatures.stripe(secret, sent_at, message) for message in {body.wire, body.plain}])


def _check_digistore24(auth: Digistore24Auth, headers: Headers, query: bytes, body: Body) -> None:  # noqa: ARG001
    right, given = signatures.digistore24(auth.secret.get_secret_value(), body.plain)
    if not given:
        raise Refused("unauthorized")
    _same([given], [right])


def _check_clickbank(auth: ClickBankAuth, headers: Headers, query: bytes, body: Body) -> None:  # noqa: ARG001
    """The notification opens with the source's secret, and JSON is inside."""
    try:
        open_clickbank(body.plain, clickbank_key(auth.secret.get_secret_value()))
    except ValueError:
        raise Refused("forbidden") from None


def _same(given: list[str], expected: list[str]) -> None:
    matches = [hmac.compare_digest(one.encode("utf-8", "replace"), right.encode()) for one in given for right in expected]
    if not any(matches):
        raise Refused("forbidden")


_CHECKS: dict[str, Callable[[Any, Headers, bytes, Body], None]] = {
    "token": _check_token,
    "basic": _check_basic,
    "hmac": _check_hmac,
    "standard_webhooks": _check_standard,
    "stripe": _check_stripe,
    "digistore24": _check_digistore24,
    "clickbank": _check_clickbank,
}
