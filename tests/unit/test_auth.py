"""Who may send: each sender's scheme against requests that a sender written apart from it has signed."""

import hashlib
import time

import pytest
from pydantic import TypeAdapter
from pydantic import ValidationError as Invalid

from schemas.auth import Auth
from streams.ingest import auth
from streams.ingest.answers import Refused
from streams.ingest.body import Body
from streams.sealed import SEALED, clickbank_key, open_clickbank, reader
from tests import senders

SECRET = "S3CRET"
NOW = int(time.time())  # the requests are signed when this file is loaded, and judged as of then, however long the suite takes
FORM = b"event=on_payment&api_mode=live&amount=49.90&empty=&buyer=K%C3%B6ln+GmbH&transaction_id=1"
JSON = b'{"id":"evt_1"}'
AUTHS = {
    "stripe": {"kind": "stripe", "secret": SECRET},
    "digistore24": {"kind": "digistore24", "secret": SECRET},
    "clickbank": {"kind": "clickbank", "secret": SECRET},
    "basic": {"kind": "basic", "user": "sas", "password": "p:w"},
    "shopify": {"kind": "hmac", "secret": SECRET, "header": "X-Shopify-Hmac-Sha256", "encoding": "base64"},
}


def check(name, headers=None, body=b"", **changes):
    """The answer: ok, or the code of the refusal."""
    model = TypeAdapter(Auth).validate_python(AUTHS[name] | changes)
    try:
        auth.check(model, headers or {}, b"", Body(body, body))
    except Refused as refused:
        return refused.code
    return "ok"


@pytest.mark.parametrize(
    ("name", "headers", "body", "answer"),
    [
        ("stripe", senders.stripe(SECRET, JSON, NOW), JSON, "ok"),
        ("stripe", {}, JSON, "unauthorized"),
        ("stripe", {"Stripe-Signature": "nonsense"}, JSON, "unauthorized"),
        ("stripe", senders.stripe("other", JSON, NOW), JSON, "forbidden"),
        ("stripe", senders.stripe(SECRET, JSON, NOW), JSON + b" ", "forbidden"),
        ("stripe", senders.stripe(SECRET, JSON, NOW - 301), JSON, "stale_signature"),
        ("stripe", senders.stripe(SECRET, JSON, NOW + 400), JSON, "stale_signature"),
        ("stripe", {"Stripe-Signature": "t=²,v1=x"}, JSON, "stale_signature"),
        ("stripe", {"Stripe-Signature": senders.stripe(SECRET, JSON, NOW)["Stripe-Signature"].replace(",v1=", ",v1=00,v1=")}, JSON, "ok"),  # rolling
        ("digistore24", {}, senders.digistore24(SECRET, FORM), "ok"),
        ("digistore24", {}, senders.digistore24(SECRET, FORM).replace(b"49.90", b"99.90"), "forbidden"),
        ("digistore24", {}, senders.digistore24("other", FORM), "forbidden"),
        ("digistore24", {}, FORM, "unauthorized"),
        ("digistore24", {}, b"", "unauthorized"),
        ("digistore24", {}, b"\xff\xfe", "unauthorized"),
        ("clickbank", {}, senders.clickbank(SECRET, {"receipt": "R1"}), "ok"),
        ("clickbank", {}, senders.clickbank("OTHER", {"receipt": "R1"}), "forbidden"),
        ("clickbank", {}, b'{"receipt": "R1"}', "forbidden"),
        ("clickbank", {}, b"[]", "forbidden"),
        ("clickbank", {}, b'{"notification": 5, "iv": null}', "forbidden"),
        ("clickbank", {}, b'{"notification": "YQ==", "iv": "YQ=="}', "forbidden"),
        ("clickbank", {}, senders.clickbank(SECRET, b"no JSON"), "forbidden"),
        ("basic", senders.basic("sas", "p:w"), b"", "ok"),
        ("basic", senders.basic("sas", "wrong"), b"", "forbidden"),
        ("basic", {"Authorization": "Basic ä"}, b"", "forbidden"),
        ("basic", {"Authorization": "Bearer p:w"}, b"", "unauthorized"),
        ("basic", {}, b"", "unauthorized"),
        ("shopify", senders.body_hmac("X-Shopify-Hmac-Sha256", SECRET, JSON), JSON, "ok"),
        ("shopify", senders.body_hmac("X-Shopify-Hmac-Sha256", SECRET, JSON), JSON + b"\n", "forbidden"),
    ],
)  # fmt: skip
def test_each_scheme(name, headers, body, answer, monkeypatch):
    monkeypatch.setattr(auth, "time", lambda: NOW)
    assert check(name, headers, body) == answer


def test_a_digistore24_signature_by_hand():
    """Worked out by hand from the rule: sorted, empty fields left out, the passphrase behind each."""
    right = hashlib.sha512(b"a=1SECRETb=xSECRET").hexdigest().upper()
    assert check("digistore24", {}, f"b=x&c=&a=1&sha_sign={right}".encode(), secret="SECRET") == "ok"


def test_the_tolerance_of_stripe_is_a_setting():
    assert check("stripe", senders.stripe(SECRET, JSON, int(time.time()) - 500), JSON, tolerance_s=600) == "ok"


def test_a_scheme_needs_its_secret():
    with pytest.raises(Invalid):
        TypeAdapter(Auth).validate_python({"kind": "stripe"})
    assert {model["kind"] for model in AUTHS.values()} < set(auth._CHECKS)


# Made with `openssl enc -aes-256-cbc`, so that neither our code nor our test's sender vouches for itself.
OPENSSL = b'{"notification": "g/TX1y81lsRSh9cHWjNNLjm2TPCaWlPo4sulnHhUAnM+oKPvnfzsG7ixD1oSosXI", "iv": "AAECAwQFBgcICQoLDA0ODw=="}'


def test_an_encrypted_notification_is_opened_with_the_key_of_the_secret():
    """ClickBank: AES-256-CBC, the key is the first 32 hex digits of SHA-1(secret)."""
    key = clickbank_key("SECRET")
    assert key == b"3c3b274d119ff5a5ec6c1e215c1cb794"
    assert open_clickbank(OPENSSL, key) == b'{"receipt":"ABCD1234","transactionType":"SALE"}'


def test_a_sealed_payload_is_read_like_what_is_inside():
    read = reader(TypeAdapter(Auth).validate_python(AUTHS["clickbank"]))
    body = senders.clickbank(SECRET, {"receipt": "R1", "customer": {"billing": {"email": "a@b.de"}}})
    assert read(body, "", "POST", "") == ({"receipt": "R1", "customer.billing.email": "a@b.de"}, None)
    assert read(body[:-9], "", "POST", "") == ({}, SEALED)
    assert reader(None)(b'{"a": 1}', "", "POST", "") == ({"a": "1"}, None)
