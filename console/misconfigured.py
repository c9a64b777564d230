"""The misconfigurations that are made most often, as rules over settings and facts: `clicktrail doctor` names those that it finds.

A rule is a function of both and knows no service, so each is tested by itself; `facts.gather` asks the services once for all. What a
rule finds is a warning: it works today, and hurts on the day that a broker dies, a pod moves or somebody listens.
"""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from streams.runtime.settings import Settings

LITTLE_DISK = 0.15
SHORT_KEY = 16
SKEW_S = 5


class Facts(NamedTuple):
    """What the services and this machine say. None: nobody answered, the rules that need it say nothing."""

    is_container: bool = False
    disk_free: float = 1.0
    brokers: int | None = None
    topic_steps: tuple[str, ...] | None = None  # what `topics apply --dry-run` would do or refuse
    members: dict[str, int] | None = None  # workers by role
    partitions: int | None = None  # of the payloads
    clusters: tuple[str, ...] | None = None  # that ClickHouse knows
    skew_s: float | None = None  # ClickHouse's clock against this one


class Finding(NamedTuple):
    """`what` is the case, `remedy` is the next step."""

    what: str
    remedy: str


Rule = Callable[[Settings, Facts], Finding | None]


def is_here(host: str | None) -> bool:
    """Say whether an address is this machine's own."""
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def is_remote(settings: Settings) -> bool:
    """Say whether Kafka is on another machine: then this is no laptop."""
    return not all(is_here(urlsplit(f"//{server}").hostname) for server in settings.kafka.bootstrap_servers.split(","))


def kafka_in_clear(settings: Settings, _: Facts) -> Finding | None:
    """Payloads, or the password itself, pass a network unencrypted."""
    if not is_remote(settings) or settings.kafka.security_protocol in {"SSL", "SASL_SSL"}:
        return None
    what = "the password of Kafka goes" if settings.kafka.security_protocol == "SASL_PLAINTEXT" else "payloads go"
    return Finding(f"{what} over the network in clear", "Set CLICKTRAIL_KAFKA__SECURITY_PROTOCOL=SASL_SSL and the cluster's …SSL_CAFILE.")


def clickhouse_in_clear(settings: Settings, _: Facts) -> Finding | None:
    """The password of ClickHouse passes a network unencrypted."""
    parts = urlsplit(settings.clickhouse.url)
    if parts.scheme == "https" or is_here(parts.hostname) or not settings.clickhouse.password.get_secret_value():
        return None
    return Finding(
        "the password of ClickHouse goes over the network in clear", "Use an https address, or keep the network closed to others."
    )


def one_copy(settings: Settings, facts: Facts) -> Finding | None:
    """One copy of everything although there are brokers for three."""
    if settings.kafka.replication_factor > 1 or facts.brokers is None or facts.brokers < 3:
        return None
    return Finding(
        f"one copy of each record on {facts.brokers} brokers", "Set CLICKTRAIL_KAFKA__REPLICATION_FACTOR=3: one lost disk is lost payloads."
    )


def topics_differ(_: Settings, facts: Facts) -> Finding | None:
    """Somebody changed a topic by hand, or the settings since."""
    if not facts.topic_steps:
        return None
    return Finding(
        f"{len(facts.topic_steps)} settings of topics differ: {facts.topic_steps[0]}",
        "`clicktrail topics apply --dry-run` shows all of them.",
    )


def heard_by_nobody(settings: Settings, facts: Facts) -> Finding | None:
    """In a container, a loopback address is reached by nothing outside of it: senders, probes, Prometheus."""
    hosts = {"INGEST__HOST": settings.ingest.host, "CONSOLE__HOST": settings.console.host, "METRICS_HOST": settings.metrics_host}
    closed = [name for name, host in hosts.items() if is_here(host)]
    if not facts.is_container or not closed or not is_remote(settings):
        return None
    return Finding(f"in a container, and listening on loopback only: {', '.join(closed)}", f"Set CLICKTRAIL_{closed[0]}=0.0.0.0.")


