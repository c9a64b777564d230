"""Every example of `schemas/examples/` through the topology in memory: its rows and postbacks are what it says. A new file is a new test."""

import re
from pathlib import Path
from typing import get_args

import pytest

from schemas.policies import SourceKind
from schemas.reasons import REASONS, SUB_REASONS
from tests.golden.examples import filled, load, names, run, shown

TESTS = Path(__file__).parents[1]
ROWS_OF_A = [f"A{number:02d}" for number in range(1, 40)]

# Sub-reasons that no example can show, with why.
UNREACHABLE = {
    "property_missing": "an example's workspace is checked like a file that is applied, and a source without its property is refused there; "
    "test_ledger.py deletes the property afterwards"
}


@pytest.mark.parametrize("name", names())
def test_example(name):
    example = load(name)
    memory, ids = run(example)
    rows = memory.events()
    assert set(rows) == set(ids), "every payload is exactly one current row"
    wanted = [filled(row, ids) for row in example["expect"]]
    assert len(wanted) == len(ids)
    assert [shown(rows[event_id], ids, row) for event_id, row in zip(ids, wanted, strict=True)] == wanted
    assert_postbacks(memory.postbacks(), filled_all(example["postbacks"], ids), ids)


def filled_all(items, ids):
    return [filled(item, ids) for item in items]


def assert_postbacks(requests, wanted, ids):
    """The same requests, whatever partition they are on: per payload in order of revision and destination."""
    key = lambda request: (request["payload"], request["revision"], request["destination_id"])  # noqa: E731
    found = [request | {"payload": ids.index(request["event_id"]) + 1} for request in requests]
    found, wanted = sorted(found, key=key), sorted(wanted, key=key)
    assert [{name: request[name] for name in want} for request, want in zip(found, wanted, strict=False)] == wanted
    assert len(found) == len(wanted)
    assert len({request["postback_id"] for request in found}) == len(found)


@pytest.mark.parametrize("name", names())
def test_an_example_can_be_read(name):
    """It is documentation: a title, the sentence that it proves, and which rows of the acceptance table those are."""
    example = load(name)
    assert set(example) <= {"title", "proves", "says", "settings", "steps", "expect", "postbacks"}
    assert example["title"]
    assert example["says"]
    assert example["proves"]
    assert all(re.fullmatch(r"[ARC]\d\d", row) for row in example["proves"])
    for row in example["expect"]:
        assert {"status", "reason", "sub_reason", "message", "view_status"} <= set(row)


def test_every_reason_has_an_example():
    shown_reasons = {(row["reason"], row["sub_reason"]) for name in names() for row in load(name)["expect"]}
    reasons, sub_reasons = {reason for reason, _ in shown_reasons}, {sub_reason for _, sub_reason in shown_reasons}
    assert {reason.code for reason in REASONS} - reasons == set()
    assert {sub_reason.code for sub_reason in SUB_REASONS} - sub_reasons == set(UNREACHABLE)


def test_every_row_of_the_acceptance_table_is_proved():
    """Of the first page, each is named in an example's `proves`."""
    proved = {row for name in names() for row in load(name)["proves"]}
    assert set(ROWS_OF_A) - proved == set()


def test_every_kind_of_source_is_shown_recorded_and_not():
    """A39, R02: network postback, webhook, API call, script, one-click access, upload, feed and referral."""
    kinds = {status: set() for status in (True, False)}
    for name in names():
        for row in load(name)["expect"]:
            kinds[row["status"] == "ok"].add(row.get("type"))
    for shown_kinds in kinds.values():
        assert set(get_args(SourceKind)) - shown_kinds == set()


def test_there_are_enough_examples():
    assert len(names()) >= 200
