"""The AsyncAPI document: valid after the specification's own schema, and true of every record that the examples make."""

import json
from pathlib import Path

import jsonschema
import orjson
import pytest

from console import asyncapi
from streams.runtime.memory import MemoryState
from streams.stage import Outputs, Record
from streams.topology import ATTEMPTS, EVENTS, POSTBACKS, TOPICS
from tests import command_line
from tests.contract.stored_records import Delivery, delivery_records
from tests.golden.examples import load, names, run

# @asyncapi/specs on npm, 3.0.0 without $id, Apache License 2.0.
SPECIFICATION = json.loads((Path(__file__).parent / "specs" / "asyncapi-3.0.0.json").read_text())
DOCUMENT = asyncapi.document()


def test_it_is_valid():
    jsonschema.Draft7Validator(SPECIFICATION).validate(DOCUMENT)
    broken = DOCUMENT | {"channels": {"x": {"adress": "typo"}}}
    assert not jsonschema.Draft7Validator(SPECIFICATION).is_valid(broken), "the specification's schema looks at it"


def test_it_has_every_topic_and_names_only_what_there_is():
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == {topic.name for topic in TOPICS}
    for operation in DOCUMENT["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in DOCUMENT["channels"]


@pytest.mark.parametrize("name", names())
def test_records_are_as_it_says(name):
    """No field that it does not name, none missing, no other type."""
    memory, _ = run(load(name))
    for topic in (EVENTS, POSTBACKS):
        validator = strict(topic)
        for (found, _), records in memory.log.items():
            if found == topic.name:
                for record in records:
                    validator.validate(orjson.loads(record.value))


def test_attempts_are_as_it_says():
    memory, _ = run(load(next(name for name in names() if run(load(name))[0].postbacks())))
    request = memory.postbacks()[0]
    stage, state, out = Delivery(), MemoryState(), Outputs()
    stage([Record(POSTBACKS.name, 0, 0, 1_790_000_000_000, None, orjson.dumps(request), ())], state, out)
    stage(delivery_records(request), state, out)
    rows = [orjson.loads(value) for _, _, _, value, _ in out]
    assert [row["attempt"] for row in rows] == [0, 1]
    for row in rows:
        strict(ATTEMPTS).validate(row)


def strict(topic):
    """Its payload's schema, which then takes no field that it does not name."""
    schema = DOCUMENT["channels"][topic.name.replace(".", "-")]["messages"]["record"]["payload"]
    return jsonschema.Draft202012Validator({**schema, "additionalProperties": False})


def test_the_command_prints_it():
    ended = command_line.run("schema", "asyncapi", env=command_line.environment())
    assert orjson.loads(ended.out)["channels"].keys() == DOCUMENT["channels"].keys()
    assert "asyncapi" in command_line.run("schema", "asynkapi", env=command_line.environment(), code=2).said
