"""The live tail: verdicts as they fall, for everybody who looks, from one reader of the log.

One consumer without a group reads `events.v1` from its end while anybody looks, and hands each verdict to every open tail; a tail keeps what
its filter lets through. ClickHouse is not asked twice a second by each browser tab, and a row is there before its insert.

Coalescing: a tail holds the newest SHOWN rows and counts of all the others; whoever draws gets both a few times a second. So 2,000 verdicts a
second cost a browser as much as 40, a slow reader costs us one page of rows, and the counts stay exact.

Resuming: each row that is read has a number, and the newest KEPT rows are remembered. `Last-Event-ID` is "<start of this reader>.<number>": a
reader that was away for less goes on exactly where it was. One that was away for longer is told so (`missed: true`) and loads its list anew.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from console.server.metrics import TAILS
from streams.runtime import logs
from streams.runtime.settings import Settings
from streams.topology import EVENTS

LOG = logs.get(__name__)
SHOWN = 50  # rows of one push
KEPT = 20_000
MOST_TAILS = 200
IDLE_S = 30.0  # the reader goes on that long after the last tail has closed
RETRY_S = 1.0
Row = dict[str, Any]
Passes = Callable[[Row], bool]


class OpenTail:
    """What one reader has not been given yet."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes
        self.rows: deque[Row] = deque(maxlen=SHOWN)
        self.counts: Counter[str] = Counter()
        self.has_missed = False
        self.news = asyncio.Event()

    def take(self, row: Row) -> None:
        """Take a verdict if the filter lets it through."""
        if self.passes(row):
            self.rows.append(row)
            self.counts[row["status"]] += 1
            self.news.set()

    def given(self) -> tuple[list[Row], Counter[str], bool]:
        """Return (the newest rows, oldest first; counts of all by status; whether some before were missed), and forget them."""
        found = list(self.rows), self.counts, self.has_missed
        self.rows.clear()
        self.counts, self.has_missed = Counter(), False
        self.news.clear()
        return found


class Tail:
    """The reader, and the tails that are open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: set[OpenTail] = set()
        self._kept: deque[tuple[int, Row]] = deque(maxlen=KEPT)
        self._start = int(time.time() * 1000)
        self._number = 0
        self._reading: asyncio.Task[None] | None = None
        self._idle_since = 0.0
        self.is_connected = asyncio.Event()

    @property
    def position(self) -> str:
        """Return the place in the tail: what a reader gives back as Last-Event-ID."""
        return f"{self._start}.{self._number}"

    def join(self, passes: Passes, after: str) -> OpenTail | None:
        """Open a tail that goes on after a place (empty: from now on); None when too many are open."""
        if len(self._open) >= MOST_TAILS:
            return None
        found = OpenTail(passes)
        if after:
            self._resume(found, after)
        self._open.add(found)
        TAILS.set(len(self._open))
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return found

    def leave(self, found: OpenTail) -> None:
        """Close a tail."""
        self._open.discard(found)
        self._idle_since = time.monotonic()
        TAILS.set(len(self._open))

    async def close(self) -> None:
        """End the reader."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading

    def _resume(self, found: OpenTail, after: str) -> None:
        start, _, number = after.partition(".")
        is_ours = start == str(self._start) and number.isdigit() and int(number) <= self._number
        first = self._kept[0][0] if self._kept else self._number + 1
        if not is_ours or int(number) + 1 < first:
            found.has_missed = True
            found.news.set()
            return
        for at, row in self._kept:
            if at > int(number):
                found.take(row)

    async def _read(self) -> None:
        while self._open or time.monotonic() - self._idle_since < IDLE_S:
            try:
                await self._follow()
            except (KafkaError, OSError) as error:
                LOG.warning("tail_away", error=str(error))
                self._forget()
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            EVENTS.name,
            **self._settings.kafka.client_args(),
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
        )
        try:
            await consumer.start()
            await consumer.seek_to_end()
            self._forget()  # what fell while nobody read cannot be resumed
            self.is_connected.set()
            while self._open or time.monotonic() - self._idle_since < IDLE_S:
                for records in (await consumer.getmany(timeout_ms=200, max_records=2000)).values():
                    for record in records:
                        self._take(record)
                    await asyncio.sleep(0)
        finally:
            self.is_connected.clear()
            await consumer.stop()

    def _take(self, record: Any) -> None:
        try:
            row: Row = orjson.loads(record.value)
            row["judged_ms"] = record.timestamp
        except ValueError:
            return
        self._number += 1
        self._kept.append((self._number, row))
        for each in self._open:
            each.take(row)

    def _forget(self) -> None:
        """A new start: numbers of before mean nothing any more, and every open tail may have missed something."""
        self._start = max(int(time.time() * 1000), self._start + 1)
        is_first = self._number == 0
        self._kept.clear()
        self._number = 0
        for each in self._open if not is_first else ():
            each.has_missed = True
            each.news.set()
