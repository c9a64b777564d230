"""From a role's name to a running worker: its stage, its settings feed, its health pages, its watchdog.

Ledger and attribution run on the chunk runtime; ingest, sink and console bring their own `run`. A role refuses to start without its
topics: a Faust worker that was started before them consumed nothing for 60 s (metadata is refreshed every 5 minutes), in silence.
"""

import asyncio
import importlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams import topology
from streams.attribution import Attribution
from streams.ledger import Ledger
from streams.parse import Parser
from streams.runtime import health, metrics, probes
from streams.runtime.app import FollowerFactory, RoleApp
from streams.runtime.errors import BadSettings, Unavailable
from streams.runtime.outside import Outside
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.task import Task
from streams.runtime.worker import fail_at_once, quiet_libraries, run_until_signal
from streams.stage import Stage
from streams.topology import Role
from streams.workspace import Workspace

log = structlog.get_logger(__name__)

WATCHDOG_S = 5
STUCK_S = 60  # work that waits so long without a commit: Faust's own detector logged nothing for an agent that hung for a minute

ELSEWHERE = {"ingest": "streams.ingest.role", "sink": "sinks.role"}  # roles that are no chunk stages: module with `async def run(settings)`


def run_role(name: str, settings: Settings) -> None:
    """Run a role until a signal. BadSettings for an unknown name, Unavailable without broker or topics."""
    quiet_libraries()
    if name in ELSEWHERE:
        import uvloop

        uvloop.run(importlib.import_module(ELSEWHERE[name]).run(settings))
        return
    roles = {role.name: role for role in (topology.LEDGER, topology.ATTRIBUTION)}
    if name not in roles:
        raise BadSettings(f"There is no role {name!r}.", f"Roles: {', '.join([*roles, *ELSEWHERE])}.")
    worker = StageWorker(roles[name], settings)
    run_until_signal(worker.start, worker.stop)


