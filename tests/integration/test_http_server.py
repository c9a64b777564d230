"""The HTTP server of ingest at its own seam: bytes of a body are never taken for a header, whenever they come."""

import asyncio

import pytest
from aiohttp import web

from streams.ingest.server import Server, raw_target

BODY = bytes(range(256)) * 4


class Wire(asyncio.Transport):
    """What the server writes, and nothing behind it."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.is_open = True

    def write(self, data):
        self.written += bytes(data)

    def writelines(self, parts):
        self.written += b"".join(map(bytes, parts))

    def is_closing(self):
        return not self.is_open

    def close(self):
        self.is_open = False

    def get_extra_info(self, name, default=None):
        return default

    def pause_reading(self): ...
    def resume_reading(self): ...


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("turns_before_body", range(8))
async def test_a_body_that_comes_in_any_turn_of_the_loop_after_its_header_is_stored_as_it_came(turns_before_body):
    """A request is taken out of aiohttp's queue one turn before the handler has it: in between nobody seemed to be at work."""
    got = []

    async def handler(request):
        got.append((raw_target(request.path_qs), await request.read()))
        return web.Response(text="stored")

    connection = Server(handler)()
    wire = Wire()
    connection.connection_made(wire)
    for number in range(2):  # a kept connection starts anew
        await turns(2)
        connection.data_received(b"POST /in/net?a=\xe9&n=%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (number, len(BODY)))
        await turns(turns_before_body)
        connection.data_received(BODY[:100])
        await turns(1)
        connection.data_received(BODY[100:])
        await turns(20)
    assert got == [(b"/in/net?a=\xe9&n=0", BODY), (b"/in/net?a=\xe9&n=1", BODY)]
    assert wire.written.count(b"stored") == 2
    assert connection._header_timer is None  # no header is half here, so none can be too slow
    connection.connection_lost(None)
    await turns(2)
