"""The state of a partition: RocksDB under an overlay, and never trusted alone.

Reads fall through: what this chunk wrote -> what this transaction wrote -> RocksDB. Writes stay in memory until the transaction that
also carries their changelog records has committed; then they go to RocksDB in one batch *together with the changelog offset up to which
it is now true*. A crash between the two leaves an older offset, and the restore replays the tail. So local state is a cache: deleting
its folder loses nothing, and a kill at any point leaves nothing wrong in it. What a disk has damaged must not pass for a bad record, nor for
the end of a scan (RocksDB's iterators stop at a broken block and only their status says so): it ends the process, and the next one rebuilds the folder.

It does not grow for ever: a key that was last written longer ago than `keep_s` is dropped, here by RocksDB's own expiry when it compacts (it
visits every file within 30 days), in the changelog by the topic's retention. So what is forgotten goes without a sweep of ours, and costs 4 bytes a key.

Numbers: a get costs 1.5 us (a bloom filter answers for most keys that are not there), a put 5.7 us one by one and 0.4 us in a batch.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from rocksdict import AccessType, BlockBasedIndexType, BlockBasedOptions, Cache, Options, Rdict, WriteBatch

POSITION = b"\x00changelog"  # its value: "<changelog offset to read next>", no key of a stage starts with NUL

ERASURE = b"\x00erasure"
"""Stands in a changelog behind the changes that forget a person: a store that gets there forgets what they overwrote (changelog.py)."""

Change = tuple[bytes, bytes | None]

_cache: Cache | None = None


class StateDamagedError(RuntimeError):
    """The files of a store are not what was written. Its folder is marked, and made anew from the changelog when it is opened again."""


def _options() -> Options:
    global _cache  # noqa: PLW0603  one block cache for all partitions of the process bounds its memory
    if _cache is None:
        _cache = Cache(128 << 20)
    blocks = BlockBasedOptions()
    blocks.set_bloom_filter(10, block_based=False)
    blocks.set_block_cache(_cache)
    blocks.set_index_type(BlockBasedIndexType.binary_search())
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_size(32 << 20)
    options.set_memtable_whole_key_filtering(True)  # most keys that dedup asks for are new: 0.3 us instead of 1.7 to find no such key
    options.set_memtable_prefix_bloom_ratio(0.02)
    options.set_max_write_buffer_number(3)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    return options


class Store:
    """RocksDB of one partition, with the changelog offset it stands at."""

    def __init__(self, path: Path, keep_s: int) -> None:
        """`keep_s`: how long a key stays after it was last written."""
        self.path = path
        self._keep_s = keep_s
        path.parent.mkdir(parents=True, exist_ok=True)
        self._mark = path.with_suffix(".damaged")
        if self._mark.exists():
            shutil.rmtree(path, ignore_errors=True)
            self._mark.unlink()
        try:
            self._db = self._open()
        except Exception:  # noqa: BLE001  rocksdict raises its own bare Exception for a folder that it can't read
            shutil.rmtree(path, ignore_errors=True)  # a cache that can't be opened is rebuilt from the changelog
            self._db = self._open()

    def _open(self) -> Rdict:
        db = Rdict(str(self.path), _options(), access_type=AccessType.with_ttl(self._keep_s))
        try:
            db.get(POSITION)  # of a folder that was written without expiry, nothing can be read
        except Exception:
            db.close()
            raise
        return db

    @property
    def position(self) -> int:
        """The changelog offset to read next; 0 for an empty store."""
        return int(self._db.get(POSITION) or 0)

    def write(self, changes: Iterable[Change], position: int) -> None:
        """Apply changes and move to `position`, in one batch: both or neither."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in changes:
            if value is None:
                delete(key)
            else:
                put(key, value)
        put(POSITION, b"%d" % position)
        try:
            self._db.write(batch)
        except Exception as error:
            if "Corruption" not in str(error):  # a full disk damages nothing
                raise
            raise self._damaged(error) from error

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None. StateDamagedError when it can't be read."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:  # rocksdict raises its own bare Exception
            raise self._damaged(error) from error
        return value

    def scan(self, prefix: bytes, begin: bytes, limit: int) -> list[bytes]:
        """The first keys from `begin` on that start with the prefix. StateDamagedError when they can't be read."""
        found: list[bytes] = []
        at = self._db.iter()
        at.seek(begin)
        while at.valid() and len(found) < limit and (key := at.key()).startswith(prefix):
            found.append(key)
            at.next()
        try:
            at.status()
        except Exception as error:
            raise self._damaged(error) from error
        return found

    def _damaged(self, error: Exception) -> StateDamagedError:
        self._mark.touch()
        return StateDamagedError(f"{self.path} is damaged ({error}); it is made anew from the changelog at the next start.")

    def clear(self) -> None:
        """Forget everything: the changelog was made anew, or does not reach back to where this store stands."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)
        self._db = self._open()

    def compact(self) -> None:
        """Rewrite all files now, without what has expired."""
        self._db.flush()
        self._db.compact_range(None, None)

    def close(self) -> None:
        """Flush and close."""
        self._db.close()


class Overlay:
    """The State that a stage sees: this chunk's writes over this transaction's, over those of the one that is committing, over the store's."""

    __slots__ = ("_chunk", "_committing", "_get", "_store", "_transaction")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._get = store.get
        self._chunk: dict[bytes, bytes | None] = {}
        self._transaction: dict[bytes, bytes | None] = {}
        self._committing: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        if key in self._chunk:
            return self._chunk[key]
        if key in self._transaction:
            return self._transaction[key]
        if key in self._committing:
            return self._committing[key]
        value: bytes | None = self._get(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Write a value."""
        self._chunk[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self._chunk[key] = None

    def accept_chunk(self) -> dict[bytes, bytes | None]:
        """Make the chunk's writes part of the transaction; returns them for the changelog."""
        written, self._chunk = self._chunk, {}
        self._transaction.update(written)
        return written

    def restage(self, changes: dict[bytes, bytes | None]) -> None:
        """Take back changes that `accept_chunk` gave, as the current chunk's: a chunk that was judged in pieces becomes one again."""
        self._chunk.update(changes)

    def mark(self) -> dict[bytes, bytes | None]:
        """What the transaction has written so far, for `return_to`."""
        return dict(self._transaction)

    def return_to(self, mark: dict[bytes, bytes | None]) -> None:
        """Forget what was written since the mark."""
        self._transaction, self._chunk = mark, {}

    def drop_chunk(self) -> None:
        """Forget the chunk's writes: it raised, and is judged again record by record."""
        self._chunk = {}

    def seal(self) -> None:
        """The transaction commits; what is written from now on belongs to the next one."""
        self._committing, self._transaction = self._transaction, {}

    def keep(self, position: int | None) -> dict[bytes, bytes | None]:
        """After the commit: write the transaction's changes to the store, and return them. None: it had none."""
        if position is not None:
            self._store.write(self._committing.items(), position)
        kept, self._committing = self._committing, {}
        return kept
