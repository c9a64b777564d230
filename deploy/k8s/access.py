"""Who may do what in Kafka, from the topology: a role reads its inputs, writes its outputs, keeps its changelog, buries what it cannot judge.

Every role may describe all topics, as it refuses to start on topics that are not as they should be. Nobody but `operator` may create,
alter or delete: a role that was broken into can write nonsense into its own outputs, and nothing else.
`tests/integration/test_access.py` runs the roles against a broker that enforces exactly this.
"""

from typing import NamedTuple

from streams.runtime.role_ports import ROLES as NAMES
from streams.runtime.settings_store import TRANSACTIONAL_ID
from streams.topology import DEAD_LETTERS, ROLES, SETTINGS, SINK, Topic, dead_letters

PREFIXES = ("clicktrail.", "dlq.clicktrail.")
FOLLOWERS = ("ingest", "ledger", "delivery", "console")  # roles that read the settings
OPERATOR = "operator"  # `clicktrail topics`, `apply`, `doctor` …: a person or a job


class Acl(NamedTuple):
    """One grant: `kind` is topic, group or transactionalId."""

    kind: str
    name: str
    operations: tuple[str, ...]
    is_prefix: bool = False


def acls(name: str) -> list[Acl]:
    """Return the grants of a role, or of the operator."""
    if name == OPERATOR:
        everything = [Acl("topic", prefix, ("All",), is_prefix=True) for prefix in PREFIXES]
        return [
            *everything,
            Acl("group", "clicktrail.", ("All",), is_prefix=True),
            Acl("transactionalId", "clicktrail.", ("All",), is_prefix=True),
        ]
    reads: list[Topic] = [SETTINGS] if name in FOLLOWERS else []
    writes: list[Topic] = []
    if name == SINK.name:
        reads += DEAD_LETTERS  # they are rows, too
    for role in (role for role in ROLES if role.name == name):
        reads += role.inputs
        writes += role.outputs
        writes += [dead_letters(topic) for topic in role.inputs if not topic.name.startswith("dlq.")]
        if role.changelog:
            reads.append(role.changelog)
            writes.append(role.changelog)
    if name == "console":
        return [
            *(Acl("topic", prefix, ("Read", "Describe"), is_prefix=True) for prefix in PREFIXES),
            *_topics([], writes),
            Acl("group", "clicktrail.", ("Describe",), is_prefix=True),
            Acl("transactionalId", "clicktrail.", ("Write", "Describe"), is_prefix=True),
        ]
    group = f"clicktrail.{name}"
    # Whoever changes settings takes their one transactional id, which is the lock (streams/runtime/settings_store.py).
    settings = [Acl("transactionalId", TRANSACTIONAL_ID, ("Write", "Describe"))] if SETTINGS in writes else []
    return [
        *(Acl("topic", prefix, ("Describe",), is_prefix=True) for prefix in PREFIXES),
        *_topics(reads, writes),
        Acl("group", group, ("Read",)),
        Acl("transactionalId", group, ("Write", "Describe"), is_prefix=True),
        *settings,
    ]


def _topics(reads: list[Topic], writes: list[Topic]) -> list[Acl]:
    found = []
    for name in sorted({topic.name for topic in (*reads, *writes)}):
        operations = [word for word, topics in (("Read", reads), ("Write", writes)) if name in {topic.name for topic in topics}]
        found.append(Acl("topic", name, tuple(operations)))
    return found


USERS = (*NAMES, OPERATOR)
