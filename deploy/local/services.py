"""Kafka, ClickHouse, topics and tables: the ground on which the roles stand.

The two services start side by side; on two cores that takes as long as the slower one, Kafka. Topics come last: they are what the roles,
which load meanwhile, wait for. Both services die with us (see `leash`), and both are started again when they die alone.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from deploy.local import LocalServiceError
from deploy.local.kafka import Kafka
from deploy.local.plan import Plan
from deploy.local.progress import Progress
from sinks.embedded import ClickHouse

AGAIN_S = 2.0


class Service(Protocol):
    """What both services can do."""

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""

    def start(self) -> object:
        """Return when it answers."""

    def stop(self, timeout_s: float) -> None:
        """End it, by force after the time."""


class Services:
    """The embedded services of a plan; those that somebody else runs are only prepared."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self.restarts: dict[str, int] = {}
        self._again_at: dict[str, float] = {}
        self.running: dict[str, Service] = {}
        if plan.kafka_port:
            self.running["kafka"] = Kafka(plan.data_dir / "kafka", plan.kafka_port, report=self._report)
        if plan.clickhouse_port:
            self.running["clickhouse"] = ClickHouse(plan.data_dir / "clickhouse", plan.clickhouse_port)

    def start(self) -> None:
        """Return when both answer and have their topics and tables. Raises what the slower or the broken one raises."""
        with ThreadPoolExecutor(2) as pool:
            clickhouse = pool.submit(self._clickhouse)
            kafka = pool.submit(self._kafka, clickhouse)
            clickhouse.result()
            kafka.result()

    def _kafka(self, clickhouse: "Future[None]") -> None:
        began = time.monotonic()
        if "kafka" in self.running:
            self.running["kafka"].start()
        from streams.runtime import topics

        clickhouse.result()
        created = asyncio.run(topics.create_missing(self._plan.settings))
        what = f"Kafka, {len(created)} topics created" if created else "Kafka, topics checked"
        self._progress.done(what, self._plan.settings.kafka.bootstrap_servers, time.monotonic() - began)

    def _clickhouse(self) -> None:
        from sinks.migrations import migrate

        began = time.monotonic()
        if "clickhouse" in self.running:
            self.running["clickhouse"].start()
        clickhouse = self._plan.settings.clickhouse
        migrate(clickhouse.dsn(), clickhouse.database, clickhouse.cluster)
        self._progress.done("ClickHouse, tables up to date", self._plan.settings.clickhouse.url, time.monotonic() - began)

    def watch(self, tell: Callable[[str], None]) -> None:
        """Start what died. Blocks while it starts: without it the roles could do nothing anyway. One that does not start is tried again."""
        for name, service in self.running.items():
            if service.pid is None and time.monotonic() >= self._again_at.get(name, 0.0):
                self.restarts[name] = self.restarts.get(name, 0) + 1
                tell(f"{name} ended; starting it again")
                try:
                    service.start()
                except LocalServiceError as error:  # killed while it started, or its port is taken for a moment
                    self._again_at[name] = time.monotonic() + AGAIN_S
                    tell(f"{name} does not start, trying again in {AGAIN_S:g} s: {error}")

    def stop(self, timeout_s: float) -> None:
        """End both, side by side."""
        with ThreadPoolExecutor(2) as pool:
            for service in self.running.values():
                pool.submit(service.stop, timeout_s)

    def _report(self, text: str) -> None:
        """Pass on what the broker's start wants a person to know: downloads, which take a while; not which Java."""
        if text.startswith("Fetching"):
            self._progress.say(f"    {text}", "dim")
