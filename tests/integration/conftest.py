"""The embedded ClickHouse endpoint, as real as in `make up`: a child process, spoken to over HTTP only."""

import pytest

from deploy.local.ports import free_port
from sinks.embedded import ClickHouse


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory):
    """A started endpoint: `clickhouse.url`, `.host`, `.port`. Create databases or tables with names of your own."""
    with ClickHouse(tmp_path_factory.mktemp("clickhouse"), port=free_port()) as endpoint:
        yield endpoint
