"""The rules of evolution, held over what earlier versions stored: a new version goes on from an old one's middle, and the other way round.

    what travels and what is kept may get fields, and never loses or renames one, nor changes its type
    a field that a version does not know is passed over: during a rolling upgrade old and new read each other's records
    an old state, old settings and old records under way give the verdicts that the old version would have given

Who must break one of them makes a new topic (`….v2`) and a state of its own. `python -m tests.contract.stored_records VERSION` stores
what this version writes.
"""

from importlib.metadata import version

import orjson
import pytest

from streams.delivery.stage import Delivery
from streams.runtime.memory import Memory, MemoryState
from streams.stage import Outputs, Record
from streams.topology import DELIVERIES, PAYLOADS
from tests.contract import stored_records
from tests.contract.stored_records import FOLDER, again, merged, resumed, shapes, verdicts

VERSIONS = {path.stem: orjson.loads(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))}
STORIES = [(name, story) for name, kept in VERSIONS.items() for story in kept["stories"]]
both = pytest.mark.parametrize(("version", "story"), STORIES, ids=[f"{version}-{story['name']}" for version, story in STORIES])


class Newer(Memory):
    """The topology of a version to come: every record of ours has one field more, in front, as new fields may be anywhere."""

    def append(self, topic, partition, key, value, headers=(), timestamp=0):
        return super().append(topic, partition, key, value if topic == PAYLOADS.name else with_more(value), headers, timestamp)


def with_more(value):
    assert value[:1] == b"{"
    return b'{"of_the_next_version":{"a":[1,null]},' + value[1:]


def of(version, story):
    return {**story, "settings": [VERSIONS[version]["settings"][at] for at in story["settings"]]}


@both
def test_a_new_version_goes_on_where_the_old_one_stopped(version, story):
    assert verdicts(resumed(of(version, story))) == story["verdicts"]


@both
def test_a_version_reads_what_a_newer_one_writes(version, story):
    """Here today's is the old one."""
    assert verdicts(resumed(of(version, story), Newer)) == story["verdicts"]


@pytest.mark.parametrize("version", VERSIONS)
def test_no_field_is_lost_or_changes_its_type(version):
    """Over the same stories: every field that the old version wrote is written today, with no type that its readers do not know."""
    today = merged(shapes(again(of(version, story))) for story in VERSIONS[version]["stories"])
    for topic, fields in VERSIONS[version]["fields"].items():
        assert not fields.keys() - today[topic].keys(), f"{topic} lost fields"
        changed = {path: (types, today[topic][path]) for path, types in fields.items() if set(today[topic][path]) - set(types)}
        assert not changed, f"{topic} has other types"


@pytest.mark.parametrize("version", VERSIONS)
def test_delivery_goes_on_with_the_old_state(version):
    """A postback between its second begin and its end, by an old sender: the end is understood, and it is delivered once."""
    kept = VERSIONS[version]["delivery"]
    state = MemoryState({key.encode("latin-1"): value.encode("latin-1") for key, value in kept["state"].items()})
    end = stored_records.TRIES[2] | {"attempt": 2, "state": "delivered", "is_error": 0, "next_attempt_ms": None, "status_code": 200}
    end["postback_id"] = kept["request"]["postback_id"]
    for more in (False, True):
        out, copy = Outputs(), MemoryState(state)
        value = orjson.dumps(end)
        Delivery()([Record(DELIVERIES.name, 0, 9, 1_790_000_009_000, None, with_more(value) if more else value, ())], copy, out)
        ((_, _, _, row, _),) = list(out)
        assert (orjson.loads(row)["attempt"], orjson.loads(row)["state"]) == (2, "delivered")
        assert not [key for key in copy if key.startswith(b"q:")], "nothing is to be sent any more"


def test_something_is_stored_for_this_version():
    assert version("clicktrail") in VERSIONS
