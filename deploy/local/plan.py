"""What `up` is going to run, and where: worked out from flags and settings before anything is started.

Kafka and ClickHouse are embedded unless the environment names others: whoever sets CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS has a Kafka. An
address on this machine where nobody listens is not somebody else's, it says where ours shall be. All ports are checked first, so that a
taken one is an error after 0.1 s, not after the broker's start.
"""

import os
import secrets
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from deploy.local.ports import is_free, require_free
from sinks.read_only import QUERY_USER
from streams.runtime import settings as all_settings
from streams.runtime.role_ports import port_of
from streams.runtime.settings import Settings

ROLES = ("ingest", "ledger", "attribution", "delivery", "sink", "console")
"""One process each, so that each dies and comes back alone. (Ledger and attribution in one process would save 80 MB and a second of CPU
at the start; but they share both cores under load, and one event loop is one core.)"""


class Ports(NamedTuple):
    """Flags of `up`; None: as the settings say."""

    kafka: int | None = None
    clickhouse: int | None = None
    ingest: int | None = None
    console: int | None = None
    metrics: int | None = None


class Plan(NamedTuple):
    """What to run. `environment` is what every process of this `up` is given, and what the CLI reads back from up.json."""

    settings: Settings
    environment: dict[str, str]
    kafka_port: int | None  # None: somebody else's Kafka
    clickhouse_port: int | None

    @property
    def data_dir(self) -> Path:
        """The data folder, absolute."""
        return self.settings.data_dir


def make(ports: Ports) -> Plan:
    """Return the plan. BadSettings when a setting is wrong."""
    settings = all_settings.load()
    kafka_port = ports.kafka or _own_port("KAFKA__BOOTSTRAP_SERVERS", settings.kafka.bootstrap_servers, 9092)
    clickhouse_port = ports.clickhouse or _own_port("CLICKHOUSE__URL", settings.clickhouse.url, 8123)
    environment = {"DATA_DIR": str(settings.data_dir.absolute())}
    if all_settings.source_of(f"{all_settings.PREFIX}CONSOLE__LOGIN") == "default":
        environment["CONSOLE__LOGIN"] = "local"  # on the loopback, for the person in front of it: console/server/gate.py
    if kafka_port:
        environment["KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{kafka_port}"
    if clickhouse_port:
        environment["CLICKHOUSE__URL"] = f"http://127.0.0.1:{clickhouse_port}"
        environment["CLICKHOUSE__QUERY_USER"] = QUERY_USER
    for name, port in (("INGEST__PORT", ports.ingest), ("CONSOLE__PORT", ports.console), ("METRICS_PORT", ports.metrics)):
        if port:
            environment[name] = str(port)
    environment = {f"{all_settings.PREFIX}{name}": value for name, value in environment.items()}
    os.environ.update(environment)  # children inherit it, and what we load from here on is what they load
    return Plan(all_settings.load(), environment, kafka_port, clickhouse_port)


def _own_port(name: str, address: str, default: int) -> int | None:
    """Return the port of the embedded service, None when the address is somebody else's: several by commas are."""
    if "," in address:
        return None
    parts = urlsplit(address if "//" in address else f"//{address}")
    port = parts.port or default
    if all_settings.source_of(all_settings.PREFIX + name) == "default":
        return port
    return port if parts.hostname in {"127.0.0.1", "localhost", "::1"} and is_free(port) else None


def check_ports(plan: Plan) -> None:
    """Raise PortTakenError, naming who has the port and the flag that avoids it."""
    wanted = [(plan.kafka_port, "--kafka-port"), (plan.clickhouse_port, "--clickhouse-port"), (plan.settings.ingest.port, "--ingest-port")]
    wanted += [(plan.settings.console.port, "--console-port")]
    wanted += [(port_of(plan.settings, role), "--metrics-port") for role in ROLES]
    for port, flag in wanted:
        if port:
            require_free(port, flag)


def keep_pii_key(settings: Settings) -> None:
    """Make the key of the identifier hashes at the first start, unless one is set. Losing it means that no old click is found by e-mail."""
    path = settings.kept_pii_key()
    if settings.pii_key is None and not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
