"""The acceptance table has its rows, every row has a test that names it, and the doctor tells proofs from claims.

None of the tests here names a row as proved: ids stand in data, not in names or docstrings.
"""

import json
import re

import pytest

from console import acceptance
from console.acceptance import keep, named, outcomes, proofs
from schemas.acceptance import IDS, ROWS
from tests.conftest import Outcomes

TESTS = named()


def test_the_table_has_every_sentence_of_the_three_pages():
    assert list(IDS) == [f"{page}{number:02d}" for page, count in (("A", 39), ("R", 18), ("C", 19)) for number in range(1, count + 1)]
    assert all(row.feature and row.detail for row in ROWS)


@pytest.mark.parametrize("row", IDS)
def test_the_row_is_named_by_a_test(row):
    assert TESTS[row], f"no test names {row} in its name or docstring"


def test_no_test_names_a_row_that_does_not_exist():
    assert set(TESTS) - set(IDS) == set()


def test_no_test_only_counts_tests():
    """The tests of this file look at ids and prove nothing about the product."""
    assert not [test for found in TESTS.values() for test in found if "test_acceptance" in test]


PROVED_BY = {"A01": ["tests/a.py::test_x"], "A02": ["tests/a.py::test_y"], "A03": ["tests/g.py::test_example[one]"], "A04": []}
ENDED = [
    ({}, {"A01": "not_run", "A02": "not_run", "A03": "not_run", "A04": "no_test"}),
    ({"tests/a.py::test_x": "passed"}, {"A01": "proved", "A02": "not_run"}),
    ({"tests/a.py::test_x[1]": "passed", "tests/a.py::test_x[2]": "failed"}, {"A01": "failed"}),
    ({"tests/a.py::test_x[1]": "passed", "tests/a.py::test_x[2]": "skipped"}, {"A01": "proved"}),
    ({"tests/a.py::test_x": "skipped"}, {"A01": "skipped"}),
    ({"tests/a.py::test_xy": "passed"}, {"A01": "not_run"}),
    ({"tests/g.py::test_example[one]": "passed", "tests/g.py::test_example[two]": "failed"}, {"A03": "proved"}),
    ({"tests/g.py::test_example[one]": "failed"}, {"A03": "failed"}),
]


@pytest.mark.parametrize(("ended", "states"), ENDED)
def test_a_row_is_proved_when_a_test_of_it_passed_and_none_failed(ended, states):
    found = {proof.id: proof for proof in proofs({row: PROVED_BY.get(row, []) for row in IDS}, ended)}
    assert {row: found[row].state for row in states} == states
    assert all(set(proof.failed) <= set(ended) for proof in found.values())


@pytest.fixture
def checkout(tmp_path):
    """A checkout with two test files and one example."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "schemas" / "examples").mkdir(parents=True)
    (tmp_path / "schemas" / "examples" / "one.json").write_text('{"proves": ["A03"]}')
    (tmp_path / "tests" / "test_a.py").write_text(
        '"""A05."""\n# A06\nasync def test_one_A01():\n    """Not BA07 and not A080, but A02."""\n    assert "A09"\ndef helper():\n    """A10"""\n'
    )
    return tmp_path


def test_only_names_docstrings_and_examples_count(checkout):
    found = {row: tests for row, tests in named(checkout).items() if tests}
    assert found == {
        "A01": ["tests/test_a.py::test_one_A01"],
        "A02": ["tests/test_a.py::test_one_A01"],
        "A03": [f"{acceptance.GOLDEN}[one]"],
    }


def test_results_are_laid_over_those_of_earlier_runs(checkout):
    test = "tests/test_a.py::test_one"
    assert outcomes(checkout) == {}
    keep({f"{test}[1]": "failed", f"{test}[2]": "passed", "tests/gone.py::test": "passed"}, set(), checkout)
    keep({f"{test}[2]": "failed"}, set(), checkout)  # by node id: what was not asked for stays as it was
    assert outcomes(checkout) == {f"{test}[1]": "failed", f"{test}[2]": "failed"}
    keep({f"{test}[3]": "passed"}, {f"{test}[2]", f"{test}[3]"}, checkout)  # case 1 is not there any more, 2 was deselected
    assert outcomes(checkout) == {f"{test}[2]": "failed", f"{test}[3]": "passed"}
    (checkout / acceptance.RESULTS).write_text("broken")
    assert outcomes(checkout) == {}


class Report:
    def __init__(self, nodeid, outcome):
        self.nodeid, self.outcome = nodeid, outcome


@pytest.mark.parametrize(
    ("phases", "outcome"),
    [
        (("passed", "passed", "passed"), "passed"),
        (("passed", "failed", "passed"), "failed"),
        (("failed", "passed"), "failed"),
        (("passed", "passed", "failed"), "failed"),
        (("skipped", "passed"), "skipped"),
        (("passed", "skipped", "passed"), "skipped"),
    ],
)
def test_a_test_ended_as_its_worst_phase(checkout, phases, outcome):
    plugin = Outcomes(checkout)
    for phase in phases:
        plugin.pytest_runtest_logreport(Report("tests/test_a.py::test_one", phase))
    plugin.pytest_sessionfinish()
    assert json.loads((checkout / acceptance.RESULTS).read_text()) == {"tests/test_a.py::test_one": outcome}


def test_the_doctor_lists_every_row_and_needs_no_service(monkeypatch, checkout, capsys):
    from console import cli

    monkeypatch.setattr(acceptance, "outcomes", lambda: {test: "passed" for found in TESTS.values() for test in found})
    with pytest.raises(SystemExit) as ended:
        cli.run(["doctor", "--acceptance", "--json"])
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert [proof["id"] for proof in said] == list(IDS)
    monkeypatch.setattr(acceptance, "outcomes", dict)
    with pytest.raises(SystemExit) as ended:
        cli.run(["doctor", "--acceptance"])
    assert ended.value.code == 1
    assert re.search(r"0 of 76 rows are proved", capsys.readouterr().err)
