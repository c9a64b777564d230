"""What ingest keeps of the settings for a start without Kafka."""

import pytest

from streams.ingest.snapshot import NAME, Snapshot
from streams.runtime.connections import KafkaSettings

ENTITIES = {
    ("property", "shop"): {"id": "shop", "name": "Shop"},
    ("source", "net"): {
        "id": "net",
        "name": "Net",
        "kind": "postback",
        "property_id": "shop",
        "auth": {"kind": "token", "token": "s3cret"},
    },
}


def test_what_was_kept_is_found_under_its_version(tmp_path):
    snapshot = Snapshot(tmp_path, KafkaSettings())
    assert (snapshot.read(), snapshot.kept) == (None, -1)
    snapshot.write(17, ENTITIES)
    assert snapshot.kept == 17
    found = Snapshot(tmp_path, KafkaSettings()).read()
    assert found.version == 17
    assert found.source("net", 17).source.auth.token.get_secret_value() == "s3cret"
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("other", [{"bootstrap_servers": "elsewhere:9092"}, {"epoch": 2}])
def test_settings_of_another_cluster_are_not_ours(tmp_path, other):
    """Their version means nothing there: the ledger would wait for it for ever."""
    Snapshot(tmp_path, KafkaSettings()).write(17, ENTITIES)
    assert Snapshot(tmp_path, KafkaSettings(**other)).read() is None


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"origin": 1}', b'{"origin": [], "version": "x", "entities": []}'])
def test_a_file_that_is_none_is_passed_over(tmp_path, raw):
    (tmp_path / NAME).write_bytes(raw)
    assert Snapshot(tmp_path, KafkaSettings()).read() is None


def test_an_entity_that_is_no_longer_valid_does_not_cost_the_others(tmp_path):
    snapshot = Snapshot(tmp_path, KafkaSettings())
    snapshot.write(3, {**ENTITIES, ("source", "old"): {"id": "old", "colour": "red"}})
    found = snapshot.read()
    assert found.source("net", 3) is not None
    assert found.source("old", 3) is None


def test_a_disk_that_takes_nothing_is_no_end(tmp_path):
    snapshot = Snapshot(tmp_path / "missing", KafkaSettings())
    snapshot.write(1, ENTITIES)
    assert snapshot.read() is None
