"""Changes settings: the change and its activity row in one Kafka transaction, so neither can exist without the other.

There is one transactional id for all writers (console, CLI, another console), and it is the lock: whoever opens it fences the one
before. A writer opens it, *then* reads the log to its end, works out what differs, writes and commits. If another writer came between,
the commit fails and the change is worked out anew from what that one left: no update is lost, and there is no lock to leak.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson
import stamina
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced
from typing_extensions import TypedDict

from streams.runtime.errors import Unavailable
from streams.runtime.settings import Settings
from streams.runtime.settings_diff import Difference, differences, hide_secrets
from streams.runtime.settings_feed import SettingsFeed
from streams.topology import ACTIVITY, SETTINGS

TRANSACTIONAL_ID = "clicktrail.settings"
Check = Callable[[dict[tuple[str, str], dict[str, Any]]], None]


class Change(NamedTuple):
    """What somebody wants an entity to be; None deletes it."""

    entity: str
    entity_id: str
    value: dict[str, Any] | None


class Activity(TypedDict):
    """Who changed what, when and why, as it stands in clicktrail.activity.v1."""

    activity_id: str
    changed_at_ms: int
    author: str
    reason: str
    entity: str
    entity_id: str
    action: str  # created, updated, deleted
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    diff: list[Difference]
    settings_version: int


class SettingsStore:
    """Writes what the feed reads. The feed must have been started."""

    def __init__(self, settings: Settings, feed: SettingsFeed) -> None:
        self._settings = settings
        self._feed = feed

    async def change(self, entity: str, entity_id: str, value: dict[str, Any] | None, author: str, reason: str) -> Activity | None:
        """Change one entity; None when nothing differs. The feed has applied it when this returns."""
        done = await self.apply([Change(entity, entity_id, value)], author, reason)
        return done[0] if done else None

    async def apply(self, changes: Sequence[Change], author: str, reason: str, check: Check | None = None) -> list[Activity]:
        """Make all of the changes or none; those that change nothing leave no trace. Unavailable when Kafka does not answer.

        `check` sees the entities as they are when nobody else can change them any more, and raises what forbids the change.
        """
        try:
            async for attempt in stamina.retry_context(on=ProducerFenced, attempts=5, wait_initial=0.05, wait_max=1.0):
                with attempt:
                    return await self._write(changes, author, reason, check)
        except KafkaError as error:
            raise Unavailable(f"The change was not made: {error!r}.", "Try again.") from error
        raise AssertionError("stamina either returns or raises")

    async def _write(self, changes: Sequence[Change], author: str, reason: str, check: Check | None) -> list[Activity]:
        producer = AIOKafkaProducer(
            **self._settings.kafka.client_args(), transactional_id=TRANSACTIONAL_ID, acks="all", transaction_timeout_ms=15_000
        )
        await producer.start()  # fences every other writer: from here on, what the feed reads is what we change
        try:
            await self._feed.catch_up()
            if check is not None:
                check(self._feed.entities)
            wanted = pending(changes, self._feed.entities)
            if not wanted:
                return []
            async with producer.transaction():
                done = [await self._send(producer, change, author, reason) for change in wanted]
        finally:
            await producer.stop()
        await self._feed.wait_for(done[-1]["settings_version"])
        return done

    async def _send(self, producer: AIOKafkaProducer, change: Change, author: str, reason: str) -> Activity:
        """Write the change, learn its version, write its activity row."""
        activity_id, now_ms = uuid.uuid4().hex, int(time.time() * 1000)
        record = {**change._asdict(), "author": author, "reason": reason, "changed_at_ms": now_ms}
        key = f"{change.entity}/{change.entity_id}@{activity_id}"
        sent = await producer.send_and_wait(SETTINGS.name, orjson.dumps(record), key.encode(), partition=0, timestamp_ms=now_ms)
        before = self._feed.entities.get((change.entity, change.entity_id))
        row: Activity = {
            "activity_id": activity_id,
            "changed_at_ms": now_ms,
            "author": author,
            "reason": reason,
            "entity": change.entity,
            "entity_id": change.entity_id,
            "action": "created" if before is None else "deleted" if change.value is None else "updated",
            "before": hide_secrets(before),
            "after": hide_secrets(change.value),
            "diff": differences(before, change.value),
            "settings_version": sent.offset,
        }
        home = f"{change.entity}/{change.entity_id}".encode()
        await producer.send(ACTIVITY.name, orjson.dumps(row), home, partition=0, timestamp_ms=now_ms)
        return row


def pending(changes: Sequence[Change], entities: dict[tuple[str, str], dict[str, Any]]) -> list[Change]:
    """Return the changes that change something; a later change of the same entity in the list replaces an earlier one."""
    last = {(change.entity, change.entity_id): change for change in changes}
    return [change for key, change in last.items() if entities.get(key) != change.value]
