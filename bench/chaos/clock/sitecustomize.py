"""A clock that a fault can move: Python loads this at its start where PYTHONPATH leads here, as it does for the roles of a chaos stack.

libfaketime would do it for C as well; it is not on every machine. What a role knows of the time it asks of `time.time` and `time.time_ns`
(deadlines and intervals are monotonic), so these are what is moved, by the seconds in the file CHAOS_CLOCK: ahead for processes with an
even id, back for the others.
"""

import os
import time

_path = os.environ.get("CHAOS_CLOCK", "")
_true_s, _true_ns, _monotonic = time.time, time.time_ns, time.monotonic
_sign = 1 if os.getpid() % 2 == 0 else -1
_offset_s, _asked_at = 0.0, -1.0


def _offset() -> float:
    """Seconds to add; the file is looked at ten times a second at most."""
    global _offset_s, _asked_at  # noqa: PLW0603  a clock is the process's
    now = _monotonic()
    if now - _asked_at > 0.1:
        _asked_at = now
        try:
            with open(_path) as file:  # noqa: PTH123  pathlib costs every process of the stack its import
                _offset_s = float(file.read() or 0) * _sign
        except (OSError, ValueError):
            _offset_s = 0.0
    return _offset_s


if _path:
    time.time = lambda: _true_s() + _offset()
    time.time_ns = lambda: _true_ns() + int(_offset() * 1e9)
