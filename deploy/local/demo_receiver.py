"""The demo's destination: a small server on loopback that takes postbacks, so that a newcomer sees them arrive and one be refused.

It runs inside `up` and only beside a demo workspace. Delivery refuses loopback everywhere else; here exactly this address and port are allowed. The
port is kept in the data folder, because the demo's destinations name it.
"""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from deploy.local.plan import Plan
from deploy.local.ports import free_port, is_free

USUAL_PORT = 8709
ALLOWED = "CLICKTRAIL_DELIVERY__ALLOW_NETWORKS"
ANSWERS = {"/social": (200, b"OK"), "/partner": (404, b"unknown goal")}  # path -> status, body


class DemoReceiver:
    """The server of one data folder."""

    def __init__(self, plan: Plan) -> None:
        self._kept = plan.data_dir / "demo-receiver.port"
        self.port = _port(self._kept)
        self._server: ThreadingHTTPServer | None = None
        plan.environment[ALLOWED] = ",".join(filter(None, [os.environ.get(ALLOWED), f"127.0.0.1:{self.port}"]))
        os.environ[ALLOWED] = plan.environment[ALLOWED]  # the delivery role inherits it

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen. OSError when somebody else has the port; the demo's postbacks then show that nobody answers."""
        self._kept.write_text(str(self.port))
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _Handler)
        threading.Thread(target=self._server.serve_forever, name="demo-receiver", daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def is_wanted(plan: Plan, *, is_seeding: bool) -> bool:
    """Whether this data folder has a demo or is about to get one."""
    return is_seeding or (plan.data_dir / "demo-receiver.port").exists()


def _port(kept: Path) -> int:
    if kept.exists():
        return int(kept.read_text())
    return USUAL_PORT if is_free(USUAL_PORT) else free_port()


class _Handler(BaseHTTPRequestHandler):
    """Answers by the path's first part."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Take a postback."""
        status, body = ANSWERS.get(self.path.partition("?")[0], (404, b"no such demo"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the terminal is the user's."""
