"""The role `delivery` as a process runs it: the stage on the chunk runtime, and the sender beside it.

Starting: the sender before the group, so that a partition that is given to us finds it. Stopping: the sender before the group, so that the ends
of its last tries are still on record when somebody else takes over.
"""

from collections.abc import Callable

from streams import topology
from streams.delivery.sender import Sender
from streams.delivery.stage import Delivery
from streams.runtime import health, metrics
from streams.runtime.app import FollowerFactory
from streams.runtime.roles import StageWorker
from streams.runtime.settings import Settings
from streams.runtime.settings_store import SettingsStore
from streams.runtime.worker import quiet_libraries, run_until_signal
from streams.stage import Stage


def run_role(name: str, settings: Settings) -> None:
    """Run the role until a signal; `name` is delivery."""
    assert name == topology.DELIVERY.name
    quiet_libraries()
    worker = DeliveryWorker(settings)
    run_until_signal(worker.start, worker.stop)


class DeliveryWorker(StageWorker):
    """The delivery role of this process."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(topology.DELIVERY, settings, on_settings=self._settings_changed)
        self._sender = Sender(settings, self._feed, self._workspace, settings.instance_of("delivery"), self._pause)

    async def start(self) -> None:
        """Sender, then the group."""
        await self._sender.start()
        await super().start()

    async def stop(self) -> None:
        """Sender, then the group."""
        await self._sender.stop()
        await super().stop()

    def _settings_changed(self, _: int) -> None:
        self._sender.settings_changed()

    def _stage(self, partitions: int) -> Callable[[], Stage]:  # noqa: ARG002 - it writes to the partition that it reads
        return Delivery

    def _follow(self) -> FollowerFactory | None:
        return self._sender.desk

    def _checks(self) -> health.Checks:
        return {**super()._checks(), "sending": self._sending}

    def _sending(self) -> health.Check:
        metrics.gauge("clicktrail_delivery_in_flight").set(self._sender.in_flight)
        metrics.gauge("clicktrail_delivery_waiting").set(self._sender.waiting)
        return health.Check(is_ready=True, text=f"{self._sender.in_flight} under way, {self._sender.waiting} waiting")

    async def _pause(self, destination_id: str, value: str | None, reason: str) -> None:
        """Pause or resume a destination: a change of settings, so every worker follows it and it is on record."""
        await self._feed.catch_up()
        before = self._feed.entities.get(("destination", destination_id))
        if before is not None:
            after = {name: inner for name, inner in before.items() if name != "paused"} | ({"paused": value} if value else {})
            await SettingsStore(self._settings, self._feed).change("destination", destination_id, after, "delivery", reason)
