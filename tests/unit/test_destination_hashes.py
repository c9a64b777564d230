"""Hashes for ad platforms, against published vectors: the first two are Meta's own page's, all are recomputed in the trade notes."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.destination_hashes import FORMS, hashed
from streams.identifiers import EMAIL, PHONE

JOHN = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
DIGITS = "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"
E164 = "1e231c66011e7a2d867a9cfae267a6aff103cf4913640b6e71a99850fc0ffbc8"
JANE = "831f6494ad6be4fcb3a724c3d5fef22d3ceffa3c62ef3a7984e45a0ea177f982"
JANE_AT_GOOGLE = "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69"


@pytest.mark.parametrize(
    ("platform", "kind", "text", "digest"),
    [
        ("meta", EMAIL, " John_Smith@gmail.com", JOHN),
        ("google", EMAIL, "john_smith@gmail.com", JOHN),
        ("tiktok", EMAIL, "john_smith@gmail.com", JOHN),
        ("meta", PHONE, "+1 (650) 555-1212", DIGITS),
        ("meta", PHONE, "001 650 555 1212", DIGITS),
        ("google", PHONE, "+1 (650) 555-1212", E164),
        ("google", PHONE, "16505551212", E164),
        ("tiktok", PHONE, "+16505551212", E164),
        ("meta", EMAIL, "jane.doe@gmail.com", JANE),
        ("tiktok", EMAIL, "jane.doe@gmail.com", JANE),
        ("google", EMAIL, "Jane.Doe+news@gmail.com", JANE_AT_GOOGLE),
        ("google", EMAIL, "jane.doe@googlemail.com", sha256(b"janedoe@googlemail.com").hexdigest()),
        ("google", EMAIL, "jane.doe+x@example.com", sha256(b"jane.doe+x@example.com").hexdigest()),
        ("google", EMAIL, JANE.upper(), JANE),  # hashed already: not twice, and nothing can be taken out of it
        ("meta", PHONE, DIGITS, DIGITS),
        ("meta", EMAIL, "test@test.com", None),
        ("google", PHONE, "n/a", None),
        ("tiktok", EMAIL, "{email}", None),
        ("tiktok", PHONE, " ", None),
    ],
)
def test_forms_of_the_platforms(platform, kind, text, digest):
    assert hashed(platform, kind, text) == digest


def test_other_identifiers_are_not_sent_hashed():
    with pytest.raises(KeyError):
        hashed("meta", "ip", "10.0.0.1")


@given(st.sampled_from(sorted(FORMS)), st.sampled_from([EMAIL, PHONE]), st.text())
def test_total_and_hashed_once(platform, kind, text):
    digest = hashed(platform, kind, text)
    assert digest is None or hashed(platform, kind, digest) == digest
