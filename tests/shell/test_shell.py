"""The ordered list of actions of a worker is the guarantee: restore, then [begin, judge, send, send changes, commit, keep] repeated.

Outboxes, stores and restore are fakes that write down what was asked of them; the stage is a function that counts. What is not in the list
did not happen, and what comes before `commit` is gone when the process dies before it.
"""

import asyncio
from collections import Counter

import pytest
from aiokafka import TopicPartition

from streams.runtime import poison, shell, task
from streams.runtime.meter import Meter
from streams.runtime.shell import Shell
from streams.runtime.task import Chunk, LostChunkError, Task
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
    """A shell between fakes: two outboxes, and a task for each of `partitions`."""

    def __init__(self, monkeypatch, *, interval_s=5.0, fail_at=None, partitions=1, **stage):
        self.actions = []
        self.outboxes = [FakeOutbox(self.actions, fail_at), FakeOutbox(self.actions, fail_at)]
        self.store = FakeStore(self.actions)
        self.errors = []
        self.drained = []
        monkeypatch.setattr(task.changelog, "restore", self.restore)
        meter = Meter("group")
        self.tasks = [
            Task({}, n, Stage(self.actions, **stage), store=self.store if n == 0 else FakeStore(self.actions), changelog_topic="changelog", meter=meter)
            for n in range(partitions)
        ]  # fmt: skip
        self.shell = Shell(self.tasks, self.outboxes, commit_interval_s=interval_s, meter=meter, on_drained=self.drained.append)

    @property
    def task(self):
        return self.tasks[0]

    async def restore(self, kafka, topic, partition, store, report):
        self.actions.append(("restore",))
        store.write([(b"old", b"7")], 3)
        self.actions.pop()  # the restore's own write is no `keep`
        return 1

    async def live(self, *chunks, until=None):
        """Take the chunks, start, and go on until they are committed (or something failed)."""
        for chunk in chunks:
            self.shell.put(chunk)
        self.shell.start(self.failed)
        await self.settle(until)

    @property
    def is_idle(self):
        has_work = any(each.waiting or each.progress.state != "running" for each in self.tasks)
        return (
            not has_work and all(outbox.is_idle for outbox in self.outboxes) and self.names().count("begin") == self.names().count("commit")
        )

    async def settle(self, until=None):
        async with asyncio.timeout(5):
            while not self.errors and not (until() if until else self.is_idle):  # noqa: ASYNC110 - it waits for a state, not for an event
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    async def failed(self, error):
        self.errors.append(error)

    @property
    def records(self):
        return [record for outbox in self.outboxes for record in outbox.records]

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
    assert b.names() == ["restore", "begin", *ONE, *ONE, *ONE, "commit", "keep"]
    assert b.actions[-2] == ("commit", {AT: 4, OTHER: 1})
    assert b.sent() == [b"0:1", b"1:1", b"0:2", b"2:1", b"3:3"]
    assert b.drained == [AT, OTHER, AT]


async def test_a_transaction_ends_at_the_interval(bench):
    b = bench(interval_s=0)
    await b.live(chunk(0, 2), chunk(2, 4))
    assert b.names() == ["restore", "begin", *ONE, "begin", *ONE, "commit", "keep", "commit", "keep"]
    assert [action[1] for action in b.actions if action[0] == "commit"] == [{AT: 2}, {AT: 4}]


async def test_a_quiet_task_commits_at_once(bench):
    b = bench()
    await b.live(chunk(0, 2))
    b.shell.put(chunk(2, 3))
    await b.settle(lambda: b.task.progress.commits == 2)
    transaction = ["begin", *ONE, "commit", "keep"]
    assert b.names() == ["restore", *transaction, *transaction]


async def test_a_chunk_without_outputs_still_commits_its_offsets(bench):
    """A fetch of transaction markers only: the position moves on, nothing is judged or kept."""
    b = bench()
    await b.live(Chunk(AT, [], 0, 5))
    assert b.actions == [("restore",), ("begin",), ("commit", {AT: 5})]


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
    assert b.names() == ["restore", "begin", *ONE]


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
    b = bench(waits=[Later(10**9)] * 3)
    await b.live(chunk(0, 2))
    assert b.judged() == [[0, 1], [0, 1], [0], [1]]
    assert b.sent() == [b"1:1"]
    assert b.sent("dlq.payloads") == [b"v0"]


