"""A person is found in every form, and nobody else is."""

from hashlib import sha256

import pytest

from streams.identifiers import key
from streams.person import person

PII_KEY = b"test"


@pytest.mark.parametrize(
    ("kind", "given", "text"),
    [
        ("email", "Ann@Example.com ", "sub=1&email=ann@example.com"),
        ("email", "ann@example.com", "email=ANN%40example.com&x=1"),
        ("email", "ann@example.com", "next=%2Fuser%3Dann%40example.com%26x"),
        ("email", "ann@example.com", '{"mail":"mailto:ann@example.com"}'),
        ("email", "ann@example.com", "<ann@example.com>."),
        ("email", "ann@example.com", f"em={sha256(b'ann@example.com').hexdigest()}"),
        ("email", "ann@example.com", f'["email","{key("email", "ann@example.com", PII_KEY)}"]'),
        ("email", "a.n.n+x@gmail.com", f"em={sha256(b'ann@gmail.com').hexdigest()}"),
        ("email", "ännä@exämple.com", "email=%C3%A4nn%C3%A4%40ex%C3%A4mple.com"),
        ("phone", "+1 555 010 9999", "tel=%2B15550109999"),
        ("phone", "+1 555 010 9999", "tel=1 (555) 010-9999"),
        ("phone", "+1 555 010 9999", "tel=0015550109999&x"),
        ("phone", "+1 555 010 9999", f"ph={sha256(b'+15550109999').hexdigest()}"),
        ("external_id", "C-1001", "customer=C-1001&value=3"),
        ("click_id", "k1234567", '{"click_id":"k1234567"}'),
        ("ip", "203.0.113.77", "203.0.113.77, 10.0.0.1"),
    ],
)
def test_found(kind, given, text):
    """Forms of an identifier that senders, browsers and our own stores use."""
    who = person(kind, given, PII_KEY)
    assert who.is_in(text)
    assert who.is_in_bytes(text.encode())
    assert not who.is_in(who.scrubbed(text))


@pytest.mark.parametrize(
    ("kind", "given", "text"),
    [
        ("email", "ann@example.com", "joann@example.com"),
        ("email", "ann@example.com", "jo-ann@example.com jo.ann@example.com jo_ann%40example.com"),
        ("email", "ann@example.com", "ann@example.com.au ann@example.community"),
        ("phone", "+1 555 010 9999", "order=915550109999"),
        ("phone", "+1 555 010 9999", "order=155501099991"),
        ("external_id", "10015", "value=210015 100150"),
        ("ip", "203.0.113.7", "203.0.113.77 1.203.0.113.7"),
    ],
)
def test_others_are_not(kind, given, text):
    """Somebody else's value that contains it."""
    assert not person(kind, given, PII_KEY).is_in(text)


@pytest.mark.parametrize(
    ("kind", "given"),
    [("email", "{email}"), ("external_id", "42"), ("click_id", "abc"), ("phone", "12"), ("ip", "nowhere"), ("name", "Ann Smith")],
)
def test_refused(kind, given):
    """What would find everybody, or nobody."""
    with pytest.raises(ValueError, match=r"no |fewer"):
        person(kind, given, PII_KEY)


def test_the_pseudonym_tells_nothing_and_is_stable():
    """The same person, the same pseudonym; under another key another one."""
    first, again, other = (person("click_id", "k1234567", k) for k in (b"a", b"a", b"b"))
    assert first.pseudonym == again.pseudonym != other.pseudonym
    assert "k1234567" not in first.pseudonym
