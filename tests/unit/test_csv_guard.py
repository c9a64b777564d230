"""The guard over a CSV that passes: whatever way it is cut into pieces, texts that begin like a formula get an apostrophe and nothing else changes."""

import csv
import io

import pytest

from console.csv_guard import CsvGuard

TEXTS = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "\r=1",
    "＝1",
    "plain",
    'a "quoted" =1',
    '"=1"',
    "",
    "line\n=two",
    ",=1",
    "'",
    "é",
    "＝",
    '"',
    'x,"=1',
]


def written(rows):
    lines = [",".join(str(each) if isinstance(each, int) else '"' + each.replace('"', '""') + '"' for each in row) for row in rows]
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_formulas_are_disarmed_and_all_else_is_as_it_was(size):
    rows = [["name", "count"], *([text, -5] for text in TEXTS), *([-5, text] for text in TEXTS)]
    raw, guard = written(rows), CsvGuard()
    passed = b"".join(guard.passed(raw[at : at + size]) for at in range(0, len(raw), size)) + guard.end()
    read = list(csv.reader(io.StringIO(passed.decode(), newline="")))
    wanted = [[f"'{each}" if isinstance(each, str) and each[:1] in set("=+-@\t\r＝＋－＠") else str(each) for each in row] for row in rows]
    assert read == wanted
