"""RocksDB under an overlay: what a stage reads, what a commit keeps, what a crash leaves."""

import os
import signal
import subprocess
import sys
import time

import pytest
from rocksdict import Options, Rdict

from streams.runtime.store import POSITION, Overlay, Store

DAY_S = 86_400


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "role" / "0", DAY_S)
    yield made
    made.close()


def test_changes_and_position_are_one(store):
    assert store.position == 0
    store.write([(b"a", b"1"), (b"b", b"2")], 5)
    store.write([(b"a", None), (b"gone", None)], 9)
    assert (store.get(b"a"), store.get(b"b"), store.position) == (None, b"2", 9)
    assert store.get(POSITION) == b"9"


def test_an_empty_value_is_a_value(store):
    store.write([(b"a", b"")], 1)
    assert store.get(b"a") == b""


def test_it_stands_where_it_stood_when_opened_again(tmp_path):
    store = Store(tmp_path / "0", DAY_S)
    store.write([(b"a", b"1")], 7)
    store.close()
    again = Store(tmp_path / "0", DAY_S)
    assert (again.get(b"a"), again.position) == (b"1", 7)
    again.close()


def test_cleared_it_is_empty_and_goes_on(store):
    store.write([(b"a", b"1")], 7)
    store.clear()
    assert (store.get(b"a"), store.position) == (None, 0)
    store.write([(b"a", b"2")], 1)
    assert (store.get(b"a"), store.position) == (b"2", 1)


def test_what_was_written_too_long_ago_is_forgotten(tmp_path):
    """The state of a role does not grow for ever: RocksDB drops what is older when it compacts."""
    store = Store(tmp_path / "0", keep_s=1)
    store.write([(b"old", b"1")], 1)
    while store.get(b"old") is not None:
        time.sleep(0.2)
        store.compact()
    store.write([(b"new", b"2")], 2)
    store.compact()
    assert (store.get(b"new"), store.position) == (b"2", 2)
    store.close()


def test_a_folder_without_expiry_is_made_anew(tmp_path):
    """As an older version wrote it."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    plain = Rdict(str(tmp_path / "0"), options)
    plain[POSITION] = b"12"
    plain.close()
    store = Store(tmp_path / "0", DAY_S)
    assert store.position == 0
    store.close()


def test_a_folder_that_cannot_be_read_is_made_anew(tmp_path):
    """A cache: what is lost is restored from the changelog, from position 0 on."""
    store = Store(tmp_path / "0", DAY_S)
    store.write([(b"a", b"1")], 7)
    store.close()
    (tmp_path / "0" / "CURRENT").write_bytes(b"nonsense")
    again = Store(tmp_path / "0", DAY_S)
    assert (again.get(b"a"), again.position) == (None, 0)
    again.close()


def test_killed_it_has_a_batch_and_its_position_or_neither(tmp_path):
    """SIGKILL while batches are written: the key of the last batch and the position agree."""
    program = (
        "import sys; from pathlib import Path; from streams.runtime.store import Store\n"
        "store = Store(Path(sys.argv[1]), 86_400)\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    store.write([(b'k%d' % (n % 50), b'%d' % n), (b'n', b'%d' % n)], n)\n"
        "    if n == 2000: print('going', flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "0")], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    store = Store(tmp_path / "0", DAY_S)
    position = store.position
    assert position >= 2_000
    assert int(store.get(b"n")) == int(store.get(b"k%d" % (position % 50))) == position
    store.close()


@pytest.fixture
def overlay(store):
    store.write([(b"old", b"0"), (b"gone", b"0")], 1)
    return Overlay(store)


def test_reads_fall_through(store, overlay):
    """What this chunk wrote, what this transaction wrote, the store; a deletion hides what lies below."""
    assert overlay.get(b"old") == b"0"
    overlay.put(b"old", b"1")
    overlay.delete(b"gone")
    assert (overlay.get(b"old"), overlay.get(b"gone")) == (b"1", None)
    assert overlay.accept_chunk() == {b"old": b"1", b"gone": None}
    assert (overlay.get(b"old"), overlay.get(b"gone")) == (b"1", None)
    overlay.put(b"gone", b"2")
    assert overlay.get(b"gone") == b"2"
    assert (store.get(b"old"), store.get(b"gone"), store.position) == (b"0", b"0", 1)


def test_a_dropped_chunk_was_never_there(store, overlay):
    overlay.put(b"a", b"1")
    overlay.accept_chunk()
    overlay.put(b"a", b"2")
    overlay.delete(b"old")
    overlay.drop_chunk()
    assert (overlay.get(b"a"), overlay.get(b"old")) == (b"1", b"0")
    assert overlay.accept_chunk() == {}


def test_kept_it_is_in_the_store(store, overlay):
    overlay.put(b"a", b"1")
    overlay.accept_chunk()
    overlay.delete(b"old")
    overlay.accept_chunk()
    overlay.seal()
    overlay.keep(8)
    assert (store.get(b"a"), store.get(b"old"), store.position) == (b"1", None, 8)
    overlay.seal()
    overlay.keep(9)
    assert store.position == 9


def test_while_one_commits_the_next_sees_what_it_wrote_and_is_not_kept_with_it(store, overlay):
    overlay.put(b"a", b"1")
    overlay.put(b"b", b"1")
    overlay.accept_chunk()
    overlay.seal()
    assert overlay.get(b"a") == b"1"
    overlay.put(b"a", b"2")
    overlay.delete(b"b")
    overlay.accept_chunk()
    overlay.keep(8)
    assert (store.get(b"a"), store.get(b"b")) == (b"1", b"1")
    assert (overlay.get(b"a"), overlay.get(b"b")) == (b"2", None)
    overlay.seal()
    overlay.keep(9)
    assert (store.get(b"a"), store.get(b"b")) == (b"2", None)
    overlay.seal()
    overlay.keep(None)  # a transaction without changes leaves the store where it stands
    assert (store.get(b"a"), store.position) == (b"2", 9)


def test_back_at_a_mark_nothing_was_written_since(overlay):
    overlay.put(b"a", b"1")
    overlay.accept_chunk()
    mark = overlay.mark()
    overlay.put(b"a", b"2")
    overlay.accept_chunk()
    overlay.put(b"old", b"2")
    overlay.return_to(mark)
    assert (overlay.get(b"a"), overlay.get(b"old")) == (b"1", b"0")


def test_restaged_changes_are_the_chunks_again(overlay):
    """A chunk that was judged in pieces becomes one again: its changes are sent once."""
    overlay.put(b"a", b"1")
    pieces = overlay.accept_chunk()
    overlay.put(b"b", b"1")
    pieces |= overlay.accept_chunk()
    overlay.restage(pieces)
    assert overlay.accept_chunk() == {b"a": b"1", b"b": b"1"}
