"""Dead letters, with limits: a record that no stage can judge must not stop the others, and a bad deploy must not bury them all.

The record goes to `dlq.<topic>` with its bytes, its coordinates and the reason, in the same transaction as everything else. More than
MAX_IN_A_ROW of them, or more than half of the last thousand records, and the role stops instead (limits after arroyo's).
"""

import time
import traceback
from collections import deque

import structlog

from streams.stage import Outputs, RecordLike

log = structlog.get_logger(__name__)

MAX_IN_A_ROW = 100
WINDOW = 1_000
MAX_SHARE = 0.5
RATIO_NEEDS = 200  # so many records before a share means anything


class TooMuchPoisonError(RuntimeError):
    """So many records fail that the fault must be ours."""


class Poison:
    """Counts good and bad records of one partition, buries the bad ones."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)  # True: bad
        self._bad_recent = 0
        self.buried = 0

    def count_good(self, count: int) -> None:
        """Count records that were judged."""
        self._in_a_row = 0
        if self._bad_recent:
            for _ in range(min(count, WINDOW)):
                self._push(is_bad=False)

    def _push(self, *, is_bad: bool) -> None:
        if len(self._recent) == WINDOW and self._recent[0]:
            self._bad_recent -= 1
        self._recent.append(is_bad)
        self._bad_recent += is_bad

    def bury(self, record: RecordLike, error: Exception, out: Outputs) -> None:
        """Send the record to its dead letters. Raises TooMuchPoisonError at the limits."""
        self._in_a_row += 1
        self._push(is_bad=True)
        self.buried += 1
        at = f"{record.topic}-{record.partition}@{record.offset}"
        log.error("poison", at=at, error=repr(error), where="".join(traceback.format_tb(error.__traceback__)[-2:]))
        if self._in_a_row > MAX_IN_A_ROW or (len(self._recent) >= RATIO_NEEDS and self._bad_recent > MAX_SHARE * len(self._recent)):
            raise TooMuchPoisonError(
                f"{self._in_a_row} records in a row, {self._bad_recent} of the last {len(self._recent)} could not be judged; the last: {at}: "
                f"{error!r}. Nothing was committed: mend the stage and start again."
            ) from error
        headers = [
            *((name, value) for name, value in record.headers if not name.startswith("dlq_")),
            ("origin_topic", record.topic.encode()),
            ("origin_partition", b"%d" % record.partition),
            ("origin_offset", b"%d" % record.offset),
            ("origin_timestamp", b"%d" % record.timestamp),
            ("error", type(error).__name__.encode()),
            ("reason", str(error).encode()[:1000]),
            ("failed_at_ms", b"%d" % (time.time() * 1000)),
        ]
        out.send(f"dlq.{record.topic}", record.partition, record.key, record.value or b"", headers)
