"""The JVM's memory of the classes it loaded: half the start time of every broker but the first.

Two thirds of a broker's start is loading some 8,000 classes. A JVM can write them down, parsed and verified, when it ends, and map
that file at the next start: 2.3 s becomes 1.2 (Java 17), 2.9 becomes 1.5 (Java 25, whose file also keeps profiles, so the first
seconds of work are faster, too). The price is 2 to 4 s at the end of one orderly stop per Java and Kafka version.

Measured and left: stopping at the C1 compiler starts 0.6 s faster, but a benchmark of our pipeline should not measure a half
compiled broker; serial and parallel collectors make no difference above the noise. So those are Java's defaults.

The file is written under another name and moved when the JVM has ended well: nobody maps half a file. A JVM checks that Java, the
jars and their order are those of the file, and goes on without it if they are not.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from deploy.local.jvm import Jvm

AOT_MAJOR = 25  # JEP 514: one flag records and assembles; before, JEP 350's dynamic archive
_KEEP_COUNT = 4  # some 60 MB each


class ClassArchive:
    """The archive for one Java with one class path, used if it exists, else recorded by the run that gets `flags`."""

    def __init__(self, jvm: Jvm, jars: Sequence[Path]) -> None:
        parts = [str(jvm.java.resolve()), str(jvm.java.stat().st_mtime_ns), *map(str, jars)]
        name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._is_aot = jvm.major >= AOT_MAJOR
        self._path = cache / "clicktrail" / f"kafka-java{jvm.major}-{name}.jsa"
        self._recording = self._path.with_suffix(f".{os.getpid()}-{id(self):x}")
        self.is_recording = False

    def flags(self) -> list[str]:
        """JVM flags that use the archive, or that record it."""
        quiet = ["-XX:+IgnoreUnrecognizedVMOptions", "-Xlog:disable", "-Xlog:all=error:stderr"]
        self.is_recording = not self._path.exists()
        if not self.is_recording:
            return [*quiet, f"-XX:{'AOTCache' if self._is_aot else 'SharedArchiveFile'}={self._path}"]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError:  # a read-only home: every start is a first one
            self.is_recording = False
            return quiet
        return [*quiet, f"-XX:{'AOTCacheOutput' if self._is_aot else 'ArchiveClassesAtExit'}={self._recording}"]

    def keep(self) -> None:
        """After the recording JVM's orderly end: the archive is the next start's. The oldest ones, of past versions, go."""
        if self._recording.exists():
            self._recording.replace(self._path)
            known = sorted(self._path.parent.glob("kafka-java*.jsa"), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in known[_KEEP_COUNT:]:
                old.unlink(missing_ok=True)

    def discard(self) -> None:
        """After any other end; Java 25 may have left a list beside it."""
        for unfinished in self._path.parent.glob(f"{self._recording.name}*"):
            unfinished.unlink(missing_ok=True)
