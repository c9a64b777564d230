"""A TCP proxy that can be a bad network: cut, slow, narrow, or a peer that takes everything and never answers.

Our own 100 lines of asyncio: toxiproxy is a Go program that a machine without Go cannot build. Kafka advertises the proxy's port,
so every role talks through it, whatever broker connection it makes.
"""

import asyncio
import contextlib

READ_BYTES = 64 << 10


class Proxy:
    """One listening port in front of another. Set a weather with `cut`, `slow`, `narrow` or `swallow`; `clear` ends all of them."""

    def __init__(self, port: int, upstream_port: int) -> None:
        self.port = port
        self._upstream_port = upstream_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.connected_count = 0
        self.clear()

    def clear(self) -> None:
        """A good network again. Connections that lost bytes meanwhile are ended: TCP would not have lost them."""
        if getattr(self, "is_swallowing", False):
            self._drop()
        self.is_cut = self.is_swallowing = False
        self.delay_s = 0.0
        self.bytes_per_s = 0

    def cut(self) -> None:
        """Every connection is reset, and none is let in."""
        self.is_cut = True
        self._drop()

    def slow(self, delay_s: float) -> None:
        """Every piece takes so long, in both directions."""
        self.delay_s = delay_s

    def narrow(self, bytes_per_s: int) -> None:
        """So much gets through a connection and direction."""
        self.bytes_per_s = bytes_per_s

    def swallow(self) -> None:
        """Half open: connections stand, what is sent arrives nowhere, nobody says so."""
        self.is_swallowing = True

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        self._drop()
        await asyncio.sleep(0)

    def _drop(self) -> None:
        for writer in list(self._connections):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected_count += 1
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._connections |= pair
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._connections -= pair
            for one in pair:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(READ_BYTES):
                if self.is_swallowing:
                    continue
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