async def test_many_records_that_wait_in_vain_do_not_wait_one_after_the_other(bench, monkeypatch):
    """The watchdog ends a process whose chunk does not move; its successor would wait in the same place."""
    monkeypatch.setattr(shell, "LONGEST_WAIT_S", 0.5)
    b = bench(waits=[Later(10**9)] * 12)
    began = asyncio.get_running_loop().time()
    await b.live(chunk(0, 10))
    assert asyncio.get_running_loop().time() - began < 8 * 0.5  # one after the other: 10


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
    topic, partition, key, value, headers = b.records[0]
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
    gate = b.outboxes[0].gate = asyncio.Event()
    await b.live(chunk(0, 2), until=lambda: "send" in b.names())
    closing = asyncio.create_task(b.shell.close())
    await asyncio.sleep(0)
    b.shell.put(chunk(2, 4))
    gate.set()
    await closing
    assert b.judged() == [[0, 1]]
    assert b.names()[-3:] == ["commit", "keep", "close"]
    assert b.task.progress.state == "closed"
    assert b.errors == []


async def test_inputs_keep_their_own_positions(bench):
    b = bench()
    await b.live(chunk(0, 2), chunk(7, 9, OTHER), chunk(2, 3), chunk(9, 10, OTHER))
    assert Counter(len(offsets) for offsets in b.judged()) == {2: 2, 1: 2}
    assert b.actions[-2] == ("commit", {AT: 3, OTHER: 10})


async def test_all_partitions_share_a_transaction_and_take_turns(bench):
    """One commit for the worker: the offsets of every task that was touched, then each one's state."""
    b = bench(partitions=2)
    there = TopicPartition("payloads", 1)
    await b.live(chunk(0, 2), chunk(2, 3), chunk(0, 1, there))
    assert b.names() == ["restore", "restore", "begin", *ONE, *ONE, *ONE, "commit", "keep", "keep"]
    assert b.judged() == [[0, 1], [0], [2]]
    assert ("commit", {AT: 3, there: 1}) in b.actions


async def test_a_task_that_was_not_touched_commits_nothing(bench):
    b = bench(partitions=2)
    there = TopicPartition("payloads", 1)
    await b.live(chunk(0, 2), chunk(0, 1, there))
    b.shell.put(chunk(2, 3))
    await b.settle(lambda: b.names().count("keep") == 3)
    assert [action[1] for action in b.actions if action[0] == "commit"] == [{AT: 2, there: 1}, {AT: 3}]


async def test_what_must_wait_holds_its_own_task_only(bench):
    """Its chunk is judged when what it waits for has come, and before the chunks behind it; the others are committed meanwhile."""
    b = bench(partitions=2)
    there = TopicPartition("payloads", 1)
    later = Later(20)
    b.tasks[0]._stage.waits = [later]
    await b.live(chunk(0, 2), chunk(2, 3), chunk(0, 1, there), until=lambda: b.names().count("commit") == 1)
    assert ("commit", {there: 1}) in b.actions
    await b.settle()
    assert b.judged() == [[0, 1], [0], [0, 1], [2]]
    assert b.actions[-2] == ("commit", {AT: 3})


async def test_what_must_wait_behind_poison_undoes_the_records_before_it(bench):
    """A chunk with a bad record is judged one by one; when one of them must wait, the whole chunk comes again over the state it had."""
    b = bench(bad=[1])
    waits = iter([None, None, Later(3)])  # the chunk; record 0; record 1 is poison; record 2 must wait
    plain = b.task._stage

    def stage(records, state, out):
        plain(records, state, out)
        if (wait := next(waits, None)) is not None:
            raise wait

    b.task._stage = stage
    await b.live(chunk(0, 4))
    assert b.sent() == [b"0:1", b"2:1", b"3:2"]
    assert b.sent("dlq.payloads") == [b"v1"]
    assert b.actions[-1][1] == {b"k0": b"2", b"k2": b"1"}


async def test_the_next_transaction_is_judged_while_one_commits_and_commits_behind_it(bench):
    """It sees what the first wrote, sends nothing before the first is in the log, and is kept behind it."""
    b = bench(interval_s=0)
    gate = b.outboxes[0].gate = asyncio.Event()
    await b.live(chunk(0, 2), chunk(2, 4), until=lambda: b.judged() == [[0, 1], [2, 3]])
    assert b.names() == ["restore", "begin", *ONE, "begin", *ONE]
    assert b.outboxes[1].before is b.outboxes[0].is_flushed
    gate.set()
    await b.settle()
    assert b.names() == ["restore", "begin", *ONE, "begin", *ONE, "commit", "keep", "commit", "keep"]
    assert b.sent() == [b"0:1", b"1:1", b"2:1", b"3:2"]
    assert [action[1] for action in b.actions if action[0] == "keep"] == [{b"k0": b"1", b"k1": b"1"}, {b"k2": b"1", b"k0": b"2"}]


async def test_a_commit_that_fails_beside_ends_the_worker_although_nothing_more_comes(bench):
    b = bench(fail_at="commit")
    await b.live(chunk(0, 1))
    assert isinstance(b.errors[0], ConnectionError)


async def test_chunks_of_partitions_that_are_not_ours_are_dropped(bench):
    b = bench()
    await b.live(chunk(0, 1, TopicPartition("payloads", 7)), chunk(0, 1))
    assert b.judged() == [[0]]
