"""Which tests prove which row of the acceptance table, and how they ended last time.

A test names the rows that it proves in its own name or docstring; an example names them in `proves`, and the golden test of that example is
the proof. Module docstrings and comments do not count: they speak of what a file is about, not of what is asserted. The tests are read
(`ast`), not imported, so asking costs a tenth of a second and works on a machine where nothing is installed to run them.

How they ended stands in `.cache/acceptance.json`, which every run of pytest writes (`tests/conftest.py`): the tests that it ran, laid over
those of earlier runs. A row is proved when a test of it passed and none failed; a test that was skipped proves nothing.
"""

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from schemas.acceptance import IDS, ROWS

ROOT = Path(__file__).parents[1]
RESULTS = Path(".cache") / "acceptance.json"
ROW_ID: Final = re.compile(r"(?<![A-Za-z0-9])[ARC]\d\d(?![A-Za-z0-9])")
EXAMPLES, GOLDEN = Path("schemas") / "examples", "tests/golden/test_examples.py::test_example"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
Outcomes = Mapping[str, str]
"""Node id of a test, as pytest writes it -> passed, failed or skipped."""


class Proof(NamedTuple):
    """What becomes of one row: `state` is proved, failed, skipped, not_run or no_test."""

    id: str
    feature: str
    state: str
    tests: list[str]
    failed: list[str]


def named(root: Path = ROOT) -> dict[str, list[str]]:
    """Return row -> the tests that name it, as `file::function` or, of an example, with its name in brackets."""
    found: dict[str, list[str]] = {row: [] for row in IDS}
    for test, ids in [*_of_functions(root), *_of_examples(root)]:
        for row in ids:
            found.setdefault(row, []).append(test)
    return found


def _of_functions(root: Path) -> Iterator[tuple[str, list[str]]]:
    for path in sorted((root / "tests").rglob("test_*.py")):
        file = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                said = f"{node.name.replace('_', ' ')} {ast.get_docstring(node) or ''}"
                yield f"{file}::{node.name}", sorted(set(ROW_ID.findall(said)))


def _of_examples(root: Path) -> Iterator[tuple[str, list[str]]]:
    for path in sorted((root / EXAMPLES).glob("*.json")):
        yield f"{GOLDEN}[{path.stem}]", json.loads(path.read_text(encoding="utf-8")).get("proves", [])


def outcomes(root: Path = ROOT) -> dict[str, str]:
    """Return how each test ended when it last ran; empty before the first run."""
    try:
        found = json.loads((root / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(test): str(outcome) for test, outcome in found.items()} if isinstance(found, dict) else {}


def keep(ran: Outcomes, collected: Collection[str], root: Path = ROOT) -> None:
    """Lay the tests of a run over those of earlier runs; what is not there any more goes: files, and cases of collected functions."""
    functions = {test.partition("[")[0] for test in collected}
    kept = {
        test: outcome
        for test, outcome in outcomes(root).items()
        if (root / test.partition("::")[0]).exists() and (test in collected or test.partition("[")[0] not in functions)
    }
    path = root / RESULTS
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(dict(sorted({**kept, **ran}.items())), indent=0), encoding="utf-8")


def proofs(tests: Mapping[str, list[str]], ended: Outcomes) -> list[Proof]:
    """Return every row with its state."""
    cases: dict[str, list[str]] = {}
    for test in ended:
        cases.setdefault(test.partition("[")[0], []).append(test)
    found = []
    for row in ROWS:
        ran = [case for test in tests[row.id] for case in ([test] if "[" in test else cases.get(test, [])) if case in ended]
        failed = [case for case in ran if ended[case] == FAILED]
        found.append(Proof(row.id, row.feature, _state(tests[row.id], [ended[case] for case in ran]), tests[row.id], failed))
    return found


def _state(tests: list[str], results: list[str]) -> str:
    if not tests:
        return "no_test"
    if FAILED in results:
        return "failed"
    if PASSED in results:
        return "proved"
    return "skipped" if results else "not_run"
