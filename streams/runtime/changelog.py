"""Restore before read: bring a partition's store up to its changelog before the first record is judged.

Runs after the partition's outbox is open, so that the former owner's last transaction is decided: what a read_committed reader sees up
to the end of the changelog is exactly what was committed, and nobody else can write it any more.
"""

from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.runtime.store import ERASURE, Store

CHUNK = 20_000  # records per write batch: 424,000 records/s come out of getmany, 0.4 us a key go into RocksDB

Progress = Callable[[int, int], None]  # (restored up to this offset, of this end)


async def restore(kafka: Mapping[str, Any], topic: str, partition: int, store: Store, progress: Progress) -> int:
    """Replay the changelog from where the store stands to its end; returns how many changes that were."""
    at = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        **kafka, isolation_level="read_committed", enable_auto_commit=False, max_partition_fetch_bytes=4 << 20, fetch_max_wait_ms=50
    )
    await consumer.start()
    try:
        consumer.assign([at])
        begin = (await consumer.beginning_offsets([at]))[at]
        end = (await consumer.end_offsets([at]))[at]
        position = store.position
        if position > end or 0 < position < begin:  # made anew, or cut off before where we stand
            store.clear()
            position = begin
        return await _replay(consumer, at, store, max(position, begin), end, progress)
    finally:
        await consumer.stop()


async def _replay(consumer: Any, at: TopicPartition, store: Store, position: int, end: int, progress: Progress) -> int:
    consumer.seek(at, position)
    count, has_erased = 0, False
    while position < end:
        records = (await consumer.getmany(at, timeout_ms=200, max_records=CHUNK)).get(at, ())
        position = await consumer.position(at)  # moves over transaction markers, too
        if records:
            store.write([(record.key, record.value) for record in records], position)
            count += len(records)
            has_erased = has_erased or any(record.key == ERASURE for record in records)
        progress(position, end)
    if has_erased:
        store.compact()  # what was overwritten leaves the disk, too
    return count
