"""The settings of the two services that everything stands on, and what their clients are given to reach them.

Apart from the other settings because this is the seam of security: every client of Kafka in this code (aiokafka's consumers, producers and
admins, Faust's consumer, the requests of `membership.py`, which travel on a producer's connections) is made from `client_args()`, every
client of ClickHouse from `dsn()`. `tests/integration/test_secured.py` runs each of them against a broker with TLS and SASL.
"""

import re
import ssl
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from streams.runtime.errors import BadSettings
from streams.runtime.settings_diff import HIDDEN, SECRET_PARAMETER

USER_INFO = re.compile(r"(://)\S*@")  # to the last @: passwords hold anything


def masked(address: str) -> str:
    """Return an address without what opens it: user and password before the host, secrets in its query."""
    return SECRET_PARAMETER.sub(rf"\1{HIDDEN}", USER_INFO.sub(rf"\1{HIDDEN}@", address))


class Group(BaseModel):
    """Settings that belong together; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(Group):
    """The log."""

    bootstrap_servers: str = Field(default="127.0.0.1:9092", description="host:port, several by commas")
    epoch: int = Field(
        default=1, ge=1, description="raised when topics are created anew: the first part of event ids, so that none repeats"
    )
    replication_factor: int = Field(default=1, ge=1, description="copies of each new partition; 3 in production")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how to talk to brokers"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(default="PLAIN", description="used with SASL_*")
    sasl_username: str = Field(default="", description="used with SASL_*")
    sasl_password: SecretStr = Field(default=SecretStr(""), description="used with SASL_*")
    ssl_cafile: Path | None = Field(default=None, description="CA bundle (PEM); without it, the system's")
    ssl_certfile: Path | None = Field(default=None, description="client certificate (PEM) for mutual TLS")
    ssl_keyfile: Path | None = Field(default=None, description="its key (PEM)")

    def client_args(self) -> dict[str, Any]:
        """Return the arguments that every aiokafka client takes to reach this cluster."""
        args: dict[str, Any] = {"bootstrap_servers": self.bootstrap_servers, "security_protocol": self.security_protocol}
        if self.security_protocol in {"SSL", "SASL_SSL"}:
            args["ssl_context"] = self._tls()
        if self.security_protocol.startswith("SASL"):
            password = self.sasl_password.get_secret_value()
            args |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": password,
            }
        return args

    def _tls(self) -> ssl.SSLContext:
        """Return what certificates are checked with. BadSettings names the file that is not what it should be."""
        try:
            context = ssl.create_default_context(cafile=str(self.ssl_cafile) if self.ssl_cafile else None)
        except OSError as error:  # ssl.SSLError is one
            raise BadSettings(f"CLICKTRAIL_KAFKA__SSL_CAFILE={self.ssl_cafile}: {error}.", "It is a file of PEM certificates.") from error
        if self.ssl_certfile:
            try:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
            except OSError as error:
                what = f"CLICKTRAIL_KAFKA__SSL_CERTFILE={self.ssl_certfile}, …SSL_KEYFILE={self.ssl_keyfile}: {error}."
                raise BadSettings(what, "They are a PEM certificate and its PEM key.") from error
        return context


class ClickHouseSettings(Group):
    """Where the rows go, and what is asked."""

    url: str = Field(default="http://127.0.0.1:8123", description="HTTP interface")
    database: str = Field(default="clicktrail", description="database of the tables and views")
    user: str = Field(default="default", description="user of the sink and of queries")
    password: SecretStr = Field(default=SecretStr(""), description="its password")
    query_user: str = Field(
        default="", description="user of the SQL that people write, with grants to read only (sinks/ddl/users); empty: the user above"
    )
    query_password: SecretStr = Field(default=SecretStr(""), description="its password")
    cluster: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_{}.-]*$",
        description="cluster name: tables become Replicated and Distributed, ON CLUSTER",
    )
    ssl_cafile: Path | None = Field(default=None, description="CA bundle (PEM) for an https url; without it, the system's")

    def dsn(self) -> str:
        """Return the URL with user, password and CA in it, for clients that take nothing else; never log it."""
        password = self.password.get_secret_value()
        scheme, _, rest = self.url.rstrip("/").partition("://")
        who = f"{quote(self.user, safe='')}:{quote(password, safe='')}@" if password or self.user != "default" else ""
        trusted = f"?{urlencode({'ca_cert': self.ssl_cafile})}" if self.ssl_cafile and scheme == "https" else ""
        return f"{scheme}://{who}{rest}{trusted}"


class RetentionSettings(Group):
    """How long things are kept. The log and its rows are, by default, for ever: deleting is something that somebody must want. State is
    what is read for every payload, so it has an end.
    """

    log_days: int = Field(
        default=0, ge=0, description="days that payloads, visits, rows and postbacks stay in Kafka (`clicktrail topics apply`); 0: for ever"
    )
    rows_days: int = Field(default=0, ge=0, description="days that rows stay in ClickHouse (`clicktrail migrate`); 0: for ever")
    state_days: int = Field(
        default=400,
        ge=1,
        le=10_000,
        description="what ledger, attribution and delivery last touched so long ago they forget: older clicks match nothing, older sales have "
        "neither duplicates nor refunds, older postbacks are known no more; longer than the longest attribution and dedup window",
    )

    @property
    def state_s(self) -> int:
        """Return how long a key of state stays after it was last written."""
        return self.state_days * 86_400


class TracingSettings(Group):
    """OpenTelemetry, for whoever runs it; needs the `otel` extra. Its own OTEL_* names (headers, certificates, resource) count, too."""

    endpoint: str = Field(default="", description="where spans go, as OTLP over HTTP: http://collector:4318/v1/traces; empty: nowhere")
    ratio: float = Field(default=0.01, ge=0, le=1, description="share of payloads without a traceparent for which ingest begins a trace")
