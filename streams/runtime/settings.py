"""Every setting, its default and its meaning: `CLICKTRAIL_<GROUP>__<NAME>` in the environment, first and only.

One place, because a setting that is read somewhere else cannot be listed, checked or documented. The environment is the source
(containers, systemd and make all speak it); `…_FILE` names a file that holds the value, for mounted secrets; and the addresses of a
running `clicktrail up` fill in what is not set, so that `clicktrail sql` finds the ports that `up` was started with.

A misspelt name is an error, not a default that surprises in production: unknown `CLICKTRAIL_*` names stop the program (exit 2) with
the nearest name that exists. pydantic-settings alone ignores unknown environment names, hence `load`.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from streams.runtime.connections import ClickHouseSettings, Group, KafkaSettings, RetentionSettings, TracingSettings
from streams.runtime.errors import BadSettings, near_match

PREFIX = "CLICKTRAIL_"


class IngestSettings(Group):
    """The door."""

    host: str = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0 in a container")
    port: int = Field(default=8700, ge=0, le=65535, description="port to listen on")
    public_url: str = Field(default="", description="address that senders use, for links in answers; empty: http://host:port")
    trusted_proxies: str = Field(
        default="", description="networks whose X-Forwarded-For is believed, by commas; empty: the peer is the sender"
    )
    max_payload_bytes: int = Field(default=1_048_576, ge=1024, description="a larger payload is answered 413")
    max_in_flight_requests: int = Field(default=5_000, ge=1, description="more at once are answered 503 with Retry-After")
    max_in_flight_bytes: int = Field(
        default=67_108_864, ge=1_048_576, description="bytes that wait for the broker's ack; more are answered 503"
    )
    geoip_database: Path | None = Field(default=None, description="MMDB file that says the country of an address; empty: none is recorded")
    spool_dir: Path | None = Field(default=None, description="payloads wait here while the broker is away; empty: <data_dir>/spool")
    spool_max_bytes: int = Field(default=1_073_741_824, ge=0, description="a full spool is answered 503; 0 switches it off")


class DeliverySettings(Group):
    """Postbacks."""

    allow_networks: str = Field(
        default="", description="networks that postbacks may go to although they are not public, by commas: 10.1.0.0/16, 127.0.0.1:8709"
    )
    ca_bundle: Path | None = Field(
        default=None, description="CA bundle (PEM) that destinations are verified against; without it, the system's"
    )
    paused_probe_s: float = Field(default=900, gt=0, description="a destination that was paused after failures is tried again so often")
    stop_patience_s: float = Field(default=3, ge=0, description="at a stop, tries that have begun may take so long to end")


class ConsoleSettings(Group):
    """Pages and API."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8701, ge=0, le=65535, description="port to listen on")
    public_url: str = Field(default="", description="address that people use, for links in answers; empty: http://host:port")
    login: Literal["required", "local"] = Field(
        default="required", description="local: whoever sits at this machine needs no login; only on a loopback address, `up` sets it"
    )
    requests_per_s: float = Field(default=50, gt=0, description="of one user, on average; more are answered 429")
    logins_per_minute: float = Field(default=10, gt=0, description="tries of one address; more are answered 429")


