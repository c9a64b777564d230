"""HTTP content encodings, both ways, piece by piece, so that neither direction needs the whole body in memory.

clickhouse-connect asks for lz4, zstd, gzip, deflate in this order, the Node client for gzip, curl for what it was built with.
Answers are encoded by cramjam (the broker's client needs it anyway), request bodies decoded by the standard library and by the two
packages of clickhouse-connect: cramjam's decoders want the whole body at once (tried: "incomplete frame" after the first 8 KB).
Level 3 is ClickHouse's default (`http_zlib_compression_level`).
"""

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cramjam

from sinks.embedded.errors import CANNOT_DECOMPRESS, UNKNOWN_COMPRESSION_METHOD, ServerError

_LEVEL = 3
# A step this small bounds what it can blow up to: 8 KB of the worst zstd are 256 MB, of gzip 8 MB.
_STEP_BYTES = 8 << 10
_ENCODERS: dict[str, Callable[[], Any]] = {
    "br": lambda: cramjam.brotli.Compressor(level=_LEVEL),
    "gzip": lambda: cramjam.gzip.Compressor(level=_LEVEL),
    "deflate": lambda: cramjam.zlib.Compressor(level=_LEVEL),  # HTTP's deflate is zlib's format
    "zstd": lambda: cramjam.zstd.Compressor(level=_LEVEL),
    "lz4": lambda: cramjam.lz4.Compressor(level=_LEVEL),
    "bz2": lambda: cramjam.bzip2.Compressor(level=_LEVEL),
    "xz": cramjam.xz.Compressor,
}


def choose(accepted: str) -> str | None:
    """The encoding for an answer, None for plain: the first in the client's own order that we know and that it does not refuse."""
    for offer in accepted.lower().split(","):
        name, _, weight = offer.partition(";")
        if name.strip() in _ENCODERS and weight.replace(" ", "") not in {"q=0", "q=0.0"}:
            return name.strip()
    return None


class Encoder:
    """For one answer."""

    def __init__(self, name: str) -> None:
        self._state = _ENCODERS[name]()

    def encode(self, data: bytes) -> bytes:
        """What of the data can be sent now."""
        self._state.compress(data)
        return bytes(self._state.flush())

    def finish(self) -> bytes:
        """What was held back, and the trailer."""
        return bytes(self._state.finish())


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor
    else:
        from backports.zstd import ZstdDecompressor
    return ZstdDecompressor()


def _lz4() -> Any:
    from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

    return LZ4FrameDecompressor()


class _Brotli:
    """Brotli has no streaming decoder among our packages: keep the body, decode it at its end."""

    eof = False
    unused_data = b""

    def __init__(self) -> None:
        self._body = bytearray()

    def decompress(self, data: bytes) -> bytes:
        self._body += data
        return b""

    def rest(self) -> bytes:
        self.eof = True
        return bytes(cramjam.brotli.decompress(bytes(self._body)))


_DECODERS: dict[str, Callable[[], Any]] = {
    "br": _Brotli,
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "deflate": lambda: zlib.decompressobj(zlib.MAX_WBITS | 32),
    "zstd": _zstd,
    "lz4": _lz4,
    "bz2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}


class Decoder:
    """For one request body; raises ServerError for an unknown encoding, broken data, or a body that stops in the middle."""

    def __init__(self, name: str) -> None:
        if name not in _DECODERS:
            raise ServerError(UNKNOWN_COMPRESSION_METHOD, f"Unknown compression method '{name}'. Known: {', '.join(_DECODERS)}")
        self._name = name
        self._state = _DECODERS[name]()
        self._has_data = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The plain bytes so far, in pieces, so that a limit can stop a bomb."""
        self._has_data = self._has_data or bool(data)
        for start in range(0, len(data), _STEP_BYTES):
            step = data[start : start + _STEP_BYTES]
            while step:
                if self._state.eof:  # `cat a.gz b.gz` is a valid body
                    self._state = _DECODERS[self._name]()
                try:
                    yield self._state.decompress(step)
                except Exception as error:  # noqa: BLE001 - each library has its own
                    raise self._broken(str(error)) from None
                step = (self._state.unused_data or b"") if self._state.eof else b""

    def finish(self) -> bytes:
        """What is left at the end of the body."""
        try:
            rest = self._state.rest() if isinstance(self._state, _Brotli) else b""
        except Exception as error:  # noqa: BLE001 - each library has its own
            raise self._broken(str(error)) from None
        if self._has_data and not self._state.eof:
            raise self._broken("the body ends too early")
        return rest

    def _broken(self, why: str) -> ServerError:
        return ServerError(CANNOT_DECOMPRESS, f"Cannot decompress the request's body as {self._name}: {why}")
