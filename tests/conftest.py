"""Services that several test folders share, each started once per run and only if a test asks for it; the command line; and how every test
ended, kept for `clicktrail doctor --acceptance` (console/acceptance.py).
"""

from functools import partial

import pytest

from console import acceptance
from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from sinks.embedded import ClickHouse
from tests import command_line


class Outcomes:
    """How the tests of this run ended: the worst of a test's set-up, call and tear-down."""

    def __init__(self, root):
        self.root = root
        self.collected = set()
        self.ended = {}

    @pytest.hookimpl(tryfirst=True)  # before -k and -m take some away
    def pytest_collection_modifyitems(self, config, items):
        if not any("::" in argument for argument in config.args):  # else a function's other cases are not collected
            self.collected = {item.nodeid for item in items}

    def pytest_runtest_logreport(self, report):
        before = self.ended.get(report.nodeid)
        if report.outcome != acceptance.PASSED or before is None:
            self.ended[report.nodeid] = before if before == acceptance.FAILED else report.outcome

    def pytest_sessionfinish(self):
        if self.ended:
            acceptance.keep(self.ended, self.collected, self.root)


def pytest_configure(config):
    config.pluginmanager.register(Outcomes(config.rootpath), "acceptance")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """A real broker on a free port: `kafka.bootstrap_servers`. Topics are not made automatically; take names of your own."""
    with Kafka(tmp_path_factory.mktemp("kafka"), port=free_port()) as broker:
        yield broker


@pytest.fixture
def cli_environment(tmp_path):
    """What `clicktrail` sees of its environment: no service is there. A test file with services overrides it."""
    return command_line.nowhere(tmp_path)


@pytest.fixture
def clicktrail(cli_environment):
    """Run a command line in this process: `clicktrail("sql", "SELECT 1", code=3)` -> (code, stdout as bytes, stderr)."""
    return partial(command_line.run, env=cli_environment)


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory):
    """A started endpoint, as real as in `make up`: `clickhouse.url`, `.host`, `.port`. Create databases or tables with names of your own."""
    with ClickHouse(tmp_path_factory.mktemp("clickhouse"), port=free_port()) as endpoint:
        yield endpoint
