"""The spool: records that were answered 2xx while the broker was away, on disk, in order, until the broker has them.

One log of frames (`record.py`) under ever-growing addresses, cut into segment files that are named by the address of their first byte.
`append` is a group commit: all requests that wait share one write and one fdatasync (0.1 to 10 ms, whatever their number). `read` and
`advance` drain from the front; how far the broker has acknowledged stands in `position`, so a crash while draining repeats at most the
batch that was under way. Alternatives: SQLite (a 4x write volume and a fsync per transaction of its own), RocksDB (two copies of each
payload, compaction while the machine is in trouble).

After a failed write (disk full, I/O error) the segment is cut back to its last good byte and closed, and what was refused is answered
503: a page cache that failed an fsync once cannot be trusted to say so twice. A torn tail is cut at the next start.

The position is not fsynced: it survives `kill -9`; after a power cut a few drained records may be sent again, with their receipt.
"""

import asyncio
import contextlib
import fcntl
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from streams.ingest.record import Record, first_frame_bytes, frames, to_frames
from streams.runtime import failpoints, folders, logs
from streams.runtime.errors import BadSettings, Unavailable

SEGMENT_BYTES = 16 << 20
READ_BYTES = 1 << 20
_POSITION = struct.Struct(">QQ")
LOG = logs.get(__name__)


class SpoolFull(Unavailable):
    """The spool takes no more: its limit is reached, or the disk is full or broken."""


class Spooled(NamedTuple):
    """A record read back: `start` identifies it, `end` is where the next one begins."""

    start: int
    end: int
    record: Record


class Spool:
    """One process at a time uses a folder; `open` takes its lock. Not thread-safe: one appender and one drainer on one event loop."""

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._bases: list[int] = []  # addresses of the segments, in order
        self._tail: int | None = None  # file of the last segment, open for writing
        self._position_file = -1
        self._lock = -1
        self.position = 0
        self.end = 0

    @property
    def waiting_bytes(self) -> int:
        """Return how much has not been acknowledged by the broker."""
        return self.end - self.position

    @property
    def is_empty(self) -> bool:
        """Say whether everything has been acknowledged."""
        return self.position == self.end

    def open(self) -> None:
        """Take the folder and recover what a crash left. BadSettings when it cannot be used, or another process has it."""
        setting = "CLICKTRAIL_INGEST__SPOOL_DIR"
        try:
            self._lock = os.open(folders.made(self.folder, setting) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise folders.unusable(self.folder, error, setting) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise BadSettings(f"Another ingest uses the spool {self.folder}.", "Give each its own CLICKTRAIL_INGEST__SPOOL_DIR.") from error
        self._position_file = os.open(self.folder / "position", os.O_RDWR | os.O_CREAT, 0o600)
        self._bases = sorted(int(path.stem) for path in self.folder.glob("*.spool"))
        kept = self._stored_position()
        self.end = self._recovered_end(kept)
        self.advance(min(max(kept, self._bases[0] if self._bases else kept), self.end))
        self.clear()

    def close(self) -> None:
        """Release the folder; everything appended stays."""
        for file in (self._tail, self._position_file, self._lock):
            if file is not None and file >= 0:
                os.close(file)
        self._tail, self._position_file, self._lock = None, -1, -1

    async def append(self, records: Sequence[Record]) -> list[int]:
        """Write and fsync all of `records`; returns their addresses. SpoolFull when none of them was kept."""
        blobs = to_frames(records)
        size = sum(map(len, blobs))
        if self.waiting_bytes + size > self.max_bytes:
            raise SpoolFull("The spool is full.", "Kafka is away: bring it back, or raise CLICKTRAIL_INGEST__SPOOL_MAX_BYTES.")
        await asyncio.to_thread(self._write, b"".join(blobs))
        failpoints.hit("after_spool")
        starts = []
        for blob in blobs:
            starts.append(self.end)
            self.end += len(blob)
        return starts

    async def read(self, max_bytes: int = READ_BYTES) -> list[Spooled]:
        """Return the next records behind the position, at least one if there is one; empty when all is drained."""
        while not self.is_empty:
            found, limit = await asyncio.to_thread(self._read, max_bytes)
            if found:
                return found
            self._set_aside(limit)
        return []

    def advance(self, position: int) -> None:
        """Remember that the broker has everything before `position`; drained segments are deleted."""
        os.pwrite(self._position_file, _POSITION.pack(position, _checksum(position)), 0)
        self.position = position
        failpoints.hit("after_drain")
        while len(self._bases) > 1 and self._bases[1] <= position:
            self._path(self._bases.pop(0)).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the last segment of an empty spool: payloads stay on disk no longer than needed. Not while an append is under way."""
        if self.is_empty and self._bases:
            self._retire_tail()
            self._path(self._bases.pop()).unlink(missing_ok=True)

    def _write(self, blob: bytes) -> None:
        """Write and fsync in a worker thread. The event loop's view (`end`) moves only after this returned."""
        try:
            file = self._segment_for_append()
            at = self.end - self._bases[-1]
            view = memoryview(blob)
            while view:
                written = os.pwrite(file, view, at)
                at += written
                view = view[written:]
            os.fdatasync(file)
        except OSError as error:
            self._retire_tail()
            raise SpoolFull(f"The spool cannot write: {error.strerror}.", "Free space on its disk.") from error

    def _segment_for_append(self) -> int:
        if self._tail is not None and self.end - self._bases[-1] < self._segment_bytes:
            return self._tail
        self._retire_tail()
        if self._bases and self._bases[-1] == self.end:
            self._bases.pop()  # it holds nothing good; the new one takes its name
        file = os.open(self._path(self.end), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._tail = file
        self._bases.append(self.end)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a power cut forgets the file itself
        finally:
            os.close(folder)
        return file

    def _retire_tail(self) -> None:
        """Cut the last segment to its good bytes and close it. If cutting fails, readers still stop at the next segment's address."""
        if self._tail is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._tail, self.end - self._bases[-1])
            os.close(self._tail)
            self._tail = None

    def _read(self, max_bytes: int) -> tuple[list[Spooled], int]:
        """Return the next records of one segment and where that segment ends; none when it is damaged here."""
        base, limit = self._segment_at(self.position)
        file = os.open(self._path(base), os.O_RDONLY)
        try:
            data = os.pread(file, min(max_bytes, limit - self.position), self.position - base)
            if first_frame_bytes(data) > len(data):  # one record larger than the usual read
                data = os.pread(file, min(first_frame_bytes(data), limit - self.position), self.position - base)
        finally:
            os.close(file)
        found: list[Spooled] = []
        start = self.position
        for behind, record in frames(data):
            found.append(Spooled(start, self.position + behind, record))
            start = self.position + behind
        return found, limit

    def _segment_at(self, address: int) -> tuple[int, int]:
        bases = list(self._bases)  # an append in its thread may add one meanwhile
        index = max(i for i, base in enumerate(bases) if base <= address)
        return bases[index], min([*bases[index + 1 : index + 2], self.end])

    def _set_aside(self, limit: int) -> None:
        """Keep a segment whose bytes rotted under another name, and go on behind it: the others must not wait for a person."""
        base, _ = self._segment_at(self.position)
        LOG.error("spool_damaged", segment=self._path(base).name, byte=self.position - base, lost_bytes=limit - self.position)
        with contextlib.suppress(FileExistsError):
            os.link(self._path(base), self._path(base).with_suffix(".damaged"))
        self.advance(limit)

    def _recovered_end(self, kept: int) -> int:
        """Return the address behind the last whole frame; what is torn behind it is cut off into a file of its own."""
        if not self._bases:
            return kept
        path = self._path(self._bases[-1])
        data = path.read_bytes()
        good = max((behind for behind, _ in frames(data)), default=0)
        if good < len(data):
            LOG.warning("spool_tail_cut", segment=path.name, bytes=len(data) - good)
            path.with_suffix(".torn").write_bytes(data[good:])
            os.truncate(path, good)
        return self._bases[-1] + good

    def _stored_position(self) -> int:
        raw = os.pread(self._position_file, _POSITION.size, 0)
        if len(raw) == _POSITION.size:
            position, checksum = _POSITION.unpack(raw)
            if checksum == _checksum(position):
                return int(position)
        return 0

    def _path(self, base: int) -> Path:
        return self.folder / f"{base:020d}.spool"


def _checksum(position: int) -> int:
    return xxh3_64_intdigest(position.to_bytes(8, "big"))
