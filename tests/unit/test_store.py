"""RocksDB under an overlay: what a stage reads, what a commit keeps, what a crash leaves."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from aiokafka import TopicPartition
from rocksdict import Options, Rdict

from streams.runtime.meter import Meter
from streams.runtime.store import POSITION, Overlay, StateDamagedError, Store
from streams.runtime.task import Chunk, Task
from streams.stage import Record

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


def damaged(folder, count=3_000):
    """A store of many keys, closed, with some bytes of its file changed."""
    store = Store(folder, DAY_S)
    store.write([(b"k%05d" % i, random.Random(i).randbytes(100)) for i in range(count)], count)
    store.close()
    file = next(folder.glob("*.sst"))
    with file.open("r+b") as raw:
        raw.seek(file.stat().st_size // 3)
        raw.write(b"x" * 16)
    return Store(folder, DAY_S)


def test_a_damaged_value_is_no_bad_record_and_the_folder_is_made_anew(tmp_path):
    """Seen: each record that met a broken block went to dead letters, as if its bytes were at fault, and again after every restart."""
    store = damaged(tmp_path / "0")
    task = Task({}, 0, lambda records, state, out: state.get(records[0].key), store=store, changelog_topic="c", meter=Meter("ledger"))
    records = [Record("t", 0, i, 0, b"k%05d" % i, b"") for i in range(3_000)]

    def judge_all():
        for record in records:
            task.judge(Chunk(TopicPartition("t", 0), [record], record.offset, record.offset + 1))

    with pytest.raises(StateDamagedError):
        judge_all()
    store.close()
    again = Store(tmp_path / "0", DAY_S)
    assert (again.position, again.get(b"k00000")) == (0, None)
    again.close()
    assert Store(tmp_path / "0", DAY_S).position == 0, "once is enough"


def test_a_scan_does_not_end_at_a_damaged_block(tmp_path):
    """Seen: a scan gave 986 of 3,000 keys and said nothing; what delivery did not see it would never have sent."""
    store = damaged(tmp_path / "0")
    with pytest.raises(StateDamagedError):
        store.scan(b"k", b"k", 10_000)
    store.close()


def test_a_scan_gives_what_begins_so(store):
    store.write([(b"q:a", b"1"), (b"q:b", b"2"), (b"q:c", b"3"), (b"r", b"4")], 1)
    assert store.scan(b"q:", b"q:", 10) == [b"q:a", b"q:b", b"q:c"]
    assert store.scan(b"q:", b"q:b", 10) == [b"q:b", b"q:c"]
    assert store.scan(b"q:", b"q:", 2) == [b"q:a", b"q:b"]
    assert store.scan(b"s:", b"s:", 2) == []


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
