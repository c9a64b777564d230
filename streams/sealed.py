"""Payloads that come encrypted: opened to be read, kept as they came.

ClickBank encrypts each notification; its bytes go to the log unchanged, because they are what was received, and parse reads what is inside.
The secret comes with the source's settings of the version that the payload names, so a changed secret does not close old payloads.

Opening is also how ingest knows the sender: ClickBank signs nothing, but nobody without the secret writes bytes that open as JSON
(support.clickbank.com, Instant Notification Service, versions 6 to 8). It costs about 20 us, and only sources that need it pay.
"""

from base64 import b64decode
from collections.abc import Callable
from hashlib import sha1

import orjson

from schemas.auth import Auth, ClickBankAuth
from streams import payload
from streams.json_payload import read_json

Read = Callable[[bytes, str, str, str], tuple[dict[str, str], str | None]]
"""(body, content type, method, query) -> (parameters, why they can't be read), as payload.read is."""

SEALED = "the notification does not open with the source's secret"


def reader(auth: Auth | None) -> Read:
    """How payloads of a source with this auth are read."""
    return _clickbank_reader(auth.secret.get_secret_value()) if isinstance(auth, ClickBankAuth) else payload.read


def _clickbank_reader(secret: str) -> Read:
    key = clickbank_key(secret)

    def read(value: bytes, content_type: str = "", method: str = "POST", query: str = "") -> tuple[dict[str, str], str | None]:  # noqa: ARG001 - what is inside is JSON, whatever the outside claims
        try:
            opened = open_clickbank(value, key)
        except ValueError as error:
            return {}, str(error)
        return payload.read(opened, "application/json", "POST", query)

    return read


def clickbank_key(secret: str) -> bytes:
    """ClickBank's key: the first 32 hex digits of the secret's SHA-1, as characters."""
    return sha1(secret.encode()).hexdigest()[:32].encode()  # noqa: S324 - ClickBank's choice


def open_clickbank(value: bytes, key: bytes) -> bytes:
    """The JSON inside {"notification", "iv"}. ValueError when it does not open, which is how a forged one is known."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # 25 ms that only such sources need
    from cryptography.hazmat.primitives.padding import PKCS7

    try:
        envelope = orjson.loads(value)
        sealed, vector = b64decode(envelope["notification"], validate=True), b64decode(envelope["iv"], validate=True)
        decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
        unpadder = PKCS7(128).unpadder()
        padded = decryptor.update(sealed) + decryptor.finalize()
        opened = unpadder.update(padded) + unpadder.finalize()
        read_json(opened)  # the padding alone fits one wrong key in 256
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(SEALED) from error
    return opened
