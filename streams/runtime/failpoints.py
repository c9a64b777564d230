"""Places where a fault test can end the process: random kills miss bugs that a kill between two exact steps finds (seen: 1 run in 3).

`CLICKTRAIL_FAILPOINT=after_commit:3` ends the process, as `kill -9` would, at the third passing of that point.
"""

import os

POINTS = (
    "after_produce", "before_commit", "after_commit", "after_keep",  # the shell
    "after_insert", "after_readback", "before_offset_commit",  # the sink
    "after_spool", "after_drain",  # ingest
    "after_move",  # growth
    "after_replace", "after_rows",  # erasure
    "attempt_begun", "postback_sent", "attempt_recorded",  # delivery
)  # fmt: skip

_name, _, _count = os.environ.get("CLICKTRAIL_FAILPOINT", "").partition(":")
_left = int(_count or 1)


def hit(name: str) -> None:
    """End the process here, at once and without goodbye, when this failpoint is armed and its count has run down."""
    global _left  # noqa: PLW0603  one process, one armed point
    if name == _name:
        _left -= 1
        if _left == 0:
            os._exit(99)
