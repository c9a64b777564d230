"""START HERE: the topics, the stages and the roles, as tables. This is the only wiring.

The runtime creates topics from it, builds each role's workers from it, the README draws itself from it, the in-memory runner and the
contract tests walk over it. A stage is a pure function over a chunk (`stage.py`); what connects two stages is always a topic.

    payloads.v1 ──> ledger ──> events.v1 (rows), postbacks.v1, lookups.v1 (probes)
    visits.v1 ──> collect ──> lookups.v1 (clicks by identifier)
    lookups.v1 ──> attribution ──> matches.v1 ──> ledger
    postbacks.v1, deliveries.v1 ──> delivery ──> attempts.v1 (rows), HTTP to destinations
"""

from typing import NamedTuple


class Topic(NamedTuple):
    """A Kafka topic: `partitions` None means the setting CLICKTRAIL_PARTITIONS; retention in ms, -1 keeps for ever.

    `is_state`: the changelog of a role's state, compacted, and without what was last written CLICKTRAIL_RETENTION__STATE_DAYS ago.
    """

    name: str
    doc: str
    partitions: int | None = None
    is_compacted: bool = False
    retention_ms: int = -1
    is_state: bool = False


class Role(NamedTuple):
    """A kind of process that is scaled on its own. `inputs` of one partition number form one task with one state (co-partitioned)."""

    name: str
    doc: str
    inputs: tuple[Topic, ...]
    outputs: tuple[Topic, ...]
    changelog: Topic | None = None


DAY_MS = 86_400_000

PAYLOADS = Topic("clicktrail.payloads.v1", "payloads as received; keyed by home (account, property, transaction id) and a number")
VISITS = Topic("clicktrail.visits.v1", "visits, clicks, lander clicks and identify events; keyed by click id and a number")
LOOKUPS = Topic("clicktrail.lookups.v1", "clicks to index and probes to answer; keyed by identifier", retention_ms=7 * DAY_MS)
MATCHES = Topic("clicktrail.matches.v1", "answers to probes, on the partition of the payload that asked", retention_ms=7 * DAY_MS)
EVENTS = Topic("clicktrail.events.v1", "one row per verdict; the highest revision of an event is its current one")
POSTBACKS = Topic("clicktrail.postbacks.v1", "requests to report a conversion to a destination, on the partition of its event")
DELIVERIES = Topic("clicktrail.deliveries.v1", "a try begins, a try has ended, somebody wants a postback again", retention_ms=30 * DAY_MS)
ATTEMPTS = Topic("clicktrail.attempts.v1", "every try at a postback")
# One partition: the offset of a record is the version of the settings. Its keys carry the change, so compaction keeps the history,
# which the judgement of older payloads needs.
SETTINGS = Topic("clicktrail.settings.v1", "entities of the workspace; the offset is the settings version", partitions=1, is_compacted=True)
ACTIVITY = Topic("clicktrail.activity.v1", "who changed what, when and why", partitions=1)
LEDGER_STATE = Topic("clicktrail.ledger-state.v1", "changelog of the ledger's state", is_compacted=True, is_state=True)
DELIVERY_STATE = Topic(
    "clicktrail.delivery-state.v1", "changelog of delivery: what is to be sent, and what was", is_compacted=True, is_state=True
)
ATTRIBUTION_STATE = Topic("clicktrail.attribution-state.v1", "changelog of the identifier index", is_compacted=True, is_state=True)


def dead_letters(topic: Topic) -> Topic:
    """The topic that takes the records of `topic` that no stage could judge, bytes and coordinates kept."""
    return Topic(f"dlq.{topic.name}", f"records of {topic.name} that could not be processed, with the reason")


INGEST = Role("ingest", "receives payloads and clicks over HTTP, answers after the broker's ack", (), (PAYLOADS, VISITS))
LEDGER = Role("ledger", "judges payloads: parse, classify, dedup, settle", (PAYLOADS, MATCHES), (EVENTS, LOOKUPS, POSTBACKS), LEDGER_STATE)
ATTRIBUTION = Role("attribution", "finds the click of a conversion", (VISITS, LOOKUPS), (LOOKUPS, MATCHES), ATTRIBUTION_STATE)
DELIVERY = Role(
    "delivery",
    "sends postbacks: limits, retries, breaker, every try on record",
    (POSTBACKS, DELIVERIES),
    (ATTEMPTS, ACTIVITY, DELIVERIES, SETTINGS),  # settings: it pauses a destination that fails for days
    DELIVERY_STATE,
)
SINK = Role("sink", "writes rows to ClickHouse", (EVENTS, VISITS, ACTIVITY, ATTEMPTS), ())
CONSOLE = Role("console", "pages, API and the clicktrail command: settings, questions", (), (SETTINGS, ACTIVITY, DELIVERIES))

ROLES = (INGEST, LEDGER, ATTRIBUTION, DELIVERY, SINK, CONSOLE)
DEAD_LETTERS = tuple(dead_letters(t) for role in (LEDGER, ATTRIBUTION, DELIVERY, SINK) for t in role.inputs)
TOPICS = (
    PAYLOADS, VISITS, LOOKUPS, MATCHES, EVENTS, POSTBACKS, DELIVERIES, ATTEMPTS, SETTINGS, ACTIVITY, LEDGER_STATE, ATTRIBUTION_STATE,
    DELIVERY_STATE,
    *dict.fromkeys(DEAD_LETTERS),
)  # fmt: skip


def mermaid() -> str:
    """The picture of the pipeline, as Mermaid: roles are boxes, topics are the arrows between them."""
    lines = ["flowchart LR"]
    lines += [f'    {role.name}["{role.name}<br/><small>{role.doc}</small>"]' for role in ROLES]
    names = {topic: topic.name.removeprefix("clicktrail.") for topic in TOPICS}
    lines += [
        f"    {writer.name} -- {names[topic]} --> {reader.name}"
        for writer in ROLES
        for topic in writer.outputs
        for reader in ROLES
        if topic in reader.inputs
    ]
    lines += [
        "    senders((senders)) -- HTTP --> ingest",
        "    sink -- SQL --> clickhouse[(ClickHouse)]",
        "    delivery -- HTTP --> destinations((destinations))",
    ]
    lines += [f"    console -- {names[SETTINGS]} --> {role.name}" for role in (INGEST, LEDGER, DELIVERY)]
    return "\n".join(lines)