def links_to_nowhere(settings: Settings, _: Facts) -> Finding | None:
    """Answers carry a link to the inspector; without a public address it names the address that the console listens on."""
    if settings.console.public_url or (is_here(settings.console.host) and not is_remote(settings)):
        return None
    return Finding(f"links in answers lead to {settings.console_url()}", "Set CLICKTRAIL_CONSOLE__PUBLIC_URL to what people type.")


def key_of_one_machine(settings: Settings, _: Facts) -> Finding | None:
    """Identifiers are hashed with a key; a worker with another one finds no click of anybody."""
    if settings.pii_key is None:
        if is_remote(settings):
            what = "the key of the identifier hashes is this machine's own: other workers have other ones"
            return Finding(what, "Set the same CLICKTRAIL_PII_KEY (or …_FILE) for every role, once and for ever.")
        return None
    if len(settings.pii_key.get_secret_value()) < SHORT_KEY:
        return Finding(
            "the key of the identifier hashes is short enough to be guessed",
            "Before the first payload: 32 random bytes, `openssl rand -hex 32`.",
        )
    return None


def disk_fills(settings: Settings, facts: Facts) -> Finding | None:
    """State, and payloads while the broker is away, need room."""
    if facts.disk_free >= LITTLE_DISK:
        return None
    return Finding(f"{facts.disk_free:.0%} of the disk under {settings.data_dir} is free", "Make room, or set CLICKTRAIL_DATA_DIR.")


def idle_workers(_: Settings, facts: Facts) -> Finding | None:
    """A worker more than there are partitions owns none, is never ready, and holds up a rollout."""
    for role, count in (facts.members or {}).items():
        if facts.partitions is not None and count > facts.partitions:
            return Finding(
                f"{count} workers of {role} share {facts.partitions} partitions",
                f"Run at most {facts.partitions}, or `clicktrail topics grow`.",
            )
    return None


def unknown_cluster(settings: Settings, facts: Facts) -> Finding | None:
    """ON CLUSTER with a name that ClickHouse does not know fails at the first migration."""
    name = settings.clickhouse.cluster
    if not name or facts.clusters is None or name in facts.clusters:
        return None
    return Finding(
        f"ClickHouse knows no cluster {name!r}, only {', '.join(facts.clusters) or 'none'}",
        "Set CLICKTRAIL_CLICKHOUSE__CLUSTER to one of these.",
    )


def clocks_differ(_: Settings, facts: Facts) -> Finding | None:
    """Times of receipt are this machine's, TTLs and charts are ClickHouse's."""
    if facts.skew_s is None or abs(facts.skew_s) < SKEW_S:
        return None
    return Finding(f"ClickHouse's clock is {facts.skew_s:+.0f} s off this machine's", "Let both follow NTP.")


def believes_everybody(settings: Settings, _: Facts) -> Finding | None:
    """X-Forwarded-For is believed from anywhere: a sender chooses its own address, past every allow-list."""
    named = [part.strip() for part in settings.ingest.trusted_proxies.split(",") if part.strip()]
    if not any(ip_network(part, strict=False).prefixlen == 0 for part in named):
        return None
    return Finding("X-Forwarded-For is believed from any address", "Set CLICKTRAIL_INGEST__TRUSTED_PROXIES to your proxies' networks only.")


RULES: tuple[Rule, ...] = (
    kafka_in_clear, clickhouse_in_clear, one_copy, topics_differ, heard_by_nobody, links_to_nowhere, key_of_one_machine, disk_fills, idle_workers,
    unknown_cluster, clocks_differ, believes_everybody,
)  # fmt: skip


def findings(settings: Settings, facts: Facts) -> list[Finding]:
    """Return what the rules find."""
    return [found for rule in RULES if (found := rule(settings, facts)) is not None]
