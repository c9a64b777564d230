"""The ordered list of actions of a task is the guarantee: fence, restore, then [begin, judge, send, send changes, commit, keep] repeated.

Outbox, store and restore are fakes that write down what was asked of them; the stage is a function that counts. What is not in the list did
not happen, and what comes before `commit` is gone when the process dies before it.
"""

import asyncio
from collections import Counter

import pytest
from aiokafka import TopicPartition

from streams.runtime import poison, shell
from streams.runtime.shell import Chunk, LostChunkError, Task
from streams.stage import MustWait, Record
from tests.shell.fakes import FakeOutbox, FakeStore, entry_of

AT = TopicPartition("payloads", 0)
OTHER = TopicPartition("matches", 0)
ONE = ["judge", "send", "send_changes"]


class Stage:
    """Counts keys in state, echoes each record; `bad` offsets raise, `waits` are raised before the first judgements."""

    def __init__(self, actions, bad=(), waits=()):
        self.actions, self.bad, self.waits = actions, set(bad), list(waits)

    def __call__(self, records, state, out):
        self.actions.append(("judge", [record.offset for record in records]))
        for record in records:
            seen = int(state.get(record.key) or 0) + 1
            state.put(record.key, b"%d" % seen)
            out.send("out", 0, record.key, b"%d:%d" % (record.offset, seen))
            if record.offset in self.bad:
                raise ValueError(f"offset {record.offset}")
        if self.waits:
            raise self.waits.pop(0)


class Later(MustWait):
    """Ready after so many questions."""

    def __init__(self, times):
        super().__init__("later")
        self.times = times

    def ready(self):
        self.times -= 1
        return self.times < 0


class Bench:
    """A task between fakes."""

    def __init__(self, monkeypatch, *, interval_s=5.0, fail_at=None, **stage):
        self.actions = []
        self.outbox = FakeOutbox(self.actions, fail_at)
        self.store = FakeStore(self.actions)
        self.errors = []
        self.drained = []
        monkeypatch.setattr(shell, "Outbox", lambda *_: self.outbox)
        monkeypatch.setattr(shell.changelog, "restore", self.restore)
        self.task = Task(
            {}, "group", 0, Stage(self.actions, **stage), store=self.store, changelog_topic="changelog", commit_interval_s=interval_s,
            on_drained=self.drained.append,
        )  # fmt: skip

    async def restore(self, kafka, topic, partition, store, report):
        self.actions.append(("restore",))
        store.write([(b"old", b"7")], 3)
        self.actions.pop()  # the restore's own write is no `keep`
        return 1

    async def live(self, *chunks, until=None):
        """Open, take the chunks, and go on until they are committed (or something failed)."""
        for chunk in chunks:
            self.task.put(chunk)
        await self.task.open()
        self.task.start(self.failed)
        await self.settle(until)

    async def settle(self, until=None):
        until = until or (lambda: self.task._inbox.empty() and self.outbox.is_idle and self.task.progress.state == "running")
        async with asyncio.timeout(5):
            while not self.errors and not until():  # noqa: ASYNC110 - it waits for a state, not for an event
                await asyncio.sleep(0.001)

    async def failed(self, error):
        self.errors.append(error)

    def names(self):
        return [action[0] for action in self.actions]

    def judged(self):
        return [action[1] for action in self.actions if action[0] == "judge"]

    def sent(self, topic="out"):
        return [value for action in self.actions if action[0] == "send" for at, _, value in action[1] if at == topic]


@pytest.fixture
def bench(monkeypatch):
    return lambda **options: Bench(monkeypatch, **options)


def chunk(first, last, at=AT, start=..., key=None):
    """Offsets first..last-1; keys in threes, so that state matters."""
    records = [Record(at.topic, at.partition, i, 1000 + i, key or b"k%d" % (i % 3), b"v%d" % i) for i in range(first, last)]
    return Chunk(at, records, first if start is ... else start, last)


