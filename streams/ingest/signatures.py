"""The signature schemes of single senders, one function each: what the sender must have computed, and nothing about requests.

`auth.py` takes them to the door. Each is tested against a sender written apart from it (tests/senders.py), because the same mistake made
twice agrees with itself.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl

SHA_SIGN = "sha_sign"


def stripe(secret: str, sent_at: str, body: bytes) -> str:
    """Stripe's v1: HMAC-SHA-256 in hex over `<t>.<body>` (docs.stripe.com/webhooks/signature)."""
    return hmac.new(secret.encode(), f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()


def stripe_parts(header: str) -> tuple[str, list[str]]:
    """(t, all v1) of a Stripe-Signature header; while a secret is rolled there are several v1."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    sent_at = next((value for name, _, value in parts if name == "t"), "")
    return sent_at, [value for name, _, value in parts if name == "v1"]


def digistore24(passphrase: str, body: bytes) -> tuple[str, str]:
    """(sha_sign that must be, sha_sign that is) of a form: SHA-512 in capitals over its fields that are not empty, sorted by name, each
    written `name=value` with the passphrase behind it (dev.digistore24.com, Quick Integration Guide).
    """
    fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    given = next((value for name, value in fields if name.lower() in (SHA_SIGN, "shasign")), "")
    signed = sorted(
        (field for field in fields if field[0].lower() not in (SHA_SIGN, "shasign")), key=lambda field: field[0].partition("[")[0]
    )
    text = "".join(f"{name}={value}{passphrase}" for name, value in signed if value)
    return hashlib.sha512(text.encode()).hexdigest().upper(), given.upper()
