"""What people looked at and took away, as rows of the activity log: reveals of personal data, exports, postbacks sent again.

Changes of settings write their rows in their own transaction (`streams/runtime/settings_store.py`); these change nothing, so one record that
the brokers have acknowledged is enough. It is written *before* the data is handed out: what could not be noted is not shown.
"""

import asyncio
import time
import uuid
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.runtime.errors import Unavailable
from streams.runtime.settings import Settings
from streams.topology import ACTIVITY

LIMIT_S = 3.0


class Audit:
    """Writes activity rows. Connects at the first one; `close` at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()

    async def note(self, author: str, action: str, entity: str, entity_id: str, reason: str, detail: dict[str, Any], version: int) -> None:
        """Write a row. Unavailable when the brokers do not take it."""
        row = {
            "activity_id": uuid.uuid4().hex, "changed_at_ms": int(time.time() * 1000), "author": author, "reason": reason, "entity": entity,
            "entity_id": entity_id, "action": action, "before": None, "after": detail or None, "diff": [], "settings_version": version,
        }  # fmt: skip
        try:
            async with asyncio.timeout(LIMIT_S):
                producer = await self._connected()
                await producer.send_and_wait(
                    ACTIVITY.name, orjson.dumps(row), f"{entity}/{entity_id}".encode(), partition=0, timestamp_ms=row["changed_at_ms"]
                )
        except (KafkaError, TimeoutError, OSError) as error:
            await self.close()
            raise Unavailable("Kafka does not answer, so this cannot be noted in the activity log.", "Try again.") from error

    async def close(self) -> None:
        """Let go of the broker."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = AIOKafkaProducer(**self._settings.kafka.client_args(), acks="all", enable_idempotence=True)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer
