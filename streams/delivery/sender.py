"""The sender of a worker: its lanes, its desks, and the producer of what they report.

Reports are not in a transaction: they are facts, and a fact that is logged twice or late changes nothing (`stage.py`). `report` returns when
the broker has them on all replicas, so a try never begins that is not on record. A report that fails ends the process, as every
unexpected error does: its successor finds the try begun, and says so.
"""

import asyncio
import ssl
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import orjson
import structlog
from aiokafka import AIOKafkaProducer

from schemas.destinations import Destination
from streams.delivery.client import Client
from streams.delivery.desk import Desk
from streams.delivery.guard import networks
from streams.delivery.lane import Lane, now_ms
from streams.delivery.outcome import Outcome
from streams.runtime import metrics
from streams.runtime.errors import ClicktrailError
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.worker import fail_at_once
from streams.topology import DELIVERIES
from streams.workspace import Workspace

log = structlog.get_logger(__name__)

Pause = Callable[[str, str | None, str], Awaitable[None]]
"""Set `paused` of a destination, with the reason."""


class Sender:
    """Everything that sends in this process."""

    def __init__(self, settings: Settings, feed: SettingsFeed, workspace: Workspace, instance: str, pause: Pause) -> None:
        self.instance = instance
        self.name = f"{instance}-{uuid.uuid4().hex[:8]}"
        self.paused_probe_ms = int(settings.delivery.paused_probe_s * 1000)
        self._settings = settings
        self._feed = feed
        self._workspace = workspace
        self._pause = pause
        self._allowed = networks(settings.delivery.allow_networks)
        self._tls = ssl.create_default_context(cafile=settings.delivery.ca_bundle)
        self._lanes: dict[str, Lane] = {}
        self._desks: set[Desk] = set()
        self._changing: set[str] = set()
        self._beside: set[asyncio.Task[None]] = set()
        self._producer: AIOKafkaProducer | None = None
        self.is_stopping = False

    async def start(self) -> None:
        """Connect to Kafka."""
        self._producer = AIOKafkaProducer(
            **self._settings.kafka.client_args(), acks="all", enable_idempotence=True, linger_ms=2, compression_type="lz4",
            max_batch_size=256 << 10, max_request_size=8 << 20,
        )  # fmt: skip
        await self._producer.start()

    async def stop(self) -> None:
        """Begin nothing more, let what has begun end, and put it on record."""
        self.is_stopping = True
        await asyncio.gather(*(lane.close(self._settings.delivery.stop_patience_s) for lane in self._lanes.values()))
        if self._producer is not None:
            await self._producer.stop()

    def desk(self, partition: int) -> Desk:
        """A desk for a partition that is given to us."""
        desk = Desk(partition, self)
        self._desks.add(desk)
        return desk

    def forget(self, desk: Desk) -> None:
        """A partition is not ours any more."""
        self._desks.discard(desk)

    def lane(self, destination_id: str) -> Lane:
        """The lane of a destination."""
        lane = self._lanes.get(destination_id)
        if lane is None:
            lane = self._lanes[destination_id] = Lane(destination_id, self)
        return lane

    def destination(self, destination_id: str) -> Destination | None:
        """The destination as it stands now: a corrected address counts for what still waits."""
        return cast("Destination | None", self._workspace.get("destination", destination_id))

    async def settled(self, version: int) -> None:
        """Return when the settings of this version are known here."""
        await self._feed.wait_for(version)

    def client(self, destination: Destination) -> Client:
        """Connections to a destination."""
        return Client(destination, self._allowed, self._tls)

    def longest_try_ms(self, destination_id: str) -> int:
        """How long a try can last."""
        destination = self.destination(destination_id)
        return int(destination.sending.timeout_s * 1000) if destination else 0

    def settings_changed(self) -> None:
        """Let every lane look at its destination anew."""
        for lane in self._lanes.values():
            lane.look()

    @property
    def in_flight(self) -> int:
        """Tries under way."""
        return sum(lane.in_flight for lane in self._lanes.values())

    @property
    def waiting(self) -> int:
        """Postbacks at hand that wait to be tried."""
        return sum(lane.waiting for lane in self._lanes.values())

    async def report(self, messages: Sequence[tuple[int, dict[str, Any]]]) -> None:
        """Log these; returns when they are on all replicas."""
        assert self._producer is not None
        sent = [
            await self._producer.send(DELIVERIES.name, orjson.dumps(message), str(message.get("postback_id", "")).encode(), partition)
            for partition, message in messages
        ]
        if len(sent) == 1:
            await sent[0]
        else:
            await asyncio.gather(*sent)

    def say(self, partition: int, message: dict[str, Any]) -> None:
        """Log this without waiting for it."""
        self._start(self.report([(partition, message)]))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self.guarded(work))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def guarded(self, work: Awaitable[None]) -> None:
        """Do some work; what it raises ends the process."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  nothing is healed in process
            fail_at_once("delivery", error)

    def learned(self, lane: Lane, outcome: Outcome) -> None:
        """A try has ended: count it, and pause what fails for too long or resume what works again."""
        metrics.counter("clicktrail_delivery_tries").labels(outcome.verdict).inc()
        destination = self.destination(lane.destination_id)
        if destination is None or lane.destination_id in self._changing:
            return
        if outcome.verdict == "delivered" and destination.paused == "after_failures":
            self._set_paused(lane.destination_id, None, "a probe was delivered")
        elif outcome.is_down and destination.paused is None:
            failing = [desk.failing_since[lane.destination_id] for desk in self._desks if lane.destination_id in desk.failing_since]
            since = max(failing, default=None)
            if since is not None and lane.last_success_ms < since and now_ms() - since > destination.sending.pause_after_s * 1000:
                hours = (now_ms() - since) / 3_600_000
                self._set_paused(lane.destination_id, "after_failures", f"no success for {hours:.1f} h; the last error: {outcome.message}")

    def _set_paused(self, destination_id: str, value: str | None, reason: str) -> None:
        self._changing.add(destination_id)

        async def change() -> None:
            try:
                await self._pause(destination_id, value, reason)
            except ClicktrailError as error:  # the next try that ends asks for it again; sending goes on
                log.warning("a destination could not be paused or resumed", destination=destination_id, error=str(error))
            finally:
                self._changing.discard(destination_id)

        self._start(change())
