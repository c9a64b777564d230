"""What senders do: they sign and encrypt, each in its own way. Written from their documentation, apart from the code that checks it."""

import base64
import hashlib
import hmac
import json
import os
import time
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def clickbank(secret, notification, vector=None):
    """ClickBank INS: {"notification", "iv"} as bytes."""
    vector = vector or os.urandom(16)
    clear = json.dumps(notification).encode() if isinstance(notification, dict) else notification
    clear += bytes([16 - len(clear) % 16]) * (16 - len(clear) % 16)
    encryptor = Cipher(algorithms.AES(hashlib.sha1(secret.encode()).hexdigest()[:32].encode()), modes.CBC(vector)).encryptor()
    sealed = encryptor.update(clear) + encryptor.finalize()
    return json.dumps({"notification": base64.b64encode(sealed).decode(), "iv": base64.b64encode(vector).decode()}).encode()


def stripe(secret, body, sent_at=None):
    sent_at = int(time.time()) if sent_at is None else sent_at
    digest = hmac.new(secret.encode(), b"%d.%s" % (sent_at, body), "sha256").hexdigest()
    return {"Stripe-Signature": f"t={sent_at},v1={digest},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"}


def digistore24(passphrase, body):
    """The form with its sha_sign behind it."""
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    text = ""
    for name in sorted(fields):
        if fields[name] != "":
            text += name + "=" + fields[name] + passphrase
    return (body + b"&" if body else b"") + urlencode({"sha_sign": hashlib.sha512(text.encode()).hexdigest().upper()}).encode()


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def body_hmac(header, secret, body):
    """Shopify and WooCommerce: HMAC-SHA-256 of the body in base64."""
    return {header: base64.b64encode(hmac.new(secret.encode(), body, "sha256").digest()).decode()}


def signed(auth, body):
    """(body, headers) of a request that proves itself to a source with this auth (as JSON); None needs nothing."""
    kind = auth and auth["kind"]
    if kind == "stripe":
        return body, stripe(auth["secret"], body)
    if kind == "digistore24":
        return digistore24(auth["secret"], body), {}
    if kind == "basic":
        return body, basic(auth["user"], auth["password"])
    if kind == "hmac":
        return body, body_hmac(auth["header"], auth["secret"], body)
    if kind == "token":
        return body, {"X-Clicktrail-Token": auth["token"]}
    return body, {}
