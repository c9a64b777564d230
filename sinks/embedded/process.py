"""The endpoint as a child of ours: started, awaited, stopped, or killed for a test.

    with ClickHouse(Path("data/clickhouse"), port=8123) as clickhouse:
        ...  # clickhouse.url

Plain and synchronous; from asyncio use `await asyncio.to_thread(clickhouse.start)`. The child dies with us (see `deploy.local.leash`).
"""

import http.client
import signal
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import LocalServiceError
from deploy.local.jvm import Child
from deploy.local.ports import require_free

_LAST_WORDS_BYTES = 2000


class ClickHouseError(LocalServiceError):
    """The endpoint cannot run. The message says what, why and what next."""


class ClickHouse:
    """One endpoint over one data folder; may be started and stopped as often as one likes."""

    def __init__(self, data_dir: Path, port: int = 8123, host: str = "127.0.0.1") -> None:
        """Nothing happens yet."""
        self.data_dir = Path(data_dir).absolute()
        self.port = port
        self.host = host
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """What every client is configured with."""
        return f"http://{self.host}:{self.port}"

    @property
    def log_path(self) -> Path:
        """What the process wrote to its outputs: errors only."""
        return self.data_dir / "endpoint.log"

    @property
    def pid(self) -> int | None:
        """The process id, None when it does not run."""
        return self._child.pid if self._child and self._child.exit_code is None else None

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs or before it was started; negative when a signal ended it."""
        return self._child.exit_code if self._child else None

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.pid is not None

    def start(self, timeout_s: float = 60) -> Self:
        """Return once clients can use it. Raises ClickHouseError or PortTakenError; does nothing if it runs."""
        if self.is_running:
            return self
        self.data_dir.mkdir(parents=True, exist_ok=True)
        require_free(self.port, "--clickhouse-port", self.host)
        begin = self.log_path.stat().st_size if self.log_path.exists() else 0
        command = [sys.executable, "-m", "sinks.embedded", "--data-dir", str(self.data_dir), "--host", self.host, "--port", str(self.port)]
        self._child = Child(command, self.log_path)
        ends_at = time.monotonic() + timeout_s
        while not self._answers():
            if self._child.wait(0.02):
                require_free(self.port, "--clickhouse-port", self.host)  # lost a race for the port
                raise ClickHouseError(self._last_words(begin) or f"The ClickHouse endpoint ended with code {self.exit_code}.")
            if time.monotonic() > ends_at:
                self.kill()
                raise ClickHouseError(f"The ClickHouse endpoint was not ready in {timeout_s:g} s.\n{self._last_words(begin)}")
        return self

    def stop(self, timeout_s: float = 20) -> None:
        """End it in order (SIGTERM: queries are ended, the engine closed), by force after the time. Safe to repeat."""
        if self._child:
            self._child.signal(signal.SIGTERM)
            if not self._child.wait(timeout_s):
                self.kill()

    def kill(self) -> None:
        """SIGKILL, for fault tests. Returns when it is gone."""
        if self._child:
            self._child.signal(signal.SIGKILL)
            self._child.wait(20)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=1)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _last_words(self, begin: int) -> str:
        with self.log_path.open("rb") as log:
            log.seek(begin)
            return log.read()[-_LAST_WORDS_BYTES:].decode(errors="replace").strip()
