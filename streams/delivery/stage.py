r"""The stage of delivery: what is to be sent, and what became of it, as a fold over two topics. Pure: it sends nothing and knows no time.

State, per partition:
    s:<postback id>                        {t: triggered, o: offset of its request, a: tries that ended, b: try that began, w: by which sender, m: when,
                                            q: its key below, st: state, n: postbacks that wait for it}. It stays: **the send ledger**
    q:<destination>\0<due ms>:<postback id> its request, while it is to be sent; sorted by destination and time
    w:<postback id>                        its request, while it waits for the one that it corrects
    f:<destination>                        {since}: it has failed since then without a success
    hello:<instance>                       the sender of that worker: what was logged before its hello is in the state

A request whose postback id is known is a replay and changes nothing: ten replays of the log send nothing twice. A begun try without an
end is what a killed sender leaves; its successor says so on record before it tries again (`desk.py`). An end that comes twice, or after a
later one, changes nothing either, so the record has each try once whoever reports it.

The alternative, sending first and remembering afterwards in memory, needs no topic and loses either requests or counts at a kill.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from streams.stage import Outputs, RecordLike, State
from streams.topology import ACTIVITY, ATTEMPTS, POSTBACKS

HELLO = b"hello:"
WAITING, HELD, DELIVERED, FAILED, NOT_SENT = "waiting", "held", "delivered", "failed", "not_sent"
FINAL = frozenset([DELIVERED, FAILED, NOT_SENT])
Message = dict[str, Any]
Sent = dict[str, Any]


def sent_key(postback_id: str) -> bytes:
    """The key of a postback in the send ledger."""
    return b"s:" + postback_id.encode()


def due_key(destination_id: str, due_ms: int, postback_id: str) -> bytes:
    """The key of what is to be sent: per destination in the order in which it is due."""
    return b"q:%b\x00%013d:%b" % (destination_id.encode(), due_ms, postback_id.encode())


def due_of(key: bytes) -> tuple[str, int, str]:
    """(destination, due ms, postback id) of such a key."""
    destination, _, rest = key[2:].partition(b"\x00")
    due, _, postback_id = rest.partition(b":")
    return destination.decode(), int(due), postback_id.decode()


class Delivery:
    """The stage."""

    def __init__(self) -> None:
        self._on: dict[str, Callable[[Message, RecordLike, State, Outputs], None]] = {
            "hello": self._hello, "begun": self._begun, "ended": self._ended, "resend": self._resend,
        }  # fmt: skip

    def __call__(self, records: Sequence[RecordLike], state: State, out: Outputs) -> None:
        """Take a chunk of postbacks.v1 or of deliveries.v1."""
        if records[0].topic == POSTBACKS.name:
            for record in records:
                self._request(record, state, out)
        else:
            for record in records:
                message = orjson.loads(record.value or b"")
                self._on[message["type"]](message, record, state, out)

    def _request(self, record: RecordLike, state: State, out: Outputs) -> None:
        if record.value is None:  # one was erased
            return
        request = orjson.loads(record.value)
        postback_id = request["postback_id"]
        if state.get(sent_key(postback_id)) is not None:
            return
        sent: Sent = {"t": record.timestamp, "o": record.offset, "a": 0, "st": WAITING}
        earlier = _known(state, request.get("follows"))
        if earlier is not None and earlier["st"] not in FINAL:
            earlier["n"] = [*earlier.get("n", ()), postback_id]
            _put(state, request["follows"], earlier)
            sent["st"] = HELD
            state.put(b"w:" + postback_id.encode(), record.value)
        else:
            _queue(state, request["destination_id"], postback_id, sent, record.timestamp, record.value)
        _put(state, postback_id, sent)
        _row(out, record, request, sent, _QUEUED | {"sent_ms": record.timestamp, "next_attempt_ms": record.timestamp})

    def _hello(self, message: Message, record: RecordLike, state: State, out: Outputs) -> None:  # noqa: ARG002 - as all are called
        state.put(HELLO + message["at"].encode(), message["by"].encode())

    def _begun(self, message: Message, record: RecordLike, state: State, out: Outputs) -> None:  # noqa: ARG002 - as all are called
        sent = _known(state, message["postback_id"])
        if sent is not None and message["attempt"] > max(sent["a"], sent.get("b", 0)):
            _put(state, message["postback_id"], sent | {"b": message["attempt"], "w": message["by"], "m": message["at_ms"]})

    def _ended(self, message: Message, record: RecordLike, state: State, out: Outputs) -> None:
        postback_id, attempt = message["postback_id"], message["attempt"]
        sent = _known(state, postback_id)
        if sent is None or attempt <= sent["a"] or "q" not in sent:
            return
        key = sent.pop("q").encode("latin-1")
        value = state.get(key)
        assert value is not None, "what is to be sent has its request"
        request = orjson.loads(value)
        state.delete(key)
        sent |= {"a": attempt, "st": message["state"]}
        if message["state"] == WAITING:
            _queue(state, request["destination_id"], postback_id, sent, message["next_attempt_ms"], value)
        else:
            self._release(sent, record, state)
        _health(state, request["destination_id"], message)
        _put(state, postback_id, sent)
        _row(out, record, request, sent, message)

    def _release(self, sent: Sent, record: RecordLike, state: State) -> None:
        """What waited for a postback that is final now is due."""
        for waiting_id in sent.pop("n", ()):
            waiting, value = _known(state, waiting_id), state.get(b"w:" + waiting_id.encode())
            if waiting is not None and value is not None:
                state.delete(b"w:" + waiting_id.encode())
                _queue(state, orjson.loads(value)["destination_id"], waiting_id, waiting, record.timestamp, value)
                _put(state, waiting_id, waiting | {"st": WAITING})

    def _resend(self, message: Message, record: RecordLike, state: State, out: Outputs) -> None:
        """Somebody wants it again: due now, whatever became of it; its retries begin anew."""
        request, postback_id = message["request"], message["request"]["postback_id"]
        sent = _known(state, postback_id) or {"t": record.timestamp, "o": message.get("offset", 0), "a": 0, "st": WAITING}
        before = sent["st"]
        if before != HELD and sent.get("b", 0) <= sent["a"]:  # one that is on its way right now ends first
            if "q" in sent:
                state.delete(sent.pop("q").encode("latin-1"))
            sent |= {"st": WAITING, "r": sent["a"]}
            _queue(state, request["destination_id"], postback_id, sent, record.timestamp, orjson.dumps(request))
            _put(state, postback_id, sent)
            _row(out, record, request, sent, _QUEUED | {"sent_ms": record.timestamp, "next_attempt_ms": record.timestamp})
        _activity(out, record, message, before)


_QUEUED: Message = {
    "attempt": 0, "is_error": 0, "error_message": None, "status_code": None, "duration_ms": None, "postback_url": "", "request": "",
    "response": None, "state": WAITING,
}  # fmt: skip
"""A row before the first try: it is known and waits."""


def _known(state: State, postback_id: str | None) -> Sent | None:
    value = state.get(sent_key(postback_id)) if postback_id else None
    return None if value is None else orjson.loads(value)


def _put(state: State, postback_id: str, sent: Sent) -> None:
    state.put(sent_key(postback_id), orjson.dumps(sent))


def _queue(state: State, destination_id: str, postback_id: str, sent: Sent, due_ms: int, value: bytes) -> None:
    key = due_key(destination_id, due_ms, postback_id)
    state.put(key, value)
    sent["q"] = key.decode("latin-1")


def _health(state: State, destination_id: str, message: Message) -> None:
    """Since when a destination fails: of its first failure behind its last success."""
    key = b"f:" + destination_id.encode()
    failing = state.get(key)
    if message["is_error"] and message.get("is_down") and failing is None:
        state.put(key, b"%d" % message["sent_ms"])
    elif message["state"] == DELIVERED and failing is not None:
        state.delete(key)


_OF_REQUEST = ("account_id", "property_id", "event_id", "click_id", "destination_id", "integration_id", "ct", "kind")
_OF_TRY = ("sent_ms", "duration_ms", "is_error", "error_message", "status_code", "postback_url", "request", "response")


def _row(out: Outputs, record: RecordLike, request: Message, sent: Sent, message: Message) -> None:
    """A row of postback_attempts, as it stands in attempts.v1."""
    row = {  # schemas/postbacks.py: Attempt
        "postback_id": request["postback_id"], "attempt": message["attempt"] or sent["a"], **{name: request.get(name) for name in _OF_REQUEST},
        "follows": request.get("follows"), "request_offset": sent["o"], "postback_ms": sent["t"], **{name: message[name] for name in _OF_TRY},
        "next_attempt_ms": message.get("next_attempt_ms"), "state": sent["st"],
    }  # fmt: skip
    out.send(ATTEMPTS.name, record.partition, request["postback_id"].encode(), orjson.dumps(row))


def _activity(out: Outputs, record: RecordLike, message: Message, before: str) -> None:
    """A resend is a change that somebody made: a row of the activity log."""
    postback_id = message["request"]["postback_id"]
    row = {
        "activity_id": f"resend-{record.partition}-{record.offset}", "changed_at_ms": record.timestamp, "author": message["author"],
        "reason": message["reason"], "entity": "postback", "entity_id": postback_id, "action": "updated",
        "before": {"state": before}, "after": {"state": WAITING}, "diff": [{"path": "state", "before": before, "after": WAITING}], "settings_version": -1,
    }  # fmt: skip
    out.send(ACTIVITY.name, 0, f"postback/{postback_id}".encode(), orjson.dumps(row))
