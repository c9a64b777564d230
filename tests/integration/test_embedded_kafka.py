"""The embedded broker is a real one: transactions, restarts, crashes, and errors that say who is in the way."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


async def make_topic(kafka, name):
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    await admin.close()


async def produce(kafka, topic, values, transactional_id="writer", is_committed=True):
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=transactional_id)
    await producer.start()
    await producer.begin_transaction()
    for value in values:
        await (await producer.send(topic, value))
    await (producer.commit_transaction() if is_committed else producer.abort_transaction())
    await producer.stop()


async def read(kafka, topic, count):
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap_servers, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    values = [(await consumer.getone()).value for _ in range(count)]
    await consumer.stop()
    return values


async def test_transactions_commit_and_abort(kafka):
    await make_topic(kafka, "embedded.transactions")
    await produce(kafka, "embedded.transactions", [b"1", b"2"])
    await produce(kafka, "embedded.transactions", [b"never"], is_committed=False)
    await produce(kafka, "embedded.transactions", [b"3"])
    assert await read(kafka, "embedded.transactions", 3) == [b"1", b"2", b"3"]
