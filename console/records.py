"""Records as they stand in Kafka: the headers that a payload came with, and its bytes, by their coordinates.

Rows carry topic, partition and offset; what came beside the payload (content type, method, query string, address of the sender) stands only
in the record. One consumer without a group, kept open, because opening one costs 100 ms and an inspector has no 100 ms; readers take turns.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.runtime.errors import Unavailable
from streams.runtime.settings import Settings

LIMIT_S = 2.0
Place = tuple[str, int, int]
"""(topic, partition, offset)."""
FETCH_MAX_WAIT_MS = 100
JOINED_OFFSETS = 500  # a gap of fewer offsets is read over: seeking costs a fetch


class Records:
    """Reads records. `close` at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    async def read(self, places: Iterable[Place], limit_s: float = LIMIT_S) -> dict[Place, Any]:
        """Return place -> record, of those that are (still) there. Unavailable when Kafka does not answer in time."""
        wanted = sorted(set(places))
        try:
            async with asyncio.timeout(limit_s), self._turn:
                consumer = await self._connected()
                found: dict[Place, Any] = {}
                for span in _spans(wanted):
                    await _read(consumer, span, found)
                return found
        except (KafkaError, TimeoutError, OSError) as error:
            await self._forget()
            raise Unavailable("Kafka does not answer, or not in time.", "Try again.") from error

    async def close(self) -> None:
        """Let go of the broker."""
        await self._forget()

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **self._settings.kafka.client_args(),
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_uncommitted",  # coordinates of rows are those of records that count
                fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    async def _forget(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()


def _spans(wanted: list[Place]) -> list[list[Place]]:
    """Return the places in runs that are read without seeking."""
    spans: list[list[Place]] = []
    for place in wanted:
        if spans and spans[-1][-1][:2] == place[:2] and place[2] - spans[-1][-1][2] <= JOINED_OFFSETS:
            spans[-1].append(place)
        else:
            spans.append([place])
    return spans


async def _read(consumer: AIOKafkaConsumer, span: list[Place], found: dict[Place, Any]) -> None:
    topic, partition, first = span[0]
    last, wanted = span[-1][2], set(span)
    at = TopicPartition(topic, partition)
    consumer.assign([at])
    begin, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
    if end <= first or last < begin:
        return
    consumer.seek(at, max(first, begin))
    while await consumer.position(at) <= min(last, end - 1):
        for record in (await consumer.getmany(at, timeout_ms=FETCH_MAX_WAIT_MS)).get(at, []):
            if (place := (topic, partition, record.offset)) in wanted:
                found[place] = record
            if record.offset >= last:
                return


def headers(record: Any) -> Mapping[str, str]:
    """Return a record's headers as texts."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
