"""Creates the topics of the topology, in one request, and refuses to run on topics that differ in a way that breaks a promise.

Topics are never auto-created: a role that started before its topics existed consumed nothing for 60 s, silently (measured), and the
broker's defaults (one partition, seven days) would be wrong for all of them. A role does not start on fewer partitions than the settings
say; nor, where keys meet state, on more: whoever still sends by 12 when the state lies on 24 has a sale counted twice. Adding
partitions is a migration that somebody must want (`growth.py`), not a start-up's side effect.
"""

import asyncio
import logging
import time
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams.runtime import probes
from streams.runtime.errors import BadSettings, Unavailable
from streams.runtime.settings import Settings
from streams.topology import ACTIVITY, DAY_MS, POSTBACKS, ROLES, TOPICS, Topic

# Compacted topics are states and settings: a segment of 64 MiB is compacted soon, so that a restore reads little more than the live keys.
COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(64 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.2"}

# A payload of 1 MiB becomes a row that carries it escaped, beside its evidence; the broker's default of 1 MiB would refuse it.
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
PATIENCE_S, LOOK_S = 60.0, 0.2  # of a role that starts beside the broker
CREATE_S = 15.0  # for a broker that has only just started


# Topics whose partition is chosen by a key that meets a state there: all of them have CLICKTRAIL_PARTITIONS, no more and no less.
KEYED = frozenset(
    topic
    for role in ROLES
    if role.changelog
    for topic in (*role.inputs, role.changelog, POSTBACKS)
    if topic.partitions is None
)  # fmt: skip


class TopicState(NamedTuple):
    """A topic of the topology beside what the broker has: `partitions` 0 means that it does not exist."""

    topic: Topic
    wanted: int
    partitions: int

    @property
    def state(self) -> str:
        """Return ok, missing, too_few or, where more are no good either, too_many."""
        if not self.partitions:
            return "missing"
        if self.partitions < self.wanted:
            return "too_few"
        return "too_many" if self.partitions > self.wanted and self.is_keyed else "ok"

    @property
    def is_keyed(self) -> bool:
        """Whether its keys meet a state on their partition."""
        return self.topic in KEYED


def configuration(topic: Topic, settings: Settings) -> dict[str, str]:
    """Return the broker's settings of a topic. With three copies, two must have a record before anybody is told that it is safe."""
    in_sync = "2" if settings.kafka.replication_factor > 2 else "1"
    return {"max.message.bytes": str(MAX_MESSAGE_BYTES), "min.insync.replicas": in_sync, **_kept(topic, settings)}


def _kept(topic: Topic, settings: Settings) -> dict[str, str]:
    if topic.is_state:
        return {**COMPACTED, "cleanup.policy": "compact,delete", "retention.ms": str(settings.retention.state_days * DAY_MS)}
    if topic.is_compacted:
        return COMPACTED
    own_ms = topic.retention_ms
    limit_ms = (topic is not ACTIVITY and settings.retention.log_days * DAY_MS) or own_ms  # the audit trail stays
    retention_ms = limit_ms if own_ms < 0 else own_ms if limit_ms < 0 else min(own_ms, limit_ms)
    return {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}


async def connected(settings: Settings, limit_s: float = probes.COMMAND_S) -> AIOKafkaAdminClient:
    """Return a started admin client. Unavailable when no broker answers in time."""
    await probes.require_kafka(settings.kafka, limit_s)
    admin = AIOKafkaAdminClient(**settings.kafka.client_args(), request_timeout_ms=15_000)
    try:
        await admin.start()
    except KafkaError as error:
        await admin.close()
        raise Unavailable(f"Kafka does not answer at {settings.kafka.bootstrap_servers}.", "Try again.") from error
    return admin


async def states(admin: AIOKafkaAdminClient, settings: Settings) -> list[TopicState]:
    """Return every topic of the topology with what the broker has of it."""
    found = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics() if not topic["error_code"]}
    return [TopicState(topic, topic.partitions or settings.partitions, found.get(topic.name, 0)) for topic in TOPICS]


async def create_missing(settings: Settings) -> list[str]:
    """Create what is missing, in one request, and return its names. BadSettings when an existing topic has too few partitions."""
    admin = await connected(settings, CREATE_S)
    try:
        found = await states(admin, settings)
        refuse_wrong_count(found)
        missing = [state for state in found if state.state == "missing"]
        if missing:
            await create(admin, missing, settings)
        return [state.topic.name for state in missing]
    finally:
        await admin.close()


async def create(admin: AIOKafkaAdminClient, missing: list[TopicState], settings: Settings) -> None:
    """Ask the broker for all of `missing`; another process may be first, that is no error."""
    copies = settings.kafka.replication_factor
    wanted = [NewTopic(s.topic.name, s.wanted, copies, topic_configs=configuration(s.topic, settings)) for s in missing]
    response = await admin.create_topics(wanted)
    for name, code, message in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise BadSettings(f"Kafka refused to create {name}: {message or for_code(code).__name__}.")


def refuse_wrong_count(found: list[TopicState]) -> None:
    """Raise BadSettings when a topic has fewer partitions than the settings want, or, where keys meet state, more."""
    counts = {state.partitions for state in found if state.is_keyed and state.partitions}
    for state in found:
        if state.state in {"too_few", "too_many"}:
            half_way = (
                f" (Others have {sorted(counts)}: `clicktrail topics grow` was interrupted; run it again.)" if len(counts) > 1 else ""
            )
            raise BadSettings(
                f"{state.topic.name} has {state.partitions} partitions, {state.wanted} are wanted.{half_way}",
                f"Set CLICKTRAIL_PARTITIONS={state.partitions}, or move to {state.wanted}: `clicktrail topics grow --help`.",
            )


async def require(settings: Settings) -> None:
    """Raise unless every topic exists with enough partitions: what each role checks before it starts."""
    admin = await connected(settings)
    try:
        found = await states(admin, settings)
    finally:
        await admin.close()
    refuse_wrong_count(found)
    if missing := [state.topic.name for state in found if state.state == "missing"]:
        raise BadSettings(f"Topics are missing: {', '.join(missing)}.", "Run `clicktrail topics apply`.")


async def until_there(settings: Settings, *, is_endless: bool = False) -> None:
    """Return when Kafka answers and every topic is there; raise what is wrong when PATIENCE_S are over.

    `is_endless`: that time begins when Kafka answers, however long that takes.
    """
    deadline = time.monotonic() + PATIENCE_S
    client = logging.getLogger("aiokafka")
    level = client.level
    client.setLevel(logging.CRITICAL)  # that nobody answers yet is what we wait for, not an error five times a second
    try:
        while True:
            try:
                return await require(settings)
            except (Unavailable, BadSettings) as error:
                if is_endless and isinstance(error, Unavailable):
                    deadline = time.monotonic() + PATIENCE_S
                elif time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOK_S)
    finally:
        client.setLevel(level)
