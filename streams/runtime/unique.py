"""A key of its own for every record of the log: what it is keyed by, `#`, and a number that no other record has.

Compaction takes out a record by its key, so a single record can be taken out of a topic, and no other, only if no other has its key. That is how a
person is erased from a log whose offsets must stay (console/erasure). Nothing reads the part behind `#`: partitions are chosen by what
stands before it. 0.2 us a record.
"""

import os
from itertools import count

from streams import topology

LOGS = frozenset(
    topic.name
    for topic in (topology.PAYLOADS, topology.VISITS, topology.EVENTS, topology.POSTBACKS, topology.ATTEMPTS, *topology.DEAD_LETTERS)
)
"""Topics whose records have keys of their own."""

_process = os.urandom(6).hex().encode()
_numbers = count()


def unique(key: bytes | None) -> bytes:
    """The key, and what makes it this record's alone."""
    return b"%b#%b-%x" % (key or b"", _process, next(_numbers))