async def test_the_order_of_actions(bench):
    b = bench()
    await b.live(chunk(0, 4))
    assert b.actions == [
        ("fence",),
        ("restore",),
        ("begin",),
        ("judge", [0, 1, 2, 3]),
        ("send", [("out", b"k0", b"0:1"), ("out", b"k1", b"1:1"), ("out", b"k2", b"2:1"), ("out", b"k0", b"3:2")]),
        ("send_changes", "changelog", 0, {b"k0": b"2", b"k1": b"1", b"k2": b"1"}),
        ("commit", {AT: 4}),
        ("keep", {b"k0": b"2", b"k1": b"1", b"k2": b"1"}, 103),
    ]
    assert b.drained == [AT]


async def test_chunks_that_wait_share_a_transaction(bench):
    """And see each other's state before it is kept."""
    b = bench()
    await b.live(chunk(0, 2), chunk(0, 1, OTHER), chunk(2, 4))
    assert b.names() == ["fence", "restore", "begin", *ONE, *ONE, *ONE, "commit", "keep"]
    assert b.actions[-2] == ("commit", {AT: 4, OTHER: 1})
    assert b.sent() == [b"0:1", b"1:1", b"0:2", b"2:1", b"3:3"]
    assert b.drained == [AT, OTHER, AT]


async def test_a_transaction_ends_at_the_interval(bench):
    b = bench(interval_s=0)
    await b.live(chunk(0, 2), chunk(2, 4))
    transaction = ["begin", *ONE, "commit", "keep"]
    assert b.names() == ["fence", "restore", *transaction, *transaction]


async def test_a_quiet_task_commits_at_once(bench):
    b = bench()
    await b.live(chunk(0, 2))
    b.task.put(chunk(2, 3))
    await b.settle(lambda: b.task.progress.commits == 2)
    transaction = ["begin", *ONE, "commit", "keep"]
    assert b.names() == ["fence", "restore", *transaction, *transaction]


async def test_a_chunk_without_outputs_still_commits_its_offsets(bench):
    """A fetch of transaction markers only: the position moves on, nothing is judged or kept."""
    b = bench()
    await b.live(Chunk(AT, [], 0, 5))
    assert b.actions == [("fence",), ("restore",), ("begin",), ("commit", {AT: 5})]


async def test_a_repeat_is_cut_off(bench):
    b = bench()
    await b.live(chunk(0, 4), chunk(2, 6), chunk(4, 6), chunk(6, 7))
    assert b.judged() == [[0, 1, 2, 3], [4, 5], [6]]
    assert b.actions[-2] == ("commit", {AT: 7})


async def test_an_old_repeat_does_not_move_the_position_back(bench):
    b = bench()
    await b.live(chunk(0, 4), chunk(4, 8), chunk(0, 4))
    assert b.actions[-2] == ("commit", {AT: 8})


async def test_a_hole_is_fatal(bench):
    """Nothing of the transaction is committed: the successor reads from the committed offset."""
    b = bench()
    await b.live(chunk(0, 4), chunk(5, 6))
    assert isinstance(b.errors[0], LostChunkError)
    assert "position is 4, the next chunk begins at 5" in str(b.errors[0])
    assert b.names() == ["fence", "restore", "begin", *ONE]


async def test_an_unknown_beginning_is_only_believed_at_first(bench):
    b = bench()
    await b.live(chunk(3, 4, start=None), chunk(4, 5, start=None))
    assert isinstance(b.errors[0], LostChunkError)
    assert b.judged() == [[3]]


async def test_what_must_wait_is_judged_again_from_the_start(bench):
    b = bench(waits=[Later(3)])
    await b.live(chunk(0, 4))
    assert b.judged() == [[0, 1, 2, 3], [0, 1, 2, 3]]
    assert b.sent() == [b"0:1", b"1:1", b"2:1", b"3:2"], "the first try left neither state nor outputs"


async def test_what_never_comes_makes_the_record_poison(bench, monkeypatch):
    monkeypatch.setattr(shell, "LONGEST_WAIT_S", 0.02)
    b = bench(waits=[Later(10**9)] * 2)
    await b.live(chunk(0, 2))
    assert b.judged() == [[0, 1], [0], [1]]
    assert b.sent() == [b"1:1"]
    assert b.sent("dlq.payloads") == [b"v0"]


