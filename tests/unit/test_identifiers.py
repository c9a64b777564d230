"""Identifiers: one form for the collected and the passed one, and keyed hashes (A22, A23)."""

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import identifiers
from streams.identifiers import EMAIL, EXTERNAL_ID, IP, PHONE, key, keys, normal

SECRET = b"pepper"


@pytest.mark.parametrize(
    ("kind", "text", "form"),
    [
        (EMAIL, " Jane.Doe@Example.COM ", "jane.doe@example.com"),
        (EMAIL, "mailto:jane@example.com", "jane@example.com"),
        (EMAIL, "jane.doe+x@gmail.com", "jane.doe+x@gmail.com"),  # dots and +tag count unless the property says otherwise
        (EMAIL, "jane@BÜCHER.example", "jane@bücher.example"),
        (EMAIL, "no address", "no address"),
        (PHONE, "+1 (650) 555-1212", "16505551212"),
        (PHONE, "1-650-555-1212", "16505551212"),
        (PHONE, "0049 30 901820", "4930901820"),
        (PHONE, "+44 (0)20 7946 0958", "442079460958"),
        (PHONE, "+999", "999"),
        (EXTERNAL_ID, "  AbC-1 ", "AbC-1"),
        (IP, "10.1.2.3", "10.1.2.3"),
        (IP, "::ffff:10.1.2.3", "10.1.2.3"),
        (IP, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        (IP, "10.1.2.3:8080", "10.1.2.3"),
        (IP, "[2001:db8::1]:443", "2001:db8::1"),
        (IP, "10.1.2.3, 192.0.2.1", "10.1.2.3"),
        (IP, "fe80::1%eth0", "fe80::1"),
        (IP, "300.1.2.3", None),
        (IP, "010.1.2.3", None),
        (IP, "localhost", None),
    ],
)
def test_normal_forms(kind, text, form):
    assert normal(kind, text) == form


@pytest.mark.parametrize("kind", [EMAIL, PHONE, EXTERNAL_ID, IP, "click_id"])
@pytest.mark.parametrize(
    "text", ["", " ", "null", "undefined", "N/A", "none", "guest", "test@test.com", "TEST@test.com", "{email}", "%EMAIL%", "[EMAIL]"]
)
def test_placeholders_are_refused(kind, text):
    assert key(kind, text, SECRET) is None


@pytest.mark.parametrize(
    ("kind", "text", "digest"),
    [
        (EMAIL, "john_smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
        (PHONE, "+1 650 555 1212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
        (EMAIL, "jane.doe@gmail.com", "831f6494ad6be4fcb3a724c3d5fef22d3ceffa3c62ef3a7984e45a0ea177f982"),
    ],
)
def test_hashed_value_meets_the_collected_one(kind, text, digest):
    """Test vectors of 3-trade: a 64-hex value is not hashed twice."""
    assert sha256(normal(kind, text).encode()).hexdigest() == digest
    assert key(kind, text, SECRET) == key(kind, digest, SECRET) == key(kind, digest.upper(), SECRET)


def test_gmail_aliases_are_a_switch():
    assert key(EMAIL, "jane.doe+x@gmail.com", SECRET) != key(EMAIL, "janedoe@gmail.com", SECRET)
    assert key(EMAIL, "Jane.Doe+x@googlemail.com", SECRET, gmail_aliases=True) == key(
        EMAIL, "janedoe@gmail.com", SECRET, gmail_aliases=True
    )
    assert key(EMAIL, "j.d+x@example.com", SECRET, gmail_aliases=True) == key(EMAIL, "j.d+x@example.com", SECRET)


def test_a_collected_gmail_address_is_found_under_the_hash_of_either_form():
    """3-trade section 6: Google leaves out dots and +tag before it hashes, Meta does not."""
    found = keys(EMAIL, "Jane.Doe+x@gmail.com", SECRET, gmail_aliases=True)
    assert found == [key(EMAIL, text, SECRET) for text in ("janedoe@gmail.com", "jane.doe+x@gmail.com")]
    assert len(keys(EMAIL, "janedoe@gmail.com", SECRET, gmail_aliases=True)) == 1
    assert keys(EMAIL, "Jane.Doe+x@gmail.com", SECRET) == [key(EMAIL, "jane.doe+x@gmail.com", SECRET)]


@pytest.mark.parametrize(
    ("address", "first"),
    [("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"), ("2001:db8::1", "2001:db8::"), ("::1", "::"), ("192.0.2.1", "192.0.2.1")],
)
def test_the_network_of_an_address(address, first):
    """A36: the /64 of IPv6 as an option of 3-trade section 6."""
    assert identifiers.network(address) == first


def test_keys_are_keyed_and_say_nothing():
    found = key(EMAIL, "jane@example.com", SECRET)
    assert re.fullmatch(r"[0-9a-f]{32}", found)
    assert found != key(EMAIL, "jane@example.com", b"other")
    assert key("click_id", " c1-x ", SECRET) == "c1-x"  # a click id names no person


@given(st.sampled_from([EMAIL, PHONE, EXTERNAL_ID, IP, "click_id"]), st.text(), st.binary(max_size=80), st.booleans())
def test_total_and_deterministic(kind, text, secret, gmail_aliases):
    assert key(kind, text, secret, gmail_aliases) == key(kind, text, secret, gmail_aliases)
    assert identifiers.ip(text) is None or identifiers.ip(identifiers.ip(text)) == identifiers.ip(text)


E164 = (
    "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176",
    "1e231c66011e7a2d867a9cfae267a6aff103cf4913640b6e71a99850fc0ffbc8",
)


@pytest.mark.parametrize("text", ["+1 650 555-1212", "16505551212", "001 650 555 1212"])
def test_a_collected_phone_number_is_found_under_both_of_its_hashes(text):
    """3-trade section 6: Meta hashes digits, Google and TikTok E.164 with its plus; first the form in which a clear number is looked for."""
    assert keys("phone", text, b"k") == [key("phone", digest, b"k") for digest in E164]
    assert keys("phone", text, b"k")[0] == key("phone", text, b"k")


@pytest.mark.parametrize(("kind", "text", "count"), [
    ("phone", E164[1], 1), ("phone", "n/a", 0), ("phone", "", 0), ("email", "a@example.com", 1), ("external_id", "+4930", 1), ("ip", "192.0.2.1", 1),
])  # fmt: skip
def test_any_other_identifier_has_one_key(kind, text, count):
    assert keys(kind, text, b"k") == [key(kind, text, b"k")][:count]
