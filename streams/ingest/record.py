"""A record on its way to Kafka, and its frame in the spool.

A frame is `length u32, xxh3 u64, body`; the body is struct-packed, because a payload is bytes: JSON would need base64, pickle would run
code from a file. The checksum tells a whole frame from the torn tail that `kill -9` or a full disk leaves. Packing costs 1.5 us a record.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

_FRAME = struct.Struct(">IQ")
_BODY = struct.Struct(">qHHIH")  # timestamp, topic, key, value, header count
_HEADER = struct.Struct(">HI")
OVERHEAD_BYTES = 512  # what a record costs beside its value: key, headers, Python objects; for the in-flight limit


class Record(NamedTuple):
    """One record; the partition follows from the key when it is sent, so a spool outlives a change of the partition count."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: list[tuple[str, bytes]]  # a list: aiokafka's compiled batch builder takes nothing else

    @property
    def size(self) -> int:
        """Return about what it costs in memory."""
        return len(self.value) + OVERHEAD_BYTES


def to_frame(record: Record, packed_headers: bytes | None = None) -> bytes:
    """Pack a record with its length and checksum. The lines of an upload share their headers: pack those once."""
    topic = record.topic.encode()
    sizes = _BODY.pack(record.timestamp_ms, len(topic), len(record.key), len(record.value), len(record.headers))
    headers = pack_headers(record.headers) if packed_headers is None else packed_headers
    body = b"".join((sizes, topic, record.key, record.value, headers))
    return _FRAME.pack(len(body), xxh3_64_intdigest(body)) + body


def pack_headers(headers: list[tuple[str, bytes]]) -> bytes:
    """Pack the headers of a record."""
    parts: list[bytes] = []
    for name, value in headers:
        raw = name.encode()
        parts += (_HEADER.pack(len(raw), len(value)), raw, value)
    return b"".join(parts)


def to_frames(records: Sequence[Record]) -> list[bytes]:
    """Pack many records; neighbours often share the very same list of headers."""
    blobs, last, packed = [], None, b""
    for record in records:
        if record.headers is not last:
            last, packed = record.headers, pack_headers(record.headers)
        blobs.append(to_frame(record, packed))
    return blobs


def from_body(body: memoryview) -> Record:
    """Unpack the body of a frame whose checksum was right."""
    timestamp_ms, topic_size, key_size, value_size, count = _BODY.unpack_from(body)
    at = _BODY.size

    def take(size: int) -> bytes:
        nonlocal at
        at += size
        return bytes(body[at - size : at])

    topic, key, value = take(topic_size).decode(), take(key_size), take(value_size)
    headers = []
    for _ in range(count):
        name_size, size = _HEADER.unpack_from(body, at)
        at += _HEADER.size
        headers.append((take(name_size).decode(), take(size)))
    return Record(topic, key, value, timestamp_ms, headers)


def frames(data: bytes) -> Iterator[tuple[int, Record]]:
    """Yield (offset behind the frame, record) for every whole frame from the start of `data`; stops at the first that is torn."""
    view = memoryview(data)
    at = 0
    while at + _FRAME.size <= len(data):
        size, checksum = _FRAME.unpack_from(view, at)
        end = at + _FRAME.size + size
        body = view[at + _FRAME.size : end]
        # A length of 0 is what a crash of the machine leaves: a file that grew before its data was written.
        if not size or end > len(data) or xxh3_64_intdigest(body) != checksum:
            return
        yield end, from_body(body)
        at = end


def first_frame_bytes(data: bytes) -> int:
    """Return how long the first frame of `data` claims to be, 0 when not even its head is there."""
    return _FRAME.size + int(_FRAME.unpack_from(data)[0]) if len(data) >= _FRAME.size else 0