async def test_many_records_that_wait_in_vain_do_not_wait_one_after_the_other(bench, monkeypatch):
    """The watchdog ends a process whose chunk does not move; its successor would wait in the same place."""
    monkeypatch.setattr(shell, "LONGEST_WAIT_S", 0.05)
    b = bench(waits=[Later(10**9)] * 11)
    began = asyncio.get_running_loop().time()
    await b.live(chunk(0, 10))
    assert asyncio.get_running_loop().time() - began < 3 * 0.05


async def test_poison_is_found_record_by_record(bench):
    """The others of the chunk are judged as if it were not there, and one batch of changes is sent."""
    b = bench(bad=[2])
    await b.live(chunk(0, 6), chunk(6, 7))
    assert b.judged() == [[0, 1, 2, 3, 4, 5], [0], [1], [2], [3], [4], [5], [6]]
    assert b.sent() == [b"0:1", b"1:1", b"3:2", b"4:2", b"5:1", b"6:3"]
    changes = [entry_of(action) for action in b.actions if action[0] == "send_changes"]
    assert changes == [{b"k0": b"2", b"k1": b"2", b"k2": b"1"}, {b"k0": b"3"}]
    assert b.actions[-1] == ("keep", {b"k0": b"3", b"k1": b"2", b"k2": b"1"}, 104)
    assert b.actions[-2] == ("commit", {AT: 7})


async def test_a_dead_letter_has_its_bytes_and_coordinates(bench):
    b = bench(bad=[2])
    await b.live(chunk(2, 3))
    topic, partition, key, value, headers = b.outbox.records[0]
    assert (topic, partition, key, value) == ("dlq.payloads", 0, b"k2", b"v2")
    said = dict(headers)
    assert said["origin_topic"] == b"payloads"
    assert (said["origin_partition"], said["origin_offset"], said["origin_timestamp"]) == (b"0", b"2", b"1002")
    assert (said["error"], said["reason"]) == (b"ValueError", b"offset 2")


async def test_too_much_poison_stops_the_role(bench):
    b = bench(bad=range(1000))
    await b.live(chunk(0, poison.MAX_IN_A_ROW + 1))
    assert isinstance(b.errors[0], poison.TooMuchPoisonError)
    assert b.names().count("commit") == 0
    assert b.names().count("keep") == 0


@pytest.mark.parametrize("step", ["begin", "send", "send_changes", "commit"])
async def test_nothing_is_kept_when_a_step_fails(bench, step):
    """Killed at each arrow: the store stands where it stood, and the error ends the process."""
    b = bench(fail_at=step)
    await b.live(chunk(0, 4))
    assert isinstance(b.errors[0], ConnectionError)
    assert "keep" not in b.names()
    assert b.store.data == {b"old": b"7"}
    assert b.store.position == 3


async def test_the_owner_after_a_failed_commit_ends_where_one_that_never_failed_does(bench):
    """What the successor judges again over the store as it was is the same, byte for byte."""
    whole, failed = bench(), bench(fail_at="commit")
    await whole.live(chunk(0, 4))
    await failed.live(chunk(0, 4))
    again = bench()
    again.store.data = failed.store.data
    await again.live(chunk(0, 4))
    assert (again.sent(), again.store.data) == (whole.sent(), whole.store.data)


async def test_close_lets_the_transaction_end_and_drops_what_waits(bench):
    b = bench()
    gate = b.outbox.gate = asyncio.Event()
    await b.live(chunk(0, 2), until=lambda: "send" in b.names())
    b.task.put(chunk(2, 4))
    closing = asyncio.create_task(b.task.close())
    await asyncio.sleep(0)
    b.task.put(chunk(4, 6))
    gate.set()
    await closing
    assert b.judged() == [[0, 1]]
    assert b.names()[-4:] == ["commit", "keep", "stop", "close"]
    assert b.task.progress.state == "closed"
    assert b.errors == []


async def test_inputs_keep_their_own_positions(bench):
    b = bench()
    await b.live(chunk(0, 2), chunk(7, 9, OTHER), chunk(2, 3), chunk(9, 10, OTHER))
    assert Counter(len(offsets) for offsets in b.judged()) == {2: 2, 1: 2}
    assert b.actions[-2] == ("commit", {AT: 3, OTHER: 10})
