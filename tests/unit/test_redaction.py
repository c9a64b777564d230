"""What is left of a record is what counts, and redacting it again changes nothing."""

import orjson

from streams import redaction
from streams.home import Homes, framed
from streams.person import person
from streams.stage import Record

ANN = person("email", "ann@example.com", b"test")
ROW = {
    "event_id": "e1-0-7", "status": "error", "reason": "cant_find_refid", "message": "Can't find refId: ann@example.com", "value": "5", "currency": "EUR",
    "transaction_id": "ann@example.com", "click_id": None, "payload": "email=ann@example.com", "payload_sha256": "ab", "parameters": {"name": "Ann"},
    "trace": [["classify", "ok", "Ann"]], "evidence": {"refs": ["x"]}, "revision": 2,
}  # fmt: skip


def test_a_row_keeps_its_verdict():
    """Free text goes, an id that names the person becomes the pseudonym."""
    left = redaction.row(ROW, ANN)
    assert not ANN.is_in(orjson.dumps(left).decode())
    assert (left["status"], left["value"], left["revision"], left["message"]) == ("error", "5", 2, "Error: Can't find refId")
    assert left["transaction_id"] == ANN.pseudonym
    assert (left["payload"], left["parameters"], left["trace"], left["payload_sha256"]) == ("", {}, [], "")
    assert redaction.row(left, ANN) == left


def test_a_home_keeps_its_claims_and_the_frames_of_others():
    """The erased entry is closed for good; its neighbour can still be judged again."""
    frames = [
        framed(Record("clicktrail.payloads.v1", 0, at, 5, None, b"email=ann@example.com" if at == 7 else b"x=1", [])) for at in (7, 8)
    ]
    entries = [
        {"id": "e1-0-7", "i": "T|sale|1", "k": "c", "r": 1, "v": "ok", "b": 1, "z": "edit", "f": "ab", "x": {"value": "5"},
         "a": {"m": "email", "click": {"id": "c", "t": 1, "p": "shop", "d": {"i": "203.0.113.77"}}}},
        {"id": "e1-0-8", "i": "T|sale|1", "k": "c", "r": 1, "v": "dup", "b": 1},
    ]  # fmt: skip
    held = orjson.dumps(entries) + b"\n" + b"".join(redaction.LENGTH.pack(len(frame)) + frame for frame in frames)
    left = redaction.home(held, {"e1-0-7"}, ANN)
    assert b"ann@" not in left
    assert b"203.0" not in left
    assert redaction.home(left, {"e1-0-7"}, ANN) == left
    home = Homes(lambda record: record).open("shop|1", {b"h:shop|1": left})
    assert [(entry["id"], entry.get("b"), entry["i"]) for entry in home.entries] == [
        ("e1-0-7", None, "T|sale|1"),
        ("e1-0-8", 1, "T|sale|1"),
    ]
    assert home._frames == {"e1-0-8": frames[1]}


def test_an_identifier_keeps_clicks_without_details():
    """A later conversion by that click id is still attributed; watches of erased events end."""
    held = {
        "c": [{"id": "c", "t": 1, "p": "shop", "c": "spring", "d": {"i": "203.0.113.77"}}, {"id": "other", "t": 2, "p": "shop", "d": {"i": "1.2.3.4"}}],
        "w": [{"e": "e1-0-7", "q": []}, {"e": "e1-0-9", "q": []}],
    }  # fmt: skip
    left = orjson.loads(redaction.identifier(orjson.dumps(held), {"c"}, {"e1-0-7"}, ANN))
    assert left["c"] == [{"id": "c", "t": 1, "p": "shop", "c": "spring"}, held["c"][1]]
    assert left["w"] == [{"e": "e1-0-9", "q": []}]


def test_a_postback_that_waits_is_not_sent():
    """The send ledger keeps it, so a replay does not send it either."""
    left = orjson.loads(redaction.not_sent(b'{"t":1,"o":2,"a":1,"st":"waiting","q":"q:x"}'))
    assert left == {"t": 1, "o": 2, "a": 1, "st": "not_sent"}
    tried = redaction.attempt({"state": "waiting", "postback_id": "p", "request": "ann", "event_id": "e"}, ANN)
    assert (tried["state"], tried["request"], tried["next_attempt_ms"]) == ("not_sent", "", None)
