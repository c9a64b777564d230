"""Bytes into parameters, whatever was sent and claimed (A03)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.json_payload import DEEPEST, MOST_FIELDS, TOO_DEEP, flatten, read_json
from streams.payload import KEPT_FIELDS, kept, read

JSON, FORM, XML = "application/json", "application/x-www-form-urlencoded", "application/xml"


@pytest.mark.parametrize(
    ("value", "content_type", "expected"),
    [
        (b'{"cid":"c1","amount":"1.50"}', JSON, {"cid": "c1", "amount": "1.50"}),
        (b'{"a":1,"b":true,"c":null,"d":false}', JSON, {"a": "1", "b": "true", "c": "", "d": "false"}),
        (b'{"cid":"c1"}', FORM, {"cid": "c1"}),  # curl -d with its default type
        (b'{"cid":"c1"}', "", {"cid": "c1"}),
        (b' \n[{"cid":"c1"}]\n', JSON, {"cid": "c1"}),
        (b'["a",{"b":2}]', JSON, {"0": "a", "1.b": "2"}),
        (b'{"order":{"customer":{"email":"j@x.de"},"items":[{"id":7},{"id":8}]}}', JSON,
         {"order.customer.email": "j@x.de", "order.items.0.id": "7", "order.items.1.id": "8"}),
        (b'{"a":[],"b":{}}', JSON, {"a": "", "b": ""}),
        (b'\xef\xbb\xbf{"a":"\xc3\xa9"}', JSON, {"a": "é"}),
        ('{"a":"é"}'.encode("utf-16"), JSON, {"a": "é"}),
        (b'{"a":"\xe9"}', JSON, {"a": "é"}),  # Windows-1252, although JSON is UTF-8
        (b'{"a":"x"}\0\n', JSON, {"a": "x"}),
        (b'{"a":"\\ud800"}', JSON, {"a": "\ufffd"}),
        (b'{"a":"\\ud83d\\ude00"}', JSON, {"a": "😀"}),
        (b'{"a":"1\t2"}', JSON, {"a": "1\t2"}),
        (b'{"":"x","a":"y"}', JSON, {"a": "y"}),
        (b'{"u":"https://x.de/?a:b","a":"c"}', JSON, {"u": "https://x.de/?a:b", "a": "c"}),
        (b"cid=c1&amount=1%2C50&name=J%C3%A4ne+D", FORM, {"cid": "c1", "amount": "1,50", "name": "Jäne D"}),
        (b"cid=c1&x", "text/plain", {"cid": "c1", "x": ""}),
        (b"name=J%E4ne", FORM, {"name": "Jäne"}),
        (b"name=J\xe4ne", FORM, {"name": "Jäne"}),
        (b"a=%zz&=1&&b=2\r\n", FORM, {"a": "%zz", "b": "2"}),
        (b"a=1=2&b=", FORM, {"a": "1=2", "b": ""}),
        (b"order[customer][email]=j%40x.de", FORM, {"order[customer][email]": "j@x.de"}),
        (b'<?xml version="1.0"?><sale id="7"><cid>c1</cid><item><n>1</n></item><item><n>2</n></item></sale>', XML,
         {"id": "7", "cid": "c1", "item.n": "1", "item.n.0": "1", "item.n.1": "2"}),
        (b'<a xmlns="urn:x"><b>1</b></a>', "", {"b": "1"}),
        (b'--B\r\nContent-Disposition: form-data; name="cid"\r\n\r\nc1\r\n--B--\r\n', "multipart/form-data; boundary=B", {"cid": "c1"}),
        (b"", JSON, {}),
        (b"{}", JSON, {}),
    ],
)  # fmt: skip
def test_reads(value, content_type, expected):
    assert read(value, content_type) == (expected, None)


@pytest.mark.parametrize(
    "text", ["12345678901234567890123", "12.50", "0.10", "-3", "1e5", "1E400", "18446744073709551616", "100000000000000000000.1"]
)
def test_json_numbers_stay_as_written(text):
    """A 23-digit id must not become a float, nor 12.50 a 12.5."""
    assert read(f'{{"id":{text},"a":"b"}}'.encode(), JSON) == ({"id": text, "a": "b"}, None)
    assert read(f'{{"o":{{"id":{text}}}}}'.encode(), JSON) == ({"o.id": text}, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"a":"","a":"2"}', {"a": "2", "a.0": "", "a.1": "2"}),
        (b'{"a":"1","a":"2","b":"x"}', {"a": "1", "b": "x", "a.0": "1", "a.1": "2"}),
        (b'{"a":"1","a" :"2:3"}', {"a": "1", "a.0": "1", "a.1": "2:3"}),
        (b'{"a":"1","\\u0061":"2"}', {"a": "1", "a.0": "1", "a.1": "2"}),
        (b'{"u":"\\u003a","a":"1","a":"2"}', {"u": ":", "a": "1", "a.0": "1", "a.1": "2"}),
    ],
)
def test_repeated_keys_of_json(value, expected):
    """Orjson keeps the last; the first that is not empty counts, and all are listed."""
    assert read(value, JSON) == (expected, None)


def test_repeated_keys_of_a_form():
    assert read(b"a=&a=2&a=3&b=1", FORM) == ({"a": "2", "b": "1", "a.0": "", "a.1": "2", "a.2": "3"}, None)


@pytest.mark.parametrize(
    ("value", "content_type", "cause"),
    [
        (b'{"a":1', JSON, "JSON breaks at character 6 of 6"),
        (b'{"a":"x=1"', FORM, "JSON breaks"),  # half a payload is not read as something else
        (b'{"a":1}[2]', JSON, "JSON breaks"),
        (b'{"a":1}{"a":', JSON, "JSON breaks"),
        (b"[" * 5000, JSON, "nested too deeply"),
        (b'{"a":' * 100_000, JSON, "nested too deeply"),
        (b"[1,2", JSON, "JSON breaks"),
        (b'"text"', JSON, "neither form nor JSON nor XML"),
        (b"hello", "text/plain", "neither form nor JSON nor XML"),
        (b"\x1f\x8b\0=\0\1", "application/octet-stream", "binary data"),
        (b"<a><b>", XML, "XML breaks at line 1"),
        (b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>', XML, "XML refused"),
        (b"--B\r\n", "multipart/form-data; boundary=B", "multipart"),
    ],
)
def test_unreadable_says_why(value, content_type, cause):
    parameters, found = read(value, content_type)
    assert parameters == {}
    assert cause in found
    assert "x=1" not in found  # a cause never repeats the payload


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (b'[{"a":1},{"a":2}]', "2"),
        (b'\n[ {"a":1.5}, {}, 7, {"a":2} ]\n', "3"),
        (b'{"a":1}{"a":2}', "2"),
        (b'{"a":1}\n{"a":2}\r\n{"a":3}\n', "3"),
        (b"[" + b",".join([b"{}"] * 2_500) + b"]", "more than 1,000"),
        (b'{"a":1}\n' * 2_500, "more than 1,000"),
    ],
)
def test_several_objects_are_several_payloads(value, count):
    """One payload, one verdict: a list of sales is neither the first of them nor a sale without a click id."""
    cause = f"this payload holds {count} objects; send them to /in/<source_id>/bulk, one per line"
    assert read(value, JSON) == ({}, cause)
    assert read(value, JSON, "POST", "token=T") == ({}, cause)  # what stands in the URL is none of them


def test_get_is_its_query_string_and_a_post_s_query_fills_gaps():
    assert read(b"cid=c1&x=%7B", "", "GET") == ({"cid": "c1", "x": "{"}, None)
    assert read(b'{"cid":"c1","tx":""}', JSON, "POST", "cid=c2&tx=T1") == ({"cid": "c1", "tx": "T1"}, None)
    assert read(b'{"cid"', JSON, "POST", "cid=c2") == ({"cid": "c2"}, None)


def test_depth_and_breadth_have_limits():
    deep = json.loads('{"a":' * (DEEPEST + 5) + "1" + "}" * (DEEPEST + 5))
    assert list(flatten(deep).values()) == [TOO_DEEP]
    items = {"items": [{"id": i, "n": i} for i in range(MOST_FIELDS)], "total": "9"}
    found = read_json(json.dumps(items).encode())
    assert found["total"] == "9"  # level by level: a long list does not hide the total
    assert len(found) == MOST_FIELDS
    listed = kept(found)
    assert len(listed) == KEPT_FIELDS + 1
    assert listed["(more)"].startswith(f"{MOST_FIELDS} parameters")
    wide = read(b"&".join(b"k%d=1" % i for i in range(MOST_FIELDS * 2)), FORM)[0]
    assert len(wide) == MOST_FIELDS
    hostile = b'{"' + b"k" * 60_000 + b'":{"' + b"l" * 60_000 + b'":[' + b",".join([b"0"] * 60_000) + b"]}}"
    assert max(map(len, read_json(hostile))) <= 512


leaves = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20)


@given(st.dictionaries(st.text(), trees, max_size=8))
def test_fast_and_careful_reading_agree(data):
    """The short cut by orjson gives what the standard library gives."""
    value = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    fast, careful = read_json(value), read_json(b"\n" + value + b" \0")
    assert fast == careful


@given(st.binary(), st.sampled_from([JSON, FORM, XML, "", "multipart/form-data; boundary=B", "text/plain; charset=utf-9"]), st.text())
def test_total(value, content_type, query):
    for prefix in (b"", b"{", b"[", b"<a>", b"a=", b"--B\r\n"):
        for method in ("POST", "GET"):
            parameters, cause = read(prefix + value, content_type, method, query)
            assert cause is None or parameters == {}
            json.dumps(parameters).encode()
            assert all(type(name) is str and type(item) is str for name, item in parameters.items())
            "".join([*parameters, *parameters.values()]).encode()  # no lone surrogates
