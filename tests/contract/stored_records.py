"""What travelled and what was kept, as this version writes it: `python -m tests.contract.stored_records` stores it for all later versions.

A file per version that people ran, never changed and never removed: a later version must go on from each of them (`test_evolution.py`).
Each story is an example in the middle of which everything stops: settings, topics, states and positions as they stood, what came after it,
and what became of each payload.
"""

import sys
from pathlib import Path

import orjson

from schemas.entities import ENTITY_MODELS
from streams.delivery.stage import Delivery
from streams.runtime.memory import Memory, MemoryState
from streams.stage import Outputs, Record
from streams.topology import DELIVERIES, LEDGER, PAYLOADS, POSTBACKS, VISITS
from streams.workspace import Workspace
from tests.golden.examples import PII, load, names, receive, workspace_of

FOLDER = Path(__file__).parent / "stored"
EVERY = 12  # which of the examples; the longer ones all
LONG = 6
MOST_JUDGED = 7  # a payload, its probe, its answer; and what these cause
VERDICT = ("status", "reason", "sub_reason", "click_id", "duplicate_of", "parent_event_id", "revision", "value")
TRIES = (  # what a destination did, in one story that has requests
    {"type": "hello", "by": "b7", "at": "delivery-0"},
    {"type": "begun", "attempt": 1, "by": "delivery-0-1", "at_ms": 1_790_000_000_000},
    {"type": "ended", "attempt": 1, "by": "delivery-0-1", "state": "waiting", "is_error": 1, "is_down": True, "error_message": "500 Internal Server Error",
     "sent_ms": 1_790_000_000_000, "next_attempt_ms": 1_790_000_005_000, "postback_url": "https://ads.example/?c=1", "request": "GET", "response": "boom",
     "status_code": 500, "duration_ms": 12},
    {"type": "begun", "attempt": 2, "by": "delivery-0-1", "at_ms": 1_790_000_005_000},
)  # fmt: skip


def text(value):
    """Bytes as a JSON text, and back by `encode("latin-1")`."""
    return None if value is None else value.decode("latin-1")


def packed(record):
    headers = [[name, text(value)] for name, value in record.headers]
    return [record.topic, record.partition, record.timestamp, text(record.key), text(record.value), headers]


def unpacked(offset, kept):
    topic, partition, timestamp, key, value, headers = kept
    given = [(name, inner.encode("latin-1")) for name, inner in headers]
    return Record(topic, partition, offset, timestamp, None if key is None else key.encode("latin-1"), value.encode("latin-1"), given)


def entities(workspace):
    """The settings as they lie in settings.v1: every version of every entity, in order."""
    return [
        [kind, name, model.model_dump(mode="json", exclude_unset=True)]
        for kind in ENTITY_MODELS
        for name, model in workspace.all(kind).items()
    ]


def settled(kept):
    """A workspace from stored settings; the newest version is their number, as when they were applied one by one."""
    made = Workspace()
    for kind, name, value in kept:
        made.apply(made.version + 1, kind, name, value)
    return made


def story(name, records):
    """An example, stopped in its middle with records under way: when so many were judged that its middle step caused."""
    example = load(name)
    settings = entities(workspace_of(example))
    memory = Memory(settled(settings), pii_key=PII)
    middle = len(example["steps"]) // 2
    for step in example["steps"][:middle]:
        receive(memory, step)
        memory.run()
    receive(memory, example["steps"][middle])
    for _ in range(records):
        if waiting := memory.waiting():
            memory.step(waiting[0], 1)
    stopped = {
        "log": [[packed(record) for record in records] for records in memory.log.values()],
        "states": [[role, partition, {text(key): text(value) for key, value in state.items()}] for (role, partition), state in memory.states.items()],
        "read": [[topic, partition, count] for (topic, partition), count in memory._read.items()],
    }  # fmt: skip
    memory.run()
    later = []
    for step in example["steps"][middle + 1 :]:
        receive(memory, step)
        later.append(
            packed(
                next(
                    records[-1]
                    for (topic, _), records in memory.log.items()
                    if topic in (PAYLOADS.name, VISITS.name) and is_new(records, memory)
                )
            )
        )
        memory.run()
    return {"name": name, "settings": settings, **stopped, "later": later, "verdicts": verdicts(memory)}, shapes(memory)


def is_new(records, memory):
    return memory._read.get((records[0].topic, records[0].partition), 0) < len(records)


def verdicts(memory):
    return {event_id: [row[field] for field in VERDICT] for event_id, row in sorted(memory.events().items())}


