"""Reads request bodies: bounded in bytes, in time, and behind their compression.

aiohttp's own decompression is off: it inflates before anybody counts, and a signature may be over the bytes on the wire. What is stored
is the decompressed body, because a mapping reads names and values. The limit holds for both, so a 1 MiB bomb never becomes 1 GiB: zlib
is told how much it may produce.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from streams.ingest.answers import Refused
from streams.ingest.limits import Meter

BODY_S = 10.0
LINE_CHUNK_BYTES = 256 << 10
_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Body(NamedTuple):
    """`wire` as it came, `plain` without its Content-Encoding; the same object when there is none."""

    wire: bytes
    plain: bytes


class Reader:
    """Reads the body of one request; `held` bytes are reserved in the meter until `release`."""

    def __init__(self, request: web.BaseRequest, meter: Meter, max_bytes: int) -> None:
        self._request = request
        self._meter = meter
        self._max_bytes = max_bytes
        self.held = 0
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding != "identity" and encoding not in _WBITS:
            raise Refused("unknown_encoding")
        self.encoding = encoding

    def hold(self, count: int) -> None:
        """Reserve memory, or raise Refused."""
        self.held += self._meter.take(count)

    def release(self) -> None:
        """Give back all that was reserved."""
        self._meter.give(self.held)
        self.held = 0

    async def read(self) -> Body:
        """Return the whole body. Refused: too_large, too_slow, broken_encoding, overloaded."""
        length = self._request.content_length
        if length is not None and length > self._max_bytes:
            raise Refused("too_large")
        self.hold(length or 0)
        content = self._request.content
        if content.is_eof() and content.total_bytes <= self._max_bytes:  # small bodies come with their header: no timer, no await
            wire = content.read_nowait(-1)
        else:
            wire = b"".join([chunk async for chunk in self._wire_chunks(self._max_bytes)])
        return Body(wire, wire if self.encoding == "identity" else self._inflated(wire))

    async def _wire_chunks(self, max_bytes: int) -> AsyncIterator[bytes]:
        size = 0
        held = self._request.content_length or 0
        try:
            async with asyncio.timeout(BODY_S):
                while chunk := await self._request.content.readany():
                    size += len(chunk)
                    if size > max_bytes:
                        raise Refused("too_large")
                    if size > held:
                        self.hold(len(chunk))
                    yield chunk
        except TimeoutError as error:
            raise Refused("too_slow") from error
        except (HttpProcessingError, web.RequestPayloadError) as error:
            raise Refused("bad_request") from error

    def _inflated(self, wire: bytes) -> bytes:
        self.hold(self._max_bytes)
        inflater = zlib.decompressobj(_WBITS[self.encoding])
        try:
            plain = inflater.decompress(wire, self._max_bytes + 1)
        except zlib.error:
            if self.encoding != "deflate":
                raise Refused("broken_encoding") from None
            try:  # many senders mean the raw stream when they say deflate
                inflater = zlib.decompressobj(-15)
                plain = inflater.decompress(wire, self._max_bytes + 1)
            except zlib.error:
                raise Refused("broken_encoding") from None
        if len(plain) > self._max_bytes or inflater.unconsumed_tail:
            raise Refused("too_large")
        if not inflater.eof:
            raise Refused("broken_encoding")
        return plain

    async def lines(self) -> AsyncIterator[list[bytes]]:
        """Yield the body's lines in groups of about LINE_CHUNK_BYTES, without their ends; the time limit holds for each group.

        A line longer than the limit is yielded cut to limit + 1 bytes: the caller refuses it by its length and goes on.
        """
        inflater = None if self.encoding == "identity" else zlib.decompressobj(_WBITS[self.encoding])
        rest = b""
        while True:
            try:
                async with asyncio.timeout(BODY_S):
                    data = await self._request.content.readany()
            except TimeoutError as error:
                raise Refused("too_slow") from error
            except (HttpProcessingError, web.RequestPayloadError) as error:
                raise Refused("bad_request") from error
            if not data:
                break
            for plain in _pieces(inflater, data):
                *lines, rest = (rest + plain).split(b"\n")
                rest = rest[: self._max_bytes + 1]
                if lines:
                    yield lines
        if inflater is not None and not inflater.eof:
            raise Refused("broken_encoding")
        if rest:
            yield [rest]


def _pieces(inflater: "zlib._Decompress | None", data: bytes) -> list[bytes]:
    """Return the plain bytes of one read, or raise Refused: at most 64 times LINE_CHUNK_BYTES, which no honest NDJSON reaches."""
    if inflater is None:
        return [data]
    pieces = []
    try:
        while data:
            pieces.append(inflater.decompress(data, LINE_CHUNK_BYTES))
            data = inflater.unconsumed_tail
            if len(pieces) > 64:
                raise Refused("too_large")
    except zlib.error:
        raise Refused("broken_encoding") from None
    return pieces
