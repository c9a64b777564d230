"""Which ports are free, and who holds the ones that are not.

A port that is taken is the commonest way for a first run to fail, so the error names the process to stop. psutil reads this on
every system; it comes with the `embedded` extra, and without it (or without the right to see other users' sockets) the sentence
just lacks the name.
"""

import contextlib
import random
import socket
import threading
from dataclasses import dataclass

from deploy.local import LocalServiceError

try:
    import psutil  # type: ignore[import-untyped]
except ImportError:  # without the `embedded` extra
    psutil = None

OURS = range(12_000, 32_000)  # Linux gives 32,768 to 60,999 to connections, macOS and Windows 49,152 and above
_GIVING = threading.Lock()
_next = random.randrange(OURS.start, OURS.stop)  # noqa: S311  no secret


@dataclass(frozen=True, slots=True)
class Listener:
    """The process behind a listening port; `pid` is None when the system does not tell us."""

    pid: int | None = None
    name: str | None = None

    def __str__(self) -> str:
        if self.pid is None:
            return "another process (run as root to see which)"
        return f"pid {self.pid} ({self.name})" if self.name else f"pid {self.pid}"


class PortTakenError(LocalServiceError):
    """Another process listens where we were told to. The message is made for the terminal: what, who, next."""

    def __init__(self, port: int, listener: Listener, option: str) -> None:
        self.port = port
        self.listener = listener
        super().__init__(f"Port {port} is used by {listener}. Use {option} or stop it.")


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now. Bind it soon."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = "127.0.0.1") -> range:
    """So many free ports in a row, from OURS: of those that the system gives to outgoing connections any may be taken a moment later.

    Each call goes on behind the last one, from a place of chance (two test runs on one machine must not meet): what was given and is not
    bound yet is not given again. By chance alone a test session's 200 ports met once in a few runs.
    """
    global _next  # noqa: PLW0603  a process has one row of ports
    with _GIVING:
        while True:
            first = _next if _next + count <= OURS.stop else OURS.start
            found = range(first, first + count)
            _next = found.stop
            if all(is_free(port, host) for port in found):
                return found


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server can bind the port now; connections in TIME_WAIT do not count, as servers set SO_REUSEADDR."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def who_listens(port: int) -> Listener | None:
    """The process that listens on a TCP port of this machine, None if there is none (or psutil is missing)."""
    if psutil is None:
        return None
    try:
        sockets = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS shows other processes' sockets to root only
        return Listener()
    for entry in sockets:
        if entry.status == psutil.CONN_LISTEN and entry.laddr.port == port:
            return Listener(entry.pid, process_name(entry.pid))
    return None


def require_free(port: int, option: str, host: str = "127.0.0.1") -> None:
    """Raise PortTakenError, naming the process and the `option` that moves us elsewhere, unless the port can be bound."""
    if not is_free(port, host):
        raise PortTakenError(port, who_listens(port) or Listener(), option)


def process_name(pid: int | None) -> str | None:
    """The short name of a living process, as `ps` shows it."""
    if psutil is None or pid is None:
        return None
    with contextlib.suppress(psutil.Error):
        return str(psutil.Process(pid).name())
    return None
