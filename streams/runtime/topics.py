"""Creates the topics of the topology, in one request, and refuses to run on topics that differ in a way that breaks a promise.

Topics are never auto-created: a role that started before its topics existed consumed nothing for 60 s, silently (measured), and the
broker's defaults (one partition, seven days) would be wrong for all of them. More partitions than wanted are fine, fewer are refused:
adding partitions later moves keys to other partitions, so it is a migration that somebody must want, not a start-up's side effect.
"""

from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams.runtime import probes
from streams.runtime.errors import BadSettings, Unavailable
from streams.runtime.settings import Settings
from streams.topology import DAY_MS, TOPICS, Topic

# Compacted topics are states and settings: a segment of 64 MiB is compacted soon, so that a restore reads little more than the live keys.
COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(64 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.2"}

# A payload of 1 MiB becomes a row that carries it escaped, beside its evidence; the broker's default of 1 MiB would refuse it.
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
CREATE_S = 15.0  # for a broker that has only just started


class TopicState(NamedTuple):
    """A topic of the topology beside what the broker has: `partitions` 0 means that it does not exist."""

    topic: Topic
    wanted: int
    partitions: int

    @property
    def state(self) -> str:
        """Return ok, missing or too_few."""
        if not self.partitions:
            return "missing"
        return "ok" if self.partitions >= self.wanted else "too_few"


def configuration(topic: Topic, settings: Settings) -> dict[str, str]:
    """Return the broker's settings of a topic."""
    kept = COMPACTED if topic.is_compacted else {"cleanup.policy": "delete", "retention.ms": str(topic.retention_ms)}
    if topic.is_state:
        kept = {**kept, "cleanup.policy": "compact,delete", "retention.ms": str(settings.state_days * DAY_MS)}
    return {"max.message.bytes": str(MAX_MESSAGE_BYTES), **kept}


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
        refuse_too_few(found)
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


def refuse_too_few(found: list[TopicState]) -> None:
    """Raise BadSettings when a topic has fewer partitions than the settings want."""
    for state in found:
        if state.state == "too_few":
            raise BadSettings(
                f"{state.topic.name} has {state.partitions} partitions, {state.wanted} are wanted.",
                f"Set CLICKTRAIL_PARTITIONS={state.partitions}, or start with new topics and CLICKTRAIL_KAFKA__EPOCH raised.",
            )


async def require(settings: Settings) -> None:
    """Raise unless every topic exists with enough partitions: what each role checks before it starts."""
    admin = await connected(settings)
    try:
        found = await states(admin, settings)
    finally:
        await admin.close()
    refuse_too_few(found)
    if missing := [state.topic.name for state in found if state.state == "missing"]:
        raise BadSettings(f"Topics are missing: {', '.join(missing)}.", "Run `clicktrail topics apply`.")
