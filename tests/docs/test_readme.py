"""README.md cannot rot: its generated blocks are current, what it names exists, its commands are real."""

import re
import subprocess
import sys

import pytest

from tests.docs.readme_blocks import README, READMES, ROOT, filled

TEXT = README.read_text()


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_generated_blocks_are_current(path):
    assert filled(path.read_text()) == path.read_text(), "run `python -m tests.docs.readme_blocks`"


def test_every_file_that_it_names_exists():
    names = set(re.findall(r"`((?:schemas|streams|sinks|console|deploy|bench|tests)/[\w/.]*)`", TEXT))
    assert names
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"bin/clicktrail ([a-z-]+)", TEXT))))
def test_every_verb_that_it_shows_exists(verb):
    done = subprocess.run(
        [sys.executable, "-m", "console.cli", verb, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_make_target_that_it_shows_exists():
    targets = set(re.findall(r"make (up|test|bench|lint|clean)\b", TEXT))
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