def shapes(memory):
    """Topic -> the fields of its records with the types that they had."""
    found = {}
    for (topic, _), records in memory.log.items():
        if topic != PAYLOADS.name:
            for record in records:
                fields_of(orjson.loads(record.value), found.setdefault(topic, {}), "")
    return {topic: {path: sorted(types) for path, types in sorted(fields.items())} for topic, fields in sorted(found.items())}


MAPS = ("parameters", "evidence", "q", "trace")  # what is in there is the sender's or for people, not for a reader of ours


def fields_of(value, found, path):
    found.setdefault(path, set()).add(type(value).__name__)
    if isinstance(value, dict) and path.rpartition(".")[2] not in MAPS:
        for name, inner in value.items():
            fields_of(inner, found, f"{path}.{name}")


def again(kept):
    """Today's stages over a stored story, from its beginning."""
    memory = Memory(settled(kept["settings"]), pii_key=PII)
    given = [record for records in kept["log"] if records[0][0] in (PAYLOADS.name, VISITS.name) for record in records]
    for record in (unpacked(0, one) for one in [*given, *kept["later"]]):
        memory.append(record.topic, record.partition, record.key, record.value, record.headers, record.timestamp)
        memory.run()
    return memory


def resumed(kept, memory_class=Memory):
    """Today's stages over a stored story, from where it stopped to its end."""
    memory = memory_class(settled(kept["settings"]), pii_key=PII)
    for records in kept["log"]:
        memory.log[records[0][0], records[0][1]] = [unpacked(offset, record) for offset, record in enumerate(records)]
    for role, partition, state in kept["states"]:
        memory.states[role, partition] = MemoryState({key.encode("latin-1"): value.encode("latin-1") for key, value in state.items()})
    memory._read = {(topic, partition): count for topic, partition, count in kept["read"]}
    memory.run()
    for record in kept["later"]:
        given = unpacked(0, record)
        memory.append(given.topic, given.partition, given.key, given.value, given.headers, given.timestamp)
        memory.run()
    return memory


def delivery_records(request):
    """A request, and what happened to it: as records of postbacks.v1 and deliveries.v1."""
    tries = [orjson.dumps(message | ({} if message["type"] == "hello" else {"postback_id": request["postback_id"]})) for message in TRIES]
    return [Record(DELIVERIES.name, 0, offset, 1_790_000_000_000 + offset, None, value, ()) for offset, value in enumerate(tries)]


def delivery(request):
    """Delivery's state in the middle of a postback's tries."""
    stage, state, out = Delivery(), MemoryState(), Outputs()
    stage([Record(POSTBACKS.name, 0, 0, 1_790_000_000_000, None, orjson.dumps(request), ())], state, out)
    messages = delivery_records(request)
    stage(messages, state, out)
    return {
        "request": request,
        "messages": [text(message.value) for message in messages],
        "state": {text(key): text(value) for key, value in state.items()},
    }


def stored():
    """Everything that is stored, for this version."""
    found = [story(name, at % MOST_JUDGED) for at, name in enumerate(names()) if at % EVERY == 0 or len(load(name)["steps"]) >= LONG]
    stories = [kept for kept, _ in found]
    told = next(memory.postbacks()[0] for memory in (resumed(kept) for kept in stories) if memory.postbacks())
    assert any(role == LEDGER.name and state for kept in stories for role, _, state in kept["states"])
    pool = list({orjson.dumps(entity): entity for kept in stories for entity in kept["settings"]}.values())
    for kept in stories:
        kept["settings"] = [pool.index(entity) for entity in kept["settings"]]
    return {"settings": pool, "stories": stories, "fields": merged(fields for _, fields in found), "delivery": delivery(told)}


def merged(all_fields):
    """The fields of all stories together."""
    found = {}
    for fields in all_fields:
        for topic, paths in fields.items():
            for path, types in paths.items():
                found.setdefault(topic, {}).setdefault(path, set()).update(types)
    return {topic: {path: sorted(types) for path, types in sorted(paths.items())} for topic, paths in sorted(found.items())}


if __name__ == "__main__":
    path = FOLDER / f"{sys.argv[1]}.json"
    if path.exists():
        sys.exit(f"{path} is what people ran: it stays as it is.")
    path.write_bytes(orjson.dumps(stored(), option=orjson.OPT_INDENT_2 if "--indent" in sys.argv else 0) + b"\n")
    print(f"{path}: {path.stat().st_size:,} bytes")
