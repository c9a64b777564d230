"""Kubernetes manifests: what differs from role to role as a table; the files that follow from it and from the topology are generated.

`python -m deploy.k8s` writes base/topics.yaml, base/users.yaml and base/<role>.yaml. Ports, groups, topics, partitions and ACLs come from the
code, so no manifest can fall behind it (a test says when one is not current). Everything else under base/ is written by hand.

Decisions that a reader may wonder about:
- Rollouts go without surge. A worker is ready when it owns partitions and has restored them; one more than there are partitions would
  wait for ever, and the rollout with it.
- Liveness asks /livez only: restoring and rebalancing are alive. Readiness asks /readyz, which a rollout and a PodDisruptionBudget wait for.
- State is a cache: an emptyDir. A pod that is made anew restores from its changelog. Ingest is the exception: its spool holds payloads that were
  answered 2xx while the broker was away, so it is a StatefulSet with a volume of its own, and it scales by CPU, having no lag.
"""

from typing import NamedTuple

IMAGE = "clicktrail"
CLUSTER = "clicktrail"  # Strimzi's name of the Kafka cluster
BOOTSTRAP = f"{CLUSTER}-kafka-bootstrap:9093"
PARTITIONS = 12
COPIES = 3


class RoleSpec(NamedTuple):
    """What a role needs. `lag` is the lag per replica at which KEDA adds one."""

    name: str
    replicas: int
    most: int
    cpu: str
    memory: str
    state_gib: int
    lag: int = 0
    serves: int | None = None  # port of its service, beside health


SPECS = (
    RoleSpec("ingest", 2, 8, "500m", "512Mi", 5, serves=8700),
    RoleSpec("ledger", 2, PARTITIONS, "1", "1Gi", 20, lag=20_000),
    RoleSpec("attribution", 2, PARTITIONS, "1", "1Gi", 20, lag=20_000),
    RoleSpec("sink", 2, PARTITIONS, "500m", "1Gi", 1, lag=50_000),
    RoleSpec("delivery", 1, PARTITIONS, "500m", "512Mi", 10, lag=5_000),
    RoleSpec("console", 1, 1, "250m", "512Mi", 1, serves=8701),
)
