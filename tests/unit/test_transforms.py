"""Addresses with transforms: refused when they are saved, and what they get out of a payload."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.addresses import TRANSFORMS, Address, Step, parse
from schemas.mapping import Mapping
from streams import transforms
from streams.shapes import NAMES_LIMIT, SHAPE_LIMIT, Lookup
from tests.unit.test_parse import parse as parsed

SHOPIFY = {
    "landing_site": "/products/tea?utm_source=x&Click-ID=c1%2B2&cid=#top",
    "note_attributes": [{"name": "gift", "value": "yes"}, {"name": "click_id", "value": "c9"}],
    "meta_data": [{"id": 7, "key": "_cid", "value": "c8"}],
}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sub_id", Address("sub_id", "sub_id")),
        ("=USD", Address("=USD", "USD", is_constant=True)),
        ("=a|b", Address("=a|b", "a|b", is_constant=True)),  # a constant is taken as it is
        ("!livemode", Address("!livemode", "livemode", is_negated=True)),
        ("url|query:cid", Address("url|query:cid", "url", (Step("query", "cid"),))),
        ("notes|named:u|query:a:b", Address("notes|named:u|query:a:b", "notes", (Step("named", "u"), Step("query", "a:b")))),
        ("sub|split:::-1", Address("sub|split:::-1", "sub", (Step("split", ":", "-1"),))),
        ("original|when:false=correction", Address("original|when:false=correction", "original", (Step("when", "false", "correction"),))),
    ],
)
def test_addresses_are_taken_apart(text, address):
    assert parse(text) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("url|qurey:cid", "'url|qurey:cid': there is no transform 'qurey'; did you mean query?"),
        ("url|regex:.*", "there is no transform 'regex'; there are named, query, split, starts, when"),
        ("url|", "there is no transform ''"),
        ("url|query", "query is written query:NAME"),
        ("url|query:", "query is written query:NAME"),
        ("sub|split:_", "split is written split:SEPARATOR:N"),
        ("sub|split:_:x", "split is written split:SEPARATOR:N"),
        ("sub|split::0", "split is written split:SEPARATOR:N"),
        ("original|when:false", "when is written when:VALUE=RESULT"),
        ("original|when:false=", "when is written when:VALUE=RESULT"),
        ("url|query:a|named:b", "named takes the list itself, so it comes first"),
        ("|query:a", "has an empty part"),
    ],
)
def test_a_broken_transform_is_refused_with_place_and_reason(text, reason):
    with pytest.raises(ValueError, match=r"(?s)click_id\.0.*") as caught:
        Mapping.model_validate({"click_id": [text]})
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("addresses", "payload", "click_id"),
    [
        ("landing_site|query:click_id", SHOPIFY, "c1+2"),  # names in the URL are compared as parameters are
        ("landing_site|query:cid", SHOPIFY, None),
        ("note_attributes|named:click_id", SHOPIFY, "c9"),
        ("NoteAttributes|named:CLICK-ID", SHOPIFY, "c9"),
        ("meta_data|named:_cid", SHOPIFY, "c8"),
        ("note_attributes|named:gone", SHOPIFY, None),
        (["note_attributes|named:gone", "landing_site|query:click_id"], SHOPIFY, "c1+2"),
        (["note_attributes|named:gone", "=c0"], SHOPIFY, "c0"),
        (["cid", "landing_site|query:click_id"], {**SHOPIFY, "cid": ""}, "c1+2"),
        (["cid", "landing_site|query:click_id"], {**SHOPIFY, "cid": "{cid}"}, "c1+2"),  # a macro does not hide what stands in the next
        (["landing_site|query:click_id", "cid"], {**SHOPIFY, "cid": "c3"}, "c1+2"),
        ("note_attributes|named:page|query:cid", {"note_attributes": [{"name": "page", "value": "https://x/?cid=c4"}]}, "c4"),
        ("sub|split:_:0", {"sub": "c5_campaign"}, "c5"),
        ("sub|split:_:-1", {"sub": "c5_campaign"}, "campaign"),
        ("sub|split:_:2", {"sub": "c5_campaign"}, None),
        ("id|starts:in_", {"id": "in_6"}, "in_6"),
        ("id|starts:in_", {"id": "pi_6"}, None),
        ("kind|when:X=c7", {"kind": " x "}, "c7"),
        ("kind|when:X=c7", {"kind": "y"}, None),
        (["id|starts:in_", "id"], {"id": "pi_6"}, "pi_6"),
    ],
)  # fmt: skip
def test_what_transforms_get(addresses, payload, click_id):
    assert parsed(payload, {"click_id": addresses})["click_id"] == click_id


@pytest.mark.parametrize(
    ("addresses", "payload", "param"),
    [
        ("note_attributes|named:click_id", {}, "note_attributes|named:click_id"),
        (["note_attributes|named:click_id", "cid"], {"cid": "", "note_attributes": [{"name": "a", "value": "b"}]}, "cid"),
    ],
)
def test_the_parameter_that_an_error_quotes(addresses, payload, param):
    """A26: a parameter that is there, else the mapping as it is written."""
    assert parsed(payload, {"click_id": addresses})["click_param"] == param


def test_the_order_of_a_list_does_not_matter():
    """The shape of two payloads is the same; where the wanted entry stands is looked up in each."""
    mapping = {"click_id": "notes|named:cid", "external_id": ["notes|named:user", "uid"], "test": "notes|named:test"}
    entries = [{"name": "cid", "value": "c1"}, {"name": "user", "value": "u1"}, {"name": "test", "value": "1"}]
    found = [parsed({"notes": order, "uid": "u2"}, mapping) for order in (entries, entries[::-1])]
    assert [(event["click_id"], len(event["refs"]), event["is_test"]) for event in found] == [("c1", 2, True)] * 2


def test_forms_have_lists_of_objects_too():
    event = parsed(b"meta[0][name]=a&meta[0][value]=b&meta[1][name]=cid&meta[1][value]=c1", {"click_id": "meta|named:cid"})
    assert event["click_id"] == "c1"


def test_the_tables_agree():
    assert set(TRANSFORMS) == {"named", *transforms._CHANGES}
    assert all(transform.form.startswith(f"{name}:") for name, transform in TRANSFORMS.items())


def test_wide_payloads_are_matched_once_and_the_memory_is_bounded():
    """An order of a shop has hundreds of names: matching them each time would cost more than all the rest of parsing."""
    lookup = Lookup(Mapping())
    wide = {f"n{i}": "1" for i in range(300)}
    assert lookup.shape(wide) is lookup.shape(dict(wide))
    for i in range(1000):
        lookup.shape({**wide, f"x{i}": "1"})
    assert sum(map(len, lookup._shapes)) <= NAMES_LIMIT
    assert len(lookup._shapes) <= SHAPE_LIMIT


ADDRESSES = st.sampled_from(["n|named:a", "n|named:a|query:b", "u|query:b", "u|split:a:1", "u|starts:a", "u|when:a=b", "n", "u.0"])


values = st.recursive(
    st.text(max_size=9),
    lambda inner: (
        st.lists(st.dictionaries(st.sampled_from(["name", "key", "value"]), inner)) | st.dictionaries(st.sampled_from(["n", "name"]), inner)
    ),
)


@given(st.lists(ADDRESSES, min_size=1, max_size=4), values, values)
def test_total(addresses, n, u):
    """Whatever a sender puts where a list or a URL is expected, the answer is a text or nothing."""
    event = parsed({"n": n, "u": u}, {"click_id": addresses, "external_id": addresses, "test": addresses, "value": addresses})
    assert event["click_id"] is None or isinstance(event["click_id"], str)
