"""The embedded broker is a real one: transactions, restarts, crashes, and errors that say who is in the way."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.kafka import Kafka
from deploy.local.node import KafkaError
from deploy.local.ports import PortTakenError, free_port, is_free

# The restarted controller waits for the killed broker's session to end; see `deploy/local/node.py`.
QUICK_RECOVERY = {"broker.session.timeout.ms": "1400", "broker.heartbeat.interval.ms": "200"}


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


async def test_data_outlives_stop_and_sigkill(tmp_path):
    broker = Kafka(tmp_path, port=free_port(), settings=QUICK_RECOVERY)
    try:
        broker.start()
        await make_topic(broker, "kept")
        await produce(broker, "kept", [b"before the stop"])
        cluster_id = (tmp_path / "log" / "meta.properties").read_text()
        broker.stop()
        broker.stop()  # safe to repeat
        assert not broker.is_running
        assert is_free(broker.port)

        await asyncio.to_thread(broker.start)  # the controller has another port now, the thread ends before the broker
        await produce(broker, "kept", [b"before the kill"])
        os.kill(broker.pid, signal.SIGKILL)
        assert await asyncio.to_thread(ends, lambda: not broker.is_running)
        (tmp_path / "broker.json").write_text('{"pid": 1, "po')  # a stale record, cut short by the crash

        await asyncio.to_thread(broker.start)
        await produce(broker, "kept", [b"after both"])
        assert await read(broker, "kept", 3) == [b"before the stop", b"before the kill", b"after both"]
        assert (tmp_path / "log" / "meta.properties").read_text() == cluster_id
    finally:
        broker.kill()


def test_taken_port_names_the_process(kafka, tmp_path):
    with pytest.raises(PortTakenError) as error:
        Kafka(tmp_path, port=kafka.port).start()
    assert str(error.value) == f"Port {kafka.port} is used by pid {kafka.pid} (java). Use --kafka-port or stop it."


def test_folder_in_use_names_the_broker(kafka):
    with pytest.raises(KafkaError, match=rf"is in use by pid {kafka.pid} \(java\), listening on port {kafka.port}\."):
        Kafka(kafka.data_dir, port=free_port()).start()
    assert kafka.is_running


def test_broker_that_dies_at_start_says_why(tmp_path):
    broker = Kafka(tmp_path, port=free_port(), settings={"num.io.threads": "0"})
    with pytest.raises(KafkaError, match=r"num\.io\.threads") as error:
        broker.start()
    assert str(broker.data_dir) in str(error.value)
    assert not broker.is_running


def test_folder_of_a_newer_kafka_is_refused(tmp_path):
    (tmp_path / "broker.json").write_text('{"kafka": "99.1.0"}')
    with pytest.raises(KafkaError, match=r"written by Kafka 99\.1\.0, newer than"):
        Kafka(tmp_path, port=free_port()).start()


def test_terminal_signals_do_not_reach_the_broker(kafka):
    assert os.getsid(kafka.pid) != os.getsid(0)


PARENT = """
import sys, threading, time
from pathlib import Path
from deploy.local.kafka import Kafka

kafka = Kafka(Path(sys.argv[1]), port=int(sys.argv[2]))
thread = threading.Thread(target=kafka.start)  # the kernel's death signal follows threads: this one ends first
thread.start()
thread.join()
time.sleep(0.3)
print(kafka.pid, flush=True)
time.sleep(600)
"""


def test_broker_dies_with_its_parent(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path, str(free_port())], stdout=subprocess.PIPE, text=True)
    try:
        broker_pid = int(parent.stdout.readline())
        assert is_alive(broker_pid)
    finally:
        parent.kill()
        parent.wait()
    assert ends(lambda: not is_alive(broker_pid))


def ends(is_over, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not is_over() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_over()


def is_alive(pid):
    """A zombie whose adopter has not looked yet is dead."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
