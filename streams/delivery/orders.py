"""What people ask of delivery: send this again, pause that destination. Plain functions for the command line, the console and scripts.

A resend is a record in deliveries.v1 that carries the original request: durable as soon as the broker has it, executed by whoever owns the
partition, and on record in the activity log with who asked and why. The request is read back from postbacks.v1, whose offset stands in the
postback's row, so nothing is sent that was not once requested, and no address or secret comes out of a log.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.runtime.errors import BadSettings, Unavailable, near_match
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Activity, SettingsStore
from streams.topology import DELIVERIES, POSTBACKS

AT_ONCE = 500  # requests that are read and asked for at a time: a job's progress is told after each


class Place(NamedTuple):
    """A postback and where its request lies: `request_offset` and `event_id` of its row."""

    postback_id: str
    event_id: str
    request_offset: int

    @property
    def partition(self) -> int:
        """The partition of its request: that of its event, e<epoch>-<partition>-<offset>."""
        return int(self.event_id.split("-")[1])


Progress = Callable[[int, int], None]  # (done, total)


async def resend(
    settings: Settings, places: Sequence[Place], author: str, reason: str, progress: Progress = lambda _done, _total: None
) -> int:
    """Ask for these postbacks again, whatever became of them; returns how many were asked for. Unavailable when Kafka does not answer.

    It can be cancelled between two batches; what was asked for stays asked for.
    """
    done = 0
    producer = AIOKafkaProducer(**settings.kafka.client_args(), acks="all", enable_idempotence=True, linger_ms=5, max_request_size=8 << 20)
    try:
        await producer.start()
        async for found in requests(settings, places):
            sent = [
                await producer.send(DELIVERIES.name, _order(place, request, author, reason), partition=place.partition)
                for place, request in found
            ]
            for future in sent:
                await future
            done += len(found)
            progress(done, len(places))
    except KafkaError as error:
        raise Unavailable(
            f"Only {done} of {len(places)} were asked for: {error!r}.", "Try again: asking twice for one that waits does no harm."
        ) from error
    finally:
        await producer.stop()
    return done


def _order(place: Place, request: dict[str, Any], author: str, reason: str) -> bytes:
    return orjson.dumps(
        {
            "type": "resend",
            "postback_id": place.postback_id,
            "request": request,
            "offset": place.request_offset,
            "author": author,
            "reason": reason,
        }
    )


async def requests(settings: Settings, places: Iterable[Place]) -> AsyncIterator[list[tuple[Place, dict[str, Any]]]]:
    """The requests of these postbacks as they were logged, some hundred at a time."""
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_args(), group_id=None, enable_auto_commit=False, isolation_level="read_committed", fetch_max_wait_ms=50
    )
    try:
        await consumer.start()
    except KafkaError as error:
        await consumer.stop()
        raise Unavailable(f"Kafka does not answer at {settings.kafka.bootstrap_servers}: {error}.") from error
    try:
        by_partition: dict[int, list[Place]] = defaultdict(list)
        for place in places:
            by_partition[place.partition].append(place)
        for partition, wanted in by_partition.items():
            at = TopicPartition(POSTBACKS.name, partition)
            consumer.assign([at])
            wanted.sort(key=lambda place: place.request_offset)
            for begin in range(0, len(wanted), AT_ONCE):
                yield await _read(consumer, at, wanted[begin : begin + AT_ONCE])
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, at: TopicPartition, places: Sequence[Place]) -> list[tuple[Place, dict[str, Any]]]:
    """Read the records at these offsets, in their order. BadSettings for a request that is not where its row says."""
    end = (await consumer.end_offsets([at]))[at]
    left = {place.request_offset: place for place in places}
    found: list[tuple[Place, dict[str, Any]]] = []
    while left:
        first = min(left)
        consumer.seek(at, first)
        behind = first
        while behind == first and first < end:
            for record in (await consumer.getmany(at, timeout_ms=200, max_records=AT_ONCE)).get(at, ()):
                place = left.pop(record.offset, None)
                request = orjson.loads(record.value) if place is not None else {}
                if place is not None and request["postback_id"] == place.postback_id:
                    found.append((place, request))
            behind = await consumer.position(at)
        if first in left:  # expired, or a row of another log
            raise BadSettings(f"The request of {left[first].postback_id} is not in the log any more.", "It cannot be sent again.")
    return found


async def pause(settings: Settings, destination_id: str, value: Literal["by_hand"] | None, author: str, reason: str) -> Activity | None:
    """Pause a destination by hand, or resume it (None). Its requests are kept meanwhile. Returns the activity row, None if it stood so already."""
    feed = SettingsFeed(settings)
    try:
        await feed.start()
        before = feed.entities.get(("destination", destination_id))
        if before is None:
            known = [name for kind, name in feed.entities if kind == "destination"]
            raise BadSettings(
                f"There is no destination {destination_id!r}.", near_match(destination_id, known) or f"There are: {', '.join(known)}."
            )
        after = {name: inner for name, inner in before.items() if name != "paused"} | ({"paused": value} if value else {})
        return await SettingsStore(settings, feed).change("destination", destination_id, after, author, reason)
    finally:
        await feed.stop()
