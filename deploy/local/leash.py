"""Become the broker, tied to our parent's life: `python -I -S leash.py PARENT_PID COMMAND…`.

A broker that survives its parent's crash holds the port and the data folder, and the next start fails for no visible reason.
Linux can signal a child when its parent dies (PR_SET_PDEATHSIG), and the wish survives exec; so this stub asks for it and then
*becomes* java, same pid. It is a stub and not a `preexec_fn`, because code between fork and exec can deadlock in a program
with threads, and ours has chDB's. Cost: 15 ms. Other systems get a small watcher that asks twice a second.

SIGKILL, not SIGTERM: the parent crashed, nobody waits for an orderly end, and Kafka recovers its log in well under a second.

The signal follows the *thread* that started us: see `jvm.Child`, which keeps that thread alive.
"""

import contextlib
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1


def watch(parent_pid: int, child_pid: int) -> None:
    """Where the kernel does not do it: end the child when the parent is gone, end ourselves when the child is."""
    while True:
        time.sleep(0.5)
        try:
            os.kill(child_pid, 0)
        except OSError:
            return
        try:
            os.kill(parent_pid, 0)
        except ProcessLookupError:
            with contextlib.suppress(OSError):
                os.kill(child_pid, signal.SIGKILL)
            return


def main(parent_pid: int, command: list[str]) -> None:
    """Tie ourselves to the parent, then become the command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops a Ctrl-C that came before we had a session of our own (`jvm.interrupts_held`)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        own_pid = os.getpid()
        if os.fork() == 0:
            os.closerange(0, 256)  # the watcher must not hold the broker's lock or log
            watch(parent_pid, own_pid)
            os._exit(0)
    if os.getppid() != parent_pid:  # it died before the leash was on
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - becoming the command is the point


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
