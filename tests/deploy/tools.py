"""The checkers of manifests: those of .venv, and those that `make deploy-check` installs or builds. Who is not there is a skip that says so."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def tool(name):
    """The path of a checker; skips the test without it."""
    for folder in (ROOT / ".cache/deploy/bin", Path(sys.executable).parent):
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name) or pytest.skip(f"{name} is not here: `make deploy-check` brings it")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{command[0]}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def documents(*paths):
    """Every YAML document of the files."""
    return [document for path in paths for document in yaml.safe_load_all(Path(path).read_text()) if document]
