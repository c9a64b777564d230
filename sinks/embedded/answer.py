"""One HTTP answer, sent as late as the client allows, so that as many errors as possible still become a status.

ClickHouse sends headers when its buffer is full, or with `wait_end_of_query=1` when the query has ended. So do we: an answer below
1 MB, which is nearly every one, has its right status, its length and a complete summary. An error in the middle of a longer one is
written into the body between `__exception__` marks that carry the tag of a header (ClickHouse 25.11 and later), and the connection is
dropped without the closing chunk, so that no client can take half a result for a whole one.
"""

import json
import secrets
import tempfile
import time
from pathlib import Path
from typing import IO

from aiohttp import web

from sinks.embedded.blocks import BlockEncoder
from sinks.embedded.body import MEMORY_BYTES
from sinks.embedded.encodings import Encoder
from sinks.embedded.engine import PIECE_BYTES, Done, Engine
from sinks.embedded.errors import ServerError
from sinks.embedded.request import Wish

_LONGEST_MESSAGE_BYTES = 16 << 10

# What ClickHouse's formats call themselves; whatever is binary or unknown is a stream of bytes.
_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "CSVWithNamesAndTypes": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONStrings": "application/json; charset=UTF-8",
    "JSONColumns": "application/json; charset=UTF-8",
    "JSONObjectEachRow": "application/json; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
    "Markdown": "text/markdown; charset=UTF-8",
    "Prometheus": "text/plain; version=0.0.4; charset=UTF-8",
    "Arrow": "application/vnd.apache.arrow.file",
    "ArrowStream": "application/vnd.apache.arrow.stream",
}
_BINARY = ("Native", "RowBinary", "Parquet", "ORC", "Avro", "MsgPack", "Protobuf", "CapnProto", "BSON", "Npy", "RawBLOB", "One")


def content_type(name: str) -> str:
    """The media type of an output format."""
    if name in _TYPES:
        return _TYPES[name]
    if name.startswith(("TabSeparated", "TSV")):
        return _TYPES["TabSeparated"]
    if name.startswith("JSON") and "EachRow" in name:
        return "application/x-ndjson; charset=UTF-8"
    return "application/octet-stream" if name.startswith(_BINARY) else "text/plain; charset=UTF-8"


class Answer:
    """Collects what the query gives, until it must or may be sent."""

    def __init__(self, http: web.Request, engine: Engine, spool: Path) -> None:
        self.format: str | None = None
        self.done = Done()
        self._http = http
        self._engine = engine
        self._held: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=str(spool))  # noqa: SIM115 - close()
        self._is_whole = False
        self._encoder: Encoder | BlockEncoder | None = None
        self._response: web.StreamResponse | None = None
        self._headers = {"X-ClickHouse-Server-Display-Name": "clicktrail", "X-ClickHouse-Timezone": engine.timezone}
        self._tag = secrets.token_hex(8)
        self._started_ns = time.perf_counter_ns()

    def begin(self, wish: Wish) -> None:
        """Take over what the request wants of the answer."""
        self._is_whole = wish.is_answer_whole
        self._headers["X-ClickHouse-Query-Id"] = wish.query_id
        if wish.is_native_answer:
            self._encoder = BlockEncoder()
        elif wish.answer_encoding:
            self._encoder = Encoder(wish.answer_encoding)
            self._headers |= {"Content-Encoding": wish.answer_encoding, "Vary": "Accept-Encoding"}

    async def write(self, piece: bytes) -> None:
        """Add to the answer; waits when the client reads slowly."""
        if self._response is None:
            self._held.write(piece)
            if not self._is_whole and self._held.tell() >= PIECE_BYTES:
                self._headers["X-ClickHouse-Exception-Tag"] = self._tag
                await self._send_held()
            return
        await self._response.write(self._encoder.encode(piece) if self._encoder else piece)

    async def end(self) -> web.StreamResponse:
        """Send what is left."""
        if self._response is None:
            await self._send_held()
        assert self._response
        if self._encoder:
            await self._response.write(self._encoder.finish())
        await self._response.write_eof()
        return self._response

    async def fail(self, error: ServerError) -> web.StreamResponse:
        """Tell the error: by status while we can, else inside the body, and break off."""
        text = error.text(self._engine.version).encode()
        if self._response is None:
            headers = {name: value for name, value in self._headers.items() if name != "Content-Encoding"}
            headers |= {"X-ClickHouse-Exception-Code": str(error.code), "Content-Type": "text/plain; charset=UTF-8"}
            return web.Response(status=error.status, headers=headers | self._summary(), body=text)
        tag, text = self._tag.encode(), text[:_LONGEST_MESSAGE_BYTES]
        block = b"\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n" % (tag, text, len(text), tag)
        await self._response.write(self._encoder.encode(block) + self._encoder.finish() if self._encoder else block)
        if self._http.transport:
            self._http.transport.close()
        return self._response

    def close(self) -> None:
        """Drop what was held back."""
        self._held.close()

    async def _send_held(self) -> None:
        headers = self._headers | self._summary()
        if self.format:
            headers |= {"X-ClickHouse-Format": self.format, "Content-Type": content_type(self.format)}
        else:
            headers["Content-Type"] = "text/plain; charset=UTF-8"
        self._response = web.StreamResponse(headers=headers)
        length = self._held.tell()
        if not self._encoder and "X-ClickHouse-Exception-Tag" not in headers:
            self._response.content_length = length
        await self._response.prepare(self._http)
        self._held.seek(0)
        while piece := self._held.read(PIECE_BYTES):
            await self._response.write(self._encoder.encode(piece) if self._encoder else piece)

    def _summary(self) -> dict[str, str]:
        """X-ClickHouse-Summary, all values strings as ClickHouse writes them; zeros while the query still runs."""
        done = self.done
        values = {
            "read_rows": done.read_rows,
            "read_bytes": done.read_bytes,
            "written_rows": done.written_rows,
            "written_bytes": done.written_bytes,
            "total_rows_to_read": done.read_rows,
            "result_rows": done.result_rows,
            "result_bytes": self._held.tell(),
            "elapsed_ns": time.perf_counter_ns() - self._started_ns,
        }
        return {"X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in values.items()})}
