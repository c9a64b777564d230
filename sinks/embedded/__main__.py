"""`python -m sinks.embedded --data-dir DIR --port 8123`: the endpoint as a process.

Exit codes: 0 after SIGTERM or SIGINT, 2 for a folder or a port that is taken, 3 if the engine does not start, 4 if it stops to answer;
a crash of the engine ends the process by its signal. Whoever supervises us starts it again; nothing is healed in here.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from deploy.local.ports import PortTakenError, require_free
from sinks.embedded.engine import Engine
from sinks.embedded.folder import DataFolder, FolderTakenError
from sinks.embedded.server import Server

PASSWORD_VARIABLE = "CLICKHOUSE_PASSWORD"  # noqa: S105 - the name of the variable, as in ClickHouse's own image
_LINE_BYTES = 1 << 20  # ClickHouse's http_max_uri_size: a GET carries its query in the URL; aiohttp's default is 8 KB
_SHUTDOWN_S = 5.0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sinks.embedded", description="ClickHouse's HTTP interface over chDB.")
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that keeps the tables; one process may own it")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--host", default="127.0.0.1", help=f"set {PASSWORD_VARIABLE} in the environment before leaving the loopback")
    parser.add_argument("--name", action="append", default=[], help="a host name that it may be asked by; on the loopback none is needed")
    parser.add_argument("--max-body-bytes", type=int, default=1 << 30, help="largest request, after decompression (default 1 GiB)")
    return parser.parse_args()


async def serve(server: Server, host: str, port: int) -> None:
    """Answer until SIGTERM or SIGINT."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(
        server.app(),
        access_log=None,
        auto_decompress=False,  # we know more encodings, and spool what comes out
        handler_cancellation=True,  # a client that goes away ends its query
        max_line_size=_LINE_BYTES,
        max_field_size=_LINE_BYTES,
        keepalive_timeout=3600,  # an idle client's next insert must not meet a closing connection: its fate would be unknown
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    await web.TCPSite(runner, host, port, reuse_address=True).start()
    watch = asyncio.create_task(server.queries.watch())
    await stopped.wait()
    watch.cancel()
    await server.queries.stop()
    await runner.cleanup()


def main() -> int:
    """Own the folder, start the engine, serve."""
    options = arguments()
    try:
        require_free(options.port, "--port", options.host)
        folder = DataFolder(options.data_dir.absolute())
    except (PortTakenError, FolderTakenError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        engine = Engine(folder.engine)
    except RuntimeError as error:
        print(f"The embedded ClickHouse engine does not start in {folder.engine}: {error}", file=sys.stderr)
        return 3
    names = (*options.name, *([options.host] if options.host != "0.0.0.0" else ["*"]))  # noqa: S104 - any name, as it listens on any address
    server = Server(engine, folder.spool, options.max_body_bytes, os.environ.get(PASSWORD_VARIABLE, ""), names)
    import uvloop

    uvloop.run(serve(server, options.host, options.port))
    server.close()
    folder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
