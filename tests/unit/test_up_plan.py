"""What `up` runs itself, and what it takes for somebody else's."""

import pytest

from deploy.local import plan
from deploy.local.plan import Ports
from deploy.local.ports import free_ports


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """No settings but a data folder; what a plan writes into the environment goes again."""
    import os

    kept = dict(os.environ)
    for name in kept:
        if name.startswith("CLICKTRAIL_"):
            monkeypatch.delenv(name)
    os.environ["CLICKTRAIL_DATA_DIR"] = str(tmp_path)
    yield os.environ
    os.environ.clear()
    os.environ.update(kept)


def test_several_brokers_are_somebody_elses(environment):
    """Seen: `up` over a cluster of three ended with a traceback about a port that is no number."""
    environment["CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS"] = "127.0.0.1:19092,127.0.0.1:19093,127.0.0.1:19094"
    made = plan.make(Ports())
    assert made.kafka_port is None
    assert made.settings.kafka.bootstrap_servers == "127.0.0.1:19092,127.0.0.1:19093,127.0.0.1:19094"
    assert made.clickhouse_port == 8123


def test_an_address_here_where_nobody_listens_says_where_ours_shall_be(environment):
    port, *_ = free_ports(1)
    environment["CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{port}"
    assert plan.make(Ports()).kafka_port == port
