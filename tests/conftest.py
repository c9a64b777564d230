"""Services that several test folders share, each started once per run and only if a test asks for it."""

import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """A real broker on a free port: `kafka.bootstrap_servers`. Topics are not made automatically; take names of your own."""
    with Kafka(tmp_path_factory.mktemp("kafka"), port=free_port()) as broker:
        yield broker
