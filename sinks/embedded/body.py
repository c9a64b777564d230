"""The text of a request: the `query` parameter, then the decoded body, in memory while small, on disk from 16 MB on.

A server reads an insert's rows while they arrive. We first take the whole body: an upload that breaks off then leaves nothing
behind (a server has already written its full blocks), a slow client holds no engine thread, and the engine is fed at full speed
from one file object in 1 MB pieces.
"""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from sinks.embedded.blocks import BlockDecoder
from sinks.embedded.encodings import Decoder
from sinks.embedded.errors import QUERY_IS_TOO_LARGE, ServerError

MEMORY_BYTES = 16 << 20
HEAD_BYTES = 256 << 10  # ClickHouse's max_query_size; the rows behind an INSERT do not count


async def collect(query: str, pieces: AsyncIterator[bytes], decoder: Decoder | BlockDecoder | None, spool: Path, limit: int) -> IO[bytes]:
    """The request's whole text as a file at its start. Raises ServerError if it is longer than `limit` after decoding."""
    text: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=str(spool))  # noqa: SIM115 - the caller closes it
    total = 0

    def add(plain: bytes) -> None:
        nonlocal total
        total += len(plain)
        if total > limit:
            raise ServerError(QUERY_IS_TOO_LARGE, f"The request is larger than {limit} bytes (--max-body-bytes)")
        text.write(plain)

    try:
        if query:
            add(query.encode() + b"\n")
        async for piece in pieces:
            for plain in decoder.decode(piece) if decoder else (piece,):
                add(plain)
        if decoder:
            add(decoder.finish())
    except BaseException:
        text.close()
        raise
    text.seek(0)
    return text
