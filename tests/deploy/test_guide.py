"""deploy/README.md cannot rot: settings, files and commands that it names exist."""

import re

from console import cli
from streams.runtime import settings
from streams.runtime.metrics import TABLE
from tests.deploy.tools import DEPLOY, ROOT

TEXT = (DEPLOY / "README.md").read_text()


def test_settings_exist():
    known = settings.names()
    named = {name.rstrip("_") for name in re.findall(r"CLICKTRAIL_[A-Z_]+", TEXT)}
    assert named
    assert [name for name in named if name not in known] == []


def test_metrics_exist():
    known = {metric.name + ("_total" if metric.kind == "counter" else "") for metric in TABLE}
    assert set(re.findall(r"clicktrail_(?!shard)[a-z_]+", TEXT)) <= known


def test_files_exist():
    names = set(re.findall(r"`((?:k8s|observe|local|deploy|sinks|streams)/[\w./-]*)`", TEXT))
    assert len(names) > 10
    assert [name for name in names if not ((ROOT / name).exists() or (DEPLOY / name).exists())] == []


def test_verbs_exist():
    verbs = {name for name, _ in cli.VERBS} | {f"{group} {verb}" for group, _, rows in cli.GROUPS for verb, _ in rows}
    named = re.findall(r"`clicktrail ([a-z -]+?)(?: --| ID|`| <)", TEXT)
    assert named
    assert [words for words in named if words.strip() not in verbs and words.split()[0] != "worker"] == []
