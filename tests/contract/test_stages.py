"""What every stage must keep, on all examples: the contract of `streams/stage.py`, without knowing what a stage is for.

The inputs of each stage are what the examples put on its topics. A stage is handed them again, in other chunks, twice, over the state as
it was: the outputs and the state must be the same bytes.
"""

import ast
import copy
import random
from pathlib import Path

import pytest

from streams.runtime.memory import Memory, MemoryState
from streams.stage import Outputs
from streams.topology import ATTRIBUTION, EVENTS, LEDGER
from tests.golden.examples import PII, load, names, receive, run, shown, workspace_of

STREAMS = Path(__file__).parents[2] / "streams"
STAGES = {role.name: role for role in (LEDGER, ATTRIBUTION)}
PURE = sorted(STREAMS.glob("*.py"))
FORBIDDEN = ("time", "random", "logging", "asyncio", "structlog", "streams.runtime", "streams.ingest", "aiokafka", "faust")
KEY_PREFIXES = {LEDGER.name: (b"h:",), ATTRIBUTION.name: (b"i:",)}


class Recorder(Memory):
    """A Memory that remembers what each stage was handed: per (role, partition) the list of (topic, records)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.handed = {}

    def step(self, at, count):
        begin = self._read.get(at, 0)
        records = list(self.log[at][begin : begin + count])
        self.handed.setdefault((self._role_of[at[0]], at[1]), []).append(records)
        super().step(at, count)

    def stage(self, role):
        return self._stages[role]


@pytest.fixture(scope="module", params=names())
def recorded(request):
    example = load(request.param)
    memory = Recorder(workspace_of(example), pii_key=PII)
    for step in example["steps"]:
        receive(memory, step)
        memory.run()
    return memory


def judged(memory, role, chunks, state=None):
    """(outputs per topic and partition, state) of a stage that is made anew and handed these chunks."""
    fresh = Memory(memory.workspace, pii_key=PII)
    stage, state, sent = fresh._stages[role], MemoryState() if state is None else state, {}
    for chunk in chunks:
        out = Outputs()
        stage(chunk, state, out)
        for topic, partition, key, value, headers in out:
            sent.setdefault((topic, partition), []).append((key, value, headers))
    return sent, state


def inputs(memory, role):
    return [handed for (name, _), handed in sorted(memory.handed.items()) if name == role]


def rechunked(handed, size):
    """The same records in the same order, in chunks of `size`; a chunk has one topic."""
    merged = []
    for records in handed:
        if merged and merged[-1][0].topic == records[0].topic:
            merged[-1] = [*merged[-1], *records]
        else:
            merged.append(records)
    return [records[i : i + size] for records in merged for i in range(0, len(records), size)]


@pytest.mark.parametrize("role", STAGES)
def test_any_chunking_gives_the_same(recorded, role):
    for handed in inputs(recorded, role):
        wanted = judged(recorded, role, rechunked(handed, 1))
        for size in (7, 500, 1_000_000):
            assert judged(recorded, role, rechunked(handed, size)) == wanted


@pytest.mark.parametrize("role", STAGES)
def test_twice_is_the_same_bytes(recorded, role):
    for handed in inputs(recorded, role):
        first, second = (judged(recorded, role, handed) for _ in range(2))
        assert first == second
        assert list(first[0]) == list(second[0]), "topics in the same order, too"


@pytest.mark.parametrize("role", STAGES)
def test_replayed_over_the_state_before_it_gives_the_same(recorded, role):
    """A transaction that was killed is judged again by the next owner."""
    for handed in inputs(recorded, role):
        state = MemoryState()
        for chunk in handed:
            before = copy.deepcopy(state)
            first = judged(recorded, role, [chunk], state)
            assert judged(recorded, role, [chunk], before) == first


@pytest.mark.parametrize("role", STAGES)
def test_a_stage_instance_keeps_nothing_that_matters(recorded, role):
    """The state is the store's: a stage that has seen other records before answers like a fresh one."""
    used = recorded.stage(role)
    for handed in inputs(recorded, role):
        state, sent = MemoryState(), {}
        for chunk in handed:
            out = Outputs()
            used(chunk, state, out)
            for topic, partition, key, value, headers in out:
                sent.setdefault((topic, partition), []).append((key, value, headers))
        assert (sent, state) == judged(recorded, role, handed)