class StageWorker:
    """One chunk role of this process with everything around it."""

    def __init__(self, role: Role, settings: Settings, on_settings: Callable[[int], None] | None = None) -> None:
        self._role = role
        self._settings = settings
        self._workspace = Workspace()
        self._feed = SettingsFeed(settings, self._workspace, on_settings)
        self._app: RoleApp | None = None
        self._runner: Any = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Topics, settings, health pages, then the group."""
        partitions = await self._partitions()
        if self._role is not topology.ATTRIBUTION:
            await self._feed.start()
        self._app = RoleApp(
            self._role,
            self._stage(partitions),
            self._settings.kafka.client_args(),
            group=f"clicktrail.{self._role.name}",
            instance=self._settings.instance_of(self._role.name),
            state_dir=self._settings.data_dir / "state",
            keep_s=self._settings.retention.state_s,
            commit_interval_s=self._settings.commit_interval_ms / 1000,
            chunk_records=self._settings.chunk_records,
            follow=self._follow(),
        )
        self._runner = await health.serve(self._settings, self._role.name, self._checks())
        self._watch = asyncio.create_task(self._watchdog(), name="watchdog")  # before the group: a start that hangs is seen, too
        await self._app.start()

    async def stop(self) -> None:
        """In order: no new work, transactions end, then the rest."""
        if self._watch:
            self._watch.cancel()
        if self._app:
            await self._app.stop()
        await self._feed.stop()
        if self._runner:
            await self._runner.cleanup()

    def _checks(self) -> health.Checks:
        return {"kafka": probes.watch_kafka(self._settings.kafka), "partitions": self._assigned, "state": self._restored}

    def _follow(self) -> FollowerFactory | None:
        return None

    def _stage(self, partitions: int) -> Callable[[], Stage]:
        if self._role is topology.ATTRIBUTION:
            return lambda: Attribution(partitions)
        pii_key = self._settings.pii_secret()
        parser = Parser(self._workspace, pii_key, self._settings.kafka.epoch)
        return lambda: Ledger(parser, self._workspace, partitions, pii_key)

    async def _partitions(self) -> int:
        """The partition count of lookups.v1; Unavailable when Kafka or a topic of this role is not there."""
        admin = AIOKafkaAdminClient(**self._settings.kafka.client_args())
        wanted = {topic.name for topic in (*self._role.inputs, *self._role.outputs, topology.LOOKUPS)}
        if self._role.changelog:
            wanted.add(self._role.changelog.name)
        try:
            await admin.start()
            found = {
                topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(sorted(wanted)) if not topic["error_code"]
            }
        except KafkaError as error:
            raise Unavailable(f"Kafka does not answer at {self._settings.kafka.bootstrap_servers}: {error}.") from error
        finally:
            await admin.close()
        if missing := sorted(wanted - set(found)):
            raise Unavailable(f"Topics are missing: {', '.join(missing)}.", "Run `clicktrail topics apply`.")
        counts = {found[topic.name] for topic in self._role.inputs}
        if len(counts) > 1:
            raise BadSettings(f"The inputs of {self._role.name} must have equally many partitions, not {sorted(counts)}.")
        return found[topology.LOOKUPS.name]

    def _assigned(self) -> health.Check:
        tasks = self._app.tasks.by_partition if self._app else {}
        return health.Check(bool(tasks), f"{len(tasks)} assigned")

    def _restored(self) -> health.Check:
        tasks = self._app.tasks.by_partition.values() if self._app else ()
        left = sum(max(0, t.progress.restore_end - t.progress.restored) for t in tasks if t.progress.state == "restoring")
        ready = all(t.progress.state == "running" for t in tasks)
        return health.Check(ready, "restored" if ready else f"restoring: {left} changes to go")

    async def _watchdog(self) -> None:
        """End the process when work does not move; publish what each task does."""
        last: dict[int, tuple[object, float]] = {}
        outside = Outside(lambda: probes.answers(self._settings.kafka))
        while True:
            await asyncio.sleep(WATCHDOG_S)
            assert self._app is not None
            now = time.monotonic()
            try:
                await outside.look(now, is_member=self._app.tasks.is_member)
            except Unavailable as error:
                fail_at_once(self._role.name, error)
            tasks = self._app.tasks.by_partition
            metrics.gauge("clicktrail_assigned_partitions").labels(self._role.name).set(len(tasks))
            metrics.gauge("clicktrail_settings_version").labels(self._role.name).set(self._workspace.version)
            self._publish_lag(tasks.values())
            for partition, task in list(tasks.items()):
                seen = (id(task), task.progress.records, task.progress.commits, task.progress.restored, task.progress.state)
                before, since = last.get(partition, (None, now))
                moved = before != seen or not (task.progress.state != "running" or self._has_work(task))
                last[partition] = (seen, now if moved else since)
                waiting = 0.0 if moved else now - since
                metrics.gauge("clicktrail_waiting_seconds").labels(self._role.name, str(partition)).set(waiting)
                if waiting > STUCK_S:
                    fail_at_once(
                        self._role.name,
                        TimeoutError(f"partition {partition} is {task.progress.state} and has not moved for {waiting:.0f} s"),
                    )

    def _publish_lag(self, tasks: Iterable[Task]) -> None:
        """How far the positions are behind the ends, as the last fetches saw them: nobody is asked."""
        assert self._app is not None
        lags = dict.fromkeys((topic.name for topic in self._role.inputs), 0)
        for task in tasks:
            for at, position in task.positions.items():
                lags[at.topic] += max(0, (self._app.stable_end(at) or 0) - position)
        for topic, lag in lags.items():
            metrics.gauge("clicktrail_lag_records").labels(self._role.name, topic).set(lag)

    def _has_work(self, task: Any) -> bool:
        """Whether records wait for a task: in its inbox, or in Kafka behind its position."""
        if task.progress.waiting_since is not None:
            return True
        assert self._app is not None
        for at, position in task.positions.items():
            end = self._app.stable_end(at)
            if end is not None and end > position:
                return True
        return False
