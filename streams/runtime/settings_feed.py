"""Follows clicktrail.settings.v1 and keeps the workspace as of now, with its version: the offset of the last change.

A plain consumer without a group: every process needs *all* settings, and a group would split or remember them. It always reads from the
beginning; the topic holds thousands of records, not millions, so a start costs milliseconds and there is no snapshot that could be stale.
Only committed records count: a change and its activity row are one transaction.

A role waits for a version before it judges a payload that ingest stamped with it (`wait_for`), so the settings that judge are never older
than the settings that were in force when the payload came in.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.runtime import logs
from streams.runtime.errors import Unavailable
from streams.runtime.settings import Settings
from streams.topology import SETTINGS

LOG = logs.get(__name__)
PARTITION = TopicPartition(SETTINGS.name, 0)


class TakesSettings(Protocol):
    """What follows the feed: `streams.workspace.Workspace` in the roles."""

    def apply(self, version: int, entity: str, entity_id: str, value: dict[str, Any] | None) -> object:
        """Take one change; None means that the entity is deleted."""


class SettingsFeed:
    """`start` returns when everything that was there is applied; afterwards it follows in the background until `stop`."""

    def __init__(self, settings: Settings, workspace: TakesSettings | None = None, on_change: Callable[[int], None] | None = None) -> None:
        self.workspace = workspace
        self.version = -1  # offset of the last change; -1 before the first
        self.entities: dict[tuple[str, str], dict[str, Any]] = {}  # (entity, id) -> value, as it stands now
        self.following: asyncio.Task[None] | None = None
        self._on_change = on_change
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._read_to = 0  # the position in the log, beyond transaction markers too
        self._moved = asyncio.Condition()

    async def start(self) -> None:
        """Connect, apply everything up to the end as it is now, then follow. Unavailable when Kafka does not answer."""
        self._consumer = AIOKafkaConsumer(
            **self._settings.kafka.client_args(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
        )
        try:
            await self._consumer.start()
            self._consumer.assign([PARTITION])
            await self._consumer.seek_to_beginning(PARTITION)
        except KafkaError as error:
            await self._consumer.stop()
            raise Unavailable(f"Kafka does not answer at {self._settings.kafka.bootstrap_servers}: {error}.") from error
        self.following = asyncio.create_task(self._follow(), name="settings-feed")
        await self.catch_up()

    async def stop(self) -> None:
        """Stop following; safe to call twice."""
        if self.following:
            self.following.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self.following
        if self._consumer:
            await self._consumer.stop()
            self._consumer = None

    async def catch_up(self) -> None:
        """Return when every change that is committed by now is applied."""
        assert self._consumer is not None
        end = (await self._consumer.end_offsets([PARTITION]))[PARTITION]
        await self._until(lambda: self._read_to >= end)

    async def wait_for(self, version: int) -> None:
        """Return when the change with this offset is applied. Raises what ended the feed, if it ended."""
        await self._until(lambda: self.version >= version)

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with self._moved:
            while not reached():
                if self.following and self.following.done():
                    self.following.result()
                    raise Unavailable("The settings feed was stopped.")
                await self._moved.wait()

    async def _follow(self) -> None:
        assert self._consumer is not None
        try:
            while True:
                fetched = await self._consumer.getmany(PARTITION, timeout_ms=200)
                for record in fetched.get(PARTITION, []):
                    self._take(record.offset, record.value)
                position = await self._consumer.position(PARTITION)
                if position != self._read_to or not self._read_to:
                    self._read_to = position
                    async with self._moved:
                        self._moved.notify_all()
        finally:  # whoever waits must learn that nothing more will come
            async with self._moved:
                self._moved.notify_all()

    def _take(self, offset: int, raw: bytes | None) -> None:
        """Apply one record. One that is not valid is logged and passed over, by every process alike; its version still counts."""
        self.version = offset
        try:
            change = orjson.loads(raw or b"")
            key, value = (change["entity"], change["entity_id"]), change["value"]
            if self.workspace is not None:
                self.workspace.apply(offset, *key, value)
        except Exception:  # whatever is wrong with one record, the ones behind it count
            LOG.exception("settings record passed over", offset=offset)
            return
        if value is None:
            self.entities.pop(key, None)
        else:
            self.entities[key] = value
        if self._on_change:
            self._on_change(offset)
