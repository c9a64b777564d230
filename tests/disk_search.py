"""Looks for words in everything below a folder, through the compression of those who wrote it: Kafka's segments, ClickHouse's parts.

Independent of the product: it knows file formats, not topics and tables. Other files are searched as they are.
"""

import re
import struct
from pathlib import Path

import cramjam
from aiokafka.record import MemoryRecords

POSITIONS = (".index", ".timeindex")  # of Kafka: numbers alone, in 10 MiB of zeros for each partition


def where(folder: Path, pattern: bytes) -> set[str]:
    """The files with something that the pattern finds, relative to the folder; those that go away meanwhile do not count."""
    found, search = set(), re.compile(pattern, re.IGNORECASE).search
    for path in sorted(folder.rglob("*")):
        try:
            raw = path.read_bytes() if path.is_file() and path.suffix not in POSITIONS else b""
        except OSError:
            continue
        if any(search(text) for text in _texts(path, raw)):
            found.add(str(path.relative_to(folder)))
    return found


def _texts(path: Path, raw: bytes):
    yield raw
    if path.suffix == ".log" and path.stem.isdigit() and len(path.stem) == 20:
        yield from _segment(raw)
    elif path.suffix == ".bin":
        yield _blocks(raw)


def _segment(raw: bytes):
    """Keys, values and headers of every record of a Kafka segment, whatever became of its transaction."""
    records = MemoryRecords(raw)
    while records.has_next():
        batch = records.next_batch()
        if batch is None:
            return
        for record in batch:
            yield from (record.key or b"", record.value or b"", *(value or b"" for _, value in record.headers))


def _blocks(raw: bytes) -> bytes:
    """What a ClickHouse column file holds: blocks of checksum (16), method (1), size with these 9 bytes (4), size of the content (4)."""
    at, found = 0, []
    while at + 25 <= len(raw):
        method, size, length = struct.unpack_from("<BII", raw, at + 16)
        body = raw[at + 25 : at + 16 + size]
        if size < 9 or at + 16 + size > len(raw):
            break
        try:
            if method == 0x82:
                found.append(bytes(cramjam.lz4.decompress_block(body, output_len=length)))
            elif method == 0x90:
                found.append(bytes(cramjam.zstd.decompress(body)))
            else:
                found.append(body)
        except cramjam.DecompressionError:
            found.append(body)
        at += 16 + size
    return b"".join(found)
