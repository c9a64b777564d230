"""What tests of ingest share: its settings against a broker, the role in this process, and a reader of what is new in a topic."""

import asyncio
import contextlib

from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.ports import free_port
from streams.ingest import role
from streams.runtime.settings import Settings

PII_KEY = "test-key"
PARTITIONS = 3


def settings_for(broker, folder, **ingest):
    return Settings(
        kafka={"bootstrap_servers": broker.bootstrap_servers},
        ingest={"port": free_port()} | ingest,
        data_dir=folder,
        partitions=PARTITIONS,
        pii_key=PII_KEY,
        metrics_port=free_port(),
    )


@contextlib.asynccontextmanager
async def running(settings):
    """The role in this process; yields its address."""
    ready = asyncio.Event()
    task = asyncio.create_task(role.run(settings, ready=ready))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield settings.ingest_url()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Tail:
    """Reads what is new in a topic since it was opened."""

    def __init__(self, broker, topic):
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=broker.bootstrap_servers, enable_auto_commit=False, fetch_max_wait_ms=50, max_partition_fetch_bytes=8 << 20
        )
        self.partitions = [TopicPartition(topic.name, n) for n in range(PARTITIONS)]

    async def __aenter__(self):
        await self.consumer.start()
        self.consumer.assign(self.partitions)
        for partition, end in (await self.consumer.end_offsets(self.partitions)).items():
            self.consumer.seek(partition, end)
        return self

    async def __aexit__(self, *_):
        await self.consumer.stop()

    async def rest(self):
        """Every record up to the end as it is now."""
        found = []
        ends = await self.consumer.end_offsets(self.partitions)
        while any([await self.consumer.position(p) < ends[p] for p in self.partitions]):
            for records in (await self.consumer.getmany(timeout_ms=100)).values():
                found += records
        return found

    async def one(self):
        (record,) = await self.rest()
        return record
