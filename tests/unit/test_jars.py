"""The lock decides which jars run: nothing else does, and no network is needed to check it."""

import hashlib
import subprocess
import sys

import pytest

from deploy.local import jars
from deploy.local.jars import Jar, JarError


@pytest.fixture
def fake(tmp_path):
    """A lock of one small jar, and the repository that has it."""
    content = b"PK fake"
    jar = Jar("org.example", "thing", "1.0", len(content), hashlib.sha256(content).hexdigest())
    path = jar.path(tmp_path / "repository")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    lock = tmp_path / "jars.lock"
    lock.write_text(f"# a comment\n{jar.coordinates} {jar.size_bytes} {jar.sha256}\n")
    return lock, tmp_path / "repository", path


def test_locked_jar_is_taken_without_asking_anybody(fake, monkeypatch):
    lock, repository, path = fake
    monkeypatch.setattr(jars, "_fetch", None)
    assert jars.class_path(pytest.fail, lock, repository) == [path]


@pytest.mark.parametrize(("content", "what"), [(b"PK fakf", "has SHA-256"), (b"PK", "has 2 bytes instead of 7")])
def test_wrong_jar_is_named(fake, content, what):
    lock, repository, path = fake
    path.write_bytes(content)
    with pytest.raises(JarError, match=rf"org\.example:thing:1\.0 is not the jar .* {what}") as error:
        jars.class_path(pytest.fail, lock, repository)
    assert str(path) in str(error.value)


def test_missing_jar_is_verified_before_it_gets_its_place(fake, monkeypatch):
    lock, repository, path = fake
    path.unlink()
    fetched = repository / "fetched"
    fetched.write_bytes(b"PK evil")
    monkeypatch.setattr(jars, "_download", lambda context, jar: fetched)
    with pytest.raises(JarError, match=r"org\.example:thing"):
        jars.class_path(lambda _: None, lock, repository)
    assert not path.exists()
    fetched.write_bytes(b"PK fake")
    news = []
    assert jars.class_path(news.append, lock, repository) == [path]
    assert len(news) == 1


def test_committed_lock_is_one_kafka():
    locked = jars.read_lock()
    jars.assert_one_kafka(locked)
    assert {"kafka_2.13", "kafka-clients", "slf4j-simple"} <= {jar.artifact for jar in locked}
    assert all(len(jar.sha256) == 64 for jar in locked)


def test_mixed_versions_are_refused():
    with pytest.raises(JarError, match=r"kafka-clients:3\.9\.1"):
        jars.assert_one_kafka([Jar("org.apache.kafka", "kafka-clients", "3.9.1")])


def test_a_start_does_not_load_jgo():
    """It would cost a third of a second and could touch the network."""
    code = "import sys, deploy.local.kafka; sys.exit('jgo' in sys.modules or 'requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
