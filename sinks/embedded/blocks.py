"""ClickHouse's own compressed blocks: `compress=1` for answers, `decompress=1` for bodies. The JDBC driver (DBeaver) asks for them.

A block is checksum (CityHash128 of ClickHouse's vintage, 16 bytes), method, size with this header, size of the plain data, data;
all little-endian. ClickHouse: src/Compression/CompressionInfo.h. The hash comes from the package that clickhouse-driver uses; without it
the two parameters are refused by name, which beats an answer that the client cannot read.
"""

import struct
from collections.abc import Callable, Iterator

import cramjam

from sinks.embedded.errors import CANNOT_DECOMPRESS, CHECKSUM_DOESNT_MATCH, NOT_IMPLEMENTED, UNKNOWN_COMPRESSION_METHOD, ServerError

_HEADER = struct.Struct("<BII")
_CHECKSUM_BYTES = 16
_LARGEST_BYTES = 1 << 30  # ClickHouse's DBMS_MAX_COMPRESSED_SIZE
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90


def _hash() -> Callable[[bytes], bytes]:
    try:
        from clickhouse_cityhash.cityhash import CityHash128  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ServerError(
            NOT_IMPLEMENTED,
            "compress=1 and decompress=1 need the package clickhouse-cityhash: install it, or switch the client's compression off",
        ) from None

    def checksum(block: bytes) -> bytes:
        """Two little-endian words, the number's upper one first (compared with blocks in the engine's own files)."""
        number: int = CityHash128(block)
        return struct.pack("<QQ", number >> 64, number & (1 << 64) - 1)

    return checksum


class BlockEncoder:
    """For one answer: a block of LZ4 for each piece."""

    def __init__(self) -> None:
        self._checksum = _hash()

    def encode(self, data: bytes) -> bytes:
        """One block; the caller's pieces are at most a MB."""
        if not data:
            return b""
        packed = bytes(cramjam.lz4.compress_block(data, store_size=False))
        block = _HEADER.pack(_LZ4, len(packed) + _HEADER.size, len(data)) + packed
        return self._checksum(block) + block

    def finish(self) -> bytes:
        """Blocks need no trailer."""
        return b""


class BlockDecoder:
    """For one request body."""

    def __init__(self) -> None:
        self._checksum = _hash()
        self._rest = bytearray()

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The plain data of every block that is complete."""
        self._rest += data
        while len(self._rest) >= _CHECKSUM_BYTES + _HEADER.size:
            method, size, plain_size = _HEADER.unpack_from(self._rest, _CHECKSUM_BYTES)
            if not _HEADER.size <= size <= _LARGEST_BYTES or plain_size > _LARGEST_BYTES:
                raise ServerError(
                    CANNOT_DECOMPRESS, "Too large size of a compressed block: this is no compressed body, or decompress=1 is wrong"
                )
            end = _CHECKSUM_BYTES + size
            if len(self._rest) < end:
                return
            block = bytes(self._rest[_CHECKSUM_BYTES:end])
            if self._checksum(block) != self._rest[:_CHECKSUM_BYTES]:
                raise ServerError(CHECKSUM_DOESNT_MATCH, "Checksum doesn't match: corrupted data")
            del self._rest[:end]
            yield _unpack(method, block[_HEADER.size :], plain_size)

    def finish(self) -> bytes:
        """Nothing is left of a body that ended with a block."""
        if self._rest:
            raise ServerError(CANNOT_DECOMPRESS, "The body ends inside of a compressed block")
        return b""


def _unpack(method: int, packed: bytes, plain_size: int) -> bytes:
    try:
        if method == _LZ4:
            return bytes(cramjam.lz4.decompress_block(packed, output_len=plain_size))
        if method == _ZSTD:
            return bytes(cramjam.zstd.decompress(packed))
    except cramjam.DecompressionError as error:
        raise ServerError(CANNOT_DECOMPRESS, f"Cannot decompress a block: {error}") from None
    if method == _NONE:
        return packed
    raise ServerError(UNKNOWN_COMPRESSION_METHOD, f"Unknown compression method of a block: 0x{method:02x}")
