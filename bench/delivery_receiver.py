"""The destinations of `python -m bench delivery`, as lean as can be, so that the machine's time is delivery's: python -m bench.delivery_receiver PORT.

/fast answers 200 and notes when each id came; /hang never answers; /fail answers 500; /seen/<run> says what came of a run.
"""

import asyncio
import sys
import time
from collections import defaultdict

import orjson
import uvloop

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
FAIL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nboom"

seen: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))  # run -> id -> latencies
others: dict[str, int] = defaultdict(int)


class Destination(asyncio.Protocol):
    """One connection; requests have no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
            self.answer(head.split(b" ", 2)[1].decode())

    def answer(self, path: str) -> None:
        """Answer by the path."""
        if path.startswith("/fast?"):
            now_ms = time.time_ns() // 1_000_000
            values = dict(part.split("=") for part in path[6:].split("&"))
            seen[values["i"].partition("-")[0]][values["i"]].append(now_ms - int(values["t"]))
            self.transport.write(OK)
        elif path.startswith("/seen/"):
            run = seen[path[6:]]
            found = {
                "unique": len(run),
                "count": sum(map(len, run.values())),
                "latencies_ms": [one[0] for one in run.values()],
                "others": others,
            }
            body = orjson.dumps(found)
            self.transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            self.transport.close()
        else:
            others[path[1:5]] += 1
            if path.startswith("/fail"):
                self.transport.write(FAIL)


async def main() -> None:
    """Listen."""
    server = await asyncio.get_running_loop().create_server(Destination, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