class FileValues(PydanticBaseSettingsSource):
    """`…_FILE` names, below the plain names: the value is the file's content without the newline at its end."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the base class's signature
        """Answer for no single field: `__call__` returns all at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return {group: {name: value}} of every `…_FILE` name that is set."""
        return nested({name: read_secret(name + "_FILE") for name in names() if os.environ.get(name + "_FILE")})


class Settings(BaseSettings):
    """All settings. `load` is the way to get one; tests may build it from keyword arguments."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", env_ignore_empty=True)

    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    retention: RetentionSettings = RetentionSettings()
    ingest: IngestSettings = IngestSettings()
    delivery: DeliverySettings = DeliverySettings()
    console: ConsoleSettings = ConsoleSettings()
    tracing: TracingSettings = TracingSettings()
    data_dir: Path = Field(default=Path("data"), description="state, spool, logs, and in embedded mode Kafka's and ClickHouse's files")
    partitions: int = Field(default=12, ge=1, le=1024, description="partitions of each new topic: the most workers that a role can have")
    pii_key: SecretStr | None = Field(
        default=None, description="keys the hashes of e-mail and phone; never change it. `up` makes one in data_dir"
    )
    instance: str = Field(default="", description="stable name of this worker for Kafka's static membership; empty: <hostname>-<role>-0")
    metrics_host: str = Field(default="127.0.0.1", description="address of /livez, /readyz and /metrics; 0.0.0.0 in a container")
    metrics_port: int = Field(default=8710, ge=0, le=65000, description="first port of the roles' health pages: role n listens on this + n")
    commit_interval_ms: int = Field(
        default=200, ge=1, le=10_000, description="longest time between two Kafka transactions of a busy worker"
    )
    chunk_records: int = Field(default=500, ge=1, le=100_000, description="most records that a stage gets at once")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least severe line that is written")
    log_format: Literal["auto", "text", "json"] = Field(default="auto", description="auto: text on a terminal, JSON elsewhere")
    failpoint: str = Field(default="", description="for crash tests: name[:n] kills the process at that point, the n-th time")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env files: one way to set a value
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - FileValues takes its place
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then `…_FILE` values, then the defaults."""
        assert isinstance(env_settings, EnvSettingsSource)  # a `…_FILE` inside a group would look like an unknown field of the group
        env_settings.env_vars = {name: value for name, value in env_settings.env_vars.items() if not name.endswith("_file")}
        return init_settings, env_settings, FileValues(settings_cls)

    def instance_of(self, role: str) -> str:
        """Return the stable id of this worker: a restart under the same id gets its partitions back at once."""
        return self.instance or f"{socket.gethostname()}-{role}-0"

    def pii_secret(self) -> bytes:
        """Return the key of the identifier hashes: the setting, or the one that `up` keeps in data_dir. BadSettings without either."""
        if self.pii_key is not None:
            return self.pii_key.get_secret_value().encode()
        kept = self.kept_pii_key()
        if kept.exists():
            return kept.read_bytes().strip()
        raise BadSettings("No key for the hashes of e-mail and phone.", "Set CLICKTRAIL_PII_KEY (or CLICKTRAIL_PII_KEY_FILE).")

    def kept_pii_key(self) -> Path:
        """Return where `up` keeps the key of the identifier hashes, unless the setting gives one."""
        return self.data_dir / "pii.key"

    def ingest_url(self) -> str:
        """Return the address that senders use, without a slash at its end."""
        return (self.ingest.public_url or f"http://{self.ingest.host}:{self.ingest.port}").rstrip("/")

    def console_url(self) -> str:
        """Return the address that people use, without a slash at its end."""
        return (self.console.public_url or f"http://{self.console.host}:{self.console.port}").rstrip("/")


def names() -> dict[str, tuple[str, ...]]:
    """Return every environment name with its path in Settings, in the order of this file."""
    found: dict[str, tuple[str, ...]] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            found |= {f"{PREFIX}{name}__{inner}".upper(): (name, inner) for inner in field.annotation.model_fields}
        else:
            found[f"{PREFIX}{name}".upper()] = (name,)
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn {environment name: value} into the nested dictionary that Settings takes."""
    paths, tree = names(), dict[str, Any]()
    for name, value in values.items():
        *groups, leaf = paths[name]
        (tree.setdefault(groups[0], {}) if groups else tree)[leaf] = value
    return tree


def read_secret(name: str) -> str:
    """Return the content of the file that the environment name points to. BadSettings when it cannot be read."""
    try:
        return Path(os.environ[name]).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{name}={os.environ[name]} cannot be read: {error}.") from error


def refuse_unknown() -> None:
    """Raise BadSettings for the first CLICKTRAIL_* name that is no setting, with the nearest one that is."""
    known = list(names())
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and name.removesuffix("_FILE") not in known:
            near = near_match(name.removeprefix(PREFIX), [found.removeprefix(PREFIX) for found in known]).replace("mean ", f"mean {PREFIX}")
            raise BadSettings(f"{name} is not a setting.", near or "`clicktrail config show` lists them all.")


def source_of(name: str, running: Mapping[str, str] | None = None) -> str:
    """Say where the value of an environment name comes from: env, file, up (a running `clicktrail up`) or default."""
    if os.environ.get(name):
        return "env"
    if os.environ.get(name + "_FILE"):
        return "file"
    return "up" if name in (running or {}) else "default"


def load(running: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings of this process.

    `running` holds {environment name: value} of a running `up`: it stands below the environment, above the defaults. `overrides` are
    nested like Settings and stand above everything. BadSettings when a name or a value is wrong.
    """
    refuse_unknown()
    below = nested({name: value for name, value in (running or {}).items() if source_of(name, running) == "up"})
    for name, value in overrides.items():
        below[name] = {**below.get(name, {}), **value} if isinstance(value, dict) else value
    try:
        return Settings(**below)
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "__".join(str(part) for part in first["loc"]).upper()
        raise BadSettings(f"{name}={first.get('input')!r}: {first['msg']}.", "`clicktrail config show` says what it means.") from error
