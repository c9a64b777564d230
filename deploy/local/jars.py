"""The broker's jars: fetched once by jgo, each verified against `kafka-jars.lock` before every start.

Kafka is on Maven Central as some 45 jars. jgo finds and downloads them without a Maven of its own, but it only *warns* when a
checksum differs, and its resolver can be talked into a mix of versions: without the `!` behind slf4j-simple it drags
kafka-clients 3.9 under a 4.4 broker, and nothing says so. So resolving is a thing we do when Kafka's version changes
(`python -m deploy.local.jars --relock`), reviewed as a diff of the lock; a start only asks jgo for the files that the lock
names, and when all are there it touches neither jgo nor the network (45 jars, 45 MB: 0.05 s to hash).

slf4j-simple writes to stderr, which is our log file. Kafka 4 binds slf4j 1.7; 2.x bindings are ignored by it.
"""

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.local import LocalServiceError

KAFKA_VERSION = "4.4.0"
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36!"
LOCK = Path(__file__).with_name("kafka-jars.lock")
_HEADER = "# Apache Kafka's jars: coordinates, bytes, SHA-256. Made by `python -m deploy.local.jars --relock`.\n"


class JarError(LocalServiceError):
    """The jars cannot be trusted or had. The message names the jar and the remedy."""


@dataclass(frozen=True, slots=True, order=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    size_bytes: int = 0
    sha256: str = ""

    @property
    def coordinates(self) -> str:
        """As Maven writes it, `group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"

    def path(self, repository: Path) -> Path:
        """Where Maven, jgo and every other tool keep this jar below their repository folder."""
        return repository.joinpath(*self.group.split("."), self.artifact, self.version, f"{self.artifact}-{self.version}.jar")


def repository_folder() -> Path:
    """The user's Maven repository, shared with Maven and jgo: M2_REPO, else ~/.m2/repository."""
    return Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The jars in the lock's order, which is the class path's."""
    jars = []
    for line in lock.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinates, size_bytes, sha256 = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, int(size_bytes), sha256))
    return jars


def verify(jar: Jar, path: Path) -> None:
    """Raise JarError, naming the jar, unless the file has the locked size and SHA-256."""
    size_bytes = path.stat().st_size
    if size_bytes != jar.size_bytes:
        found = f"has {size_bytes} bytes instead of {jar.size_bytes}"
    else:
        sha256 = _sha256(path)
        if sha256 == jar.sha256:
            return
        found = f"has SHA-256 {sha256} instead of {jar.sha256}"
    raise JarError(f"{jar.coordinates} is not the jar that {LOCK.name} names: {path} {found}. Delete that file and start again.")


def class_path(report: Callable[[str], None], lock: Path = LOCK, repository: Path | None = None) -> list[Path]:
    """Every locked jar's path: downloaded if it is missing, verified in any case."""
    repository = repository or repository_folder()
    jars = read_lock(lock)
    assert_one_kafka(jars)
    missing = [jar for jar in jars if not jar.path(repository).is_file()]
    if missing:
        megabytes = sum(jar.size_bytes for jar in missing) / 1e6
        report(f"Fetching Apache Kafka {KAFKA_VERSION}: {len(missing)} jars, {megabytes:.0f} MB (only once)")
        _fetch(missing, repository)
    with ThreadPoolExecutor(2) as pool:  # hashlib lets go of the GIL
        list(pool.map(lambda jar: verify(jar, jar.path(repository)), (jar for jar in jars if jar not in missing)))
    return [jar.path(repository) for jar in jars]


def _fetch(jars: list[Jar], repository: Path) -> None:
    """Download into a folder of our own, verify, then move: jgo writes in place, and another start must not see half a jar."""
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository, prefix=".clicktrail-") as folder, ThreadPoolExecutor(8) as pool:
        context = _maven(Path(folder))

        def fetch(jar: Jar) -> None:
            fetched = _download(context, jar)
            verify(jar, fetched)
            target = jar.path(repository)
            target.parent.mkdir(parents=True, exist_ok=True)
            fetched.replace(target)

        list(pool.map(fetch, jars))


def _download(context: object, jar: Jar) -> Path:
    import stamina

    partial = jar.path(context.repo_cache)  # type: ignore[attr-defined]
    try:
        for attempt in stamina.retry_context(on=OSError, attempts=4, timeout=120):  # requests' errors are OSErrors
            with attempt:
                partial.unlink(missing_ok=True)
                fetched: Path = context.create_dependency(jar.coordinates).artifact.resolve()  # type: ignore[attr-defined]
                return fetched
    except (OSError, RuntimeError) as error:
        raise JarError(
            f"{jar.coordinates} cannot be downloaded: {error}. "
            "A mirror can be named in jgo's settings file, section [repositories], or the jar put into the Maven repository by hand."
        ) from error
    raise AssertionError("stamina either returns or raises")


def _maven(repository: Path) -> object:
    """The Maven world as jgo sees it: the mirrors in the user's jgo settings first, then Maven Central."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    remotes = {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}
    return MavenContext(repo_cache=repository, remote_repos=remotes, timeout=30)


def relock(lock: Path = LOCK) -> list[Jar]:
    """Resolve the endpoint anew with jgo, download everything to a fresh folder, and write the lock from what arrived."""
    import jgo

    coordinates = sorted(Jar(item.groupId, item.artifactId, item.version) for item in jgo.resolve(ENDPOINT))
    assert_one_kafka(coordinates)
    with tempfile.TemporaryDirectory() as folder:
        context = _maven(Path(folder))
        jars = []
        for jar in coordinates:
            path = _download(context, jar)
            jars.append(Jar(jar.group, jar.artifact, jar.version, path.stat().st_size, _sha256(path)))
    lock.write_text(_HEADER + "".join(f"{jar.coordinates} {jar.size_bytes} {jar.sha256}\n" for jar in jars))
    return jars


def assert_one_kafka(jars: Iterable[Jar]) -> None:
    """Raise JarError if any jar of Kafka's is of another version: a mixed class path starts, and fails at run time."""
    strays = [jar.coordinates for jar in jars if jar.group == "org.apache.kafka" and jar.version != KAFKA_VERSION]
    if strays:
        raise JarError(f"These are not Kafka {KAFKA_VERSION}: {', '.join(strays)}. Keep the `!` in ENDPOINT, then relock.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Fetch the jars ahead of the first start, or write the lock anew."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.jars", description="Fetch and verify the embedded broker's jars.")
    parser.add_argument("--relock", action="store_true", help="resolve anew and rewrite the lock (after changing KAFKA_VERSION)")
    if parser.parse_args().relock:
        print(f"{LOCK.name}: {len(relock())} jars")
    print(f"{len(class_path(print))} jars in {repository_folder()} match {LOCK.name}")


if __name__ == "__main__":
    main()
