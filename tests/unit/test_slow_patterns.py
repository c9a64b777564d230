"""No regular expression of ours can be made to run for minutes, and what is installed is what was locked."""

import importlib
import pkgutil
import re
import time
from pathlib import Path

import console
import schemas
import sinks
import streams
from schemas import pii

ROOT = Path(__file__).parents[2]
LENGTH = 5_000
PIECES = (
    "a", "0", "@", "a@", "a.", "-", " ", "\t\n", "%2", "{", "{a", "[", "<a", "'", '"', "\\", "/", "a=", "(", ":", "0,", ".", "$", "#", "_", "A1", "é", "+a@b", "1 ", "|",
)  # fmt: skip
ONLY_SHORT = {"streams.money"}  # LONGEST characters at most are given to it
LIMIT_CPU_S = 2.0  # of processor time; a pattern that is quadratic takes 0.3 s for this length on a slow machine, a cubic one hours


def patterns():
    found = {}
    for package in (schemas, streams, console, sinks):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if "__main__" not in module.name and module.name not in ONLY_SHORT:
                for name, value in vars(importlib.import_module(module.name)).items():
                    if isinstance(value, re.Pattern):
                        found[value] = f"{module.name}.{name}"
    return found | {re.compile(pii.EMAIL): "schemas.pii.EMAIL"} | {re.compile(mask.found): "schemas.pii.MASKS" for mask in pii.MASKS}


def test_no_pattern_is_catastrophic():
    """ReDoS: every pattern of the product over texts that make backtracking expensive."""
    all_of = patterns()
    assert len(all_of) > 30
    slow = []
    for pattern, name in all_of.items():
        for piece in PIECES:
            text = piece * (LENGTH // len(piece)) + "!"
            given = text.encode() if isinstance(pattern.pattern, bytes) else text
            began = time.process_time()
            pattern.search(given)
            if time.process_time() - began > LIMIT_CPU_S:
                slow.append((name, piece))
    assert not slow


def test_a_mapping_has_no_regular_expressions_of_others():
    """Transforms of a mapping are a closed table: nobody's pattern is compiled, so none can be a bomb."""
    for module in ("transforms", "mapping", "fields", "shapes", "expansion"):
        path = next(path for path in (ROOT / "streams" / f"{module}.py", ROOT / "schemas" / f"{module}.py") if path.exists())
        for call in re.findall(r"re\.(?:compile|search|match|fullmatch|sub|split)\(([^)\n]*)", path.read_text()):
            assert re.match(r"rf?[\"']|[A-Z_]+\b|r?b?[\"']", call.strip()) or not call.strip(), (path.name, call)


def test_everything_that_is_installed_is_locked_with_a_hash():
    """A changed package on an index is refused: each line of a lock pins a version and has its hashes, and installing requires them."""
    for lock in ("requirements.lock", "deploy/requirements.lock", "deploy/check.lock"):
        entries = re.findall(r"^(\S.*?)(?=^\S|\Z)", (ROOT / lock).read_text(), re.MULTILINE | re.DOTALL)
        entries = [entry for entry in entries if not entry.startswith("#")]
        assert entries
        for entry in entries:
            assert re.match(r"[A-Za-z0-9_.\[\]-]+==\S+", entry), (lock, entry[:80])
            assert "--hash=sha256:" in entry, (lock, entry[:80])
    assert "--require-hashes" in (ROOT / "Makefile").read_text()
    assert "--require-hashes" in (ROOT / "deploy" / "Dockerfile").read_text()
    jars = (ROOT / "deploy" / "local" / "kafka-jars.lock").read_text().split("\n")
    assert all(re.search(r"[0-9a-f]{64}", line) for line in jars if line.strip() and not line.startswith("#"))