@pytest.mark.parametrize("role", STAGES)
def test_emits_and_keeps_what_the_topology_declares(recorded, role):
    declared = {topic.name for topic in STAGES[role].outputs}
    for handed in inputs(recorded, role):
        sent, state = judged(recorded, role, handed)
        assert {topic for topic, _ in sent} <= declared
        assert all(0 <= partition < recorded.partitions for _, partition in sent)
        for records in sent.values():
            for key, value, headers in records:
                assert type(key) is bytes
                assert type(value) is bytes
                assert headers == []
        for key, value in state.items():
            assert type(key) is bytes
            assert key.startswith(KEY_PREFIXES[role])
            assert type(value) is bytes


def test_each_payload_is_judged_exactly_once(recorded):
    """Revision 1 of each payload occurs once, on the payload's own partition; revisions have no gaps."""
    payloads = {f"e1-{r.partition}-{r.offset}" for (topic, _), log in recorded.log.items() if topic.endswith("payloads.v1") for r in log}
    rows = recorded.rows()
    assert sorted(row["event_id"] for row in rows if row["revision"] == 1) == sorted(payloads)
    for event_id in payloads:
        mine = [row["revision"] for row in rows if row["event_id"] == event_id]
        assert mine == list(range(1, len(mine) + 1))
    for (topic, partition), log in recorded.log.items():
        if topic == EVENTS.name:
            assert all(record.key.split(b"-")[1] == b"%d" % partition for record in log)


LIMITED = "referral-over-daily-limit"  # the one rule that goes by who comes first to the link (fraud.py)


@pytest.mark.parametrize("name", sorted({*names()} - {LIMITED}))
def test_any_order_of_arrival_ends_in_the_same_rows(name):
    """Everything lies in the topics at once and any partition may be judged next: the current rows are the example's."""
    example = load(name)
    settled, ids = run(example)
    wanted = current(settled, ids)
    for memory in shuffled(example):
        assert current(memory, ids) == wanted


def test_a_daily_limit_holds_in_any_order_of_arrival():
    example = load(LIMITED)
    for memory in shuffled(example):
        days = [row["received_ms"] // 86_400_000 for row in memory.events().values() if row["status"] == "ok"]
        assert days.count(min(days)) == example["settings"]["sources"][0]["fraud"]["daily_limit_per_link"]


def shuffled(example):
    for seed in range(4):
        rng = random.Random(seed)
        memory = Memory(workspace_of(example), pii_key=PII)
        for step in example["steps"]:
            receive(memory, step)
        memory.run(lambda waiting, rng=rng: (rng.choice(waiting), rng.choice((1, 2, 500))))
        yield memory


def current(memory, ids):
    fields = dict.fromkeys((
        "status", "reason", "sub_reason", "message", "click_id", "match_kind", "duplicate_of", "parent", "identity", "value",
    ))  # fmt: skip
    return {event_id: shown(row, ids, fields) for event_id, row in memory.events().items()}


def imported(path):
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_a_stage_imports_nothing_that_waits_or_looks_at_a_clock(path):
    """Principle 3: the core never waits and never looks at a clock."""
    wrong = [name for name in imported(path) if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN)]
    assert wrong == []


def test_a_stage_calls_no_clock():
    """`datetime.now` and the like, which come with an import that is allowed."""
    for path in PURE:
        called = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert called & {"now", "utcnow", "today", "urandom", "uuid4", "monotonic"} == set(), path
