"""The manifests: current, valid against Kubernetes' and the operators' schemas, and consistent with the code. No cluster is asked."""

import json
import re

import pytest
import yaml

from deploy.k8s import SPECS
from deploy.k8s.files import files, scaled_by
from streams.runtime import settings
from streams.runtime.role_ports import ROLES, port_of
from streams.topology import TOPICS
from tests.deploy.test_images import is_command, known
from tests.deploy.tools import DEPLOY, documents, run, tool

K8S = DEPLOY / "k8s"
BASE = sorted(path for path in (K8S / "base").glob("*.yaml") if path.name != "kustomization.yaml")
CRDS = {path.stem: path for path in (K8S.parents[1] / "tests/deploy/crds").glob("*.json")}
EVERYTHING = documents(*BASE)
OVERLAYS = ("small", "production")


@pytest.fixture(scope="module", params=["base", *OVERLAYS])
def manifests(request):
    """The documents of the base, and of each overlay as kustomize builds it."""
    if request.param == "base":
        return EVERYTHING
    return list(yaml.safe_load_all(run(tool("kustomize"), "build", str(K8S / request.param))))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_files_are_current(path):
    assert path.read_text() == files()[path], "run `python -m deploy.k8s`"


def test_the_base_names_every_file():
    (base,) = documents(K8S / "base/kustomization.yaml")
    assert sorted(base["resources"]) == [path.name for path in BASE]


def test_operators_schemas_accept_them(manifests):
    """Schemas of Strimzi, KEDA and Altinity, from their repositories, descriptions taken out; fields that they do not know are faults."""
    from jsonschema import Draft7Validator

    checked = 0
    for document in manifests:
        name = f"{document['apiVersion'].replace('/', '_')}_{document['kind']}"
        if name in CRDS:
            faults = list(Draft7Validator(strict(json.loads(CRDS[name].read_text()))).iter_errors(document))
            assert not faults, f"{document['kind']} {document['metadata']['name']}: {[(list(f.path), f.message[:300]) for f in faults]}"
            checked += 1
    assert checked > 30


def strict(schema, *, is_root=True):
    """A CRD drops fields that it does not know, without a word: here they are errors."""
    if isinstance(schema, list):
        return [strict(each, is_root=False) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value, is_root=False) for key, value in schema.items()}
    if (
        isinstance(schema.get("properties"), dict)
        and "additionalProperties" not in schema
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        made["additionalProperties"] = False
        if is_root:
            made["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    return made


def test_kubernetes_schemas_accept_them(manifests, tmp_path):
    own = [each for each in manifests if re.fullmatch(r"v1|(apps|batch|policy|networking\.k8s\.io)/v1", each["apiVersion"])]
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all(own))
    run(tool("kubernetes-validate"), "--strict", str(path))
    assert len(own) > 20


def test_overlays_and_base_say_the_same_where_the_code_decides(manifests):
    """Commands, settings, probes, secrets, and that nothing can be scaled beyond its partitions, or waits for more workers than there are."""
    by_kind = {}
    for document in manifests:
        by_kind.setdefault(document["kind"], {})[document["metadata"]["name"]] = document
    secrets_made = {f"clicktrail-{name}" for name in (*ROLES, "operator")} | {"clicktrail-cluster-ca-cert"}  # by Strimzi
    secrets_given = {"clicktrail-clickhouse", "clicktrail-pii"}
    shared = by_kind["ConfigMap"]["clicktrail"]["data"]
    assert known(shared) == []
    workloads = by_kind["Deployment"] | by_kind["StatefulSet"]
    assert set(workloads) == {f"clicktrail-{role}" for role in ROLES}
    for document in (*workloads.values(), *by_kind["Job"].values()):
        pod = document["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert is_command(container["args"])
        assert known(each["name"] for each in container["env"]) == []
        assert container["securityContext"]["readOnlyRootFilesystem"]
        mounted = {each["mountPath"] for each in container["volumeMounts"]}
        for name, value in shared.items():
            if name.endswith(("_FILE", "SSL_CAFILE")):
                assert value.rpartition("/")[0] in mounted, f"{name} lies where nothing is mounted"
        assert {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v} <= secrets_made | secrets_given
    for role in ROLES:
        document = workloads[f"clicktrail-{role}"]
        (container,) = document["spec"]["template"]["spec"]["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert ports["health"] == port_of(settings.Settings(), role)
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez", "a role that restores or rebalances is alive"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        if document["kind"] == "Deployment":
            assert document["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0, "one worker too many would never be ready"
        assert by_kind["PodDisruptionBudget"][f"clicktrail-{role}"]["spec"]["maxUnavailable"] == 1
    assert by_kind["KafkaTopic"].keys() == {topic.name for topic in TOPICS}
    partitions = int(shared["CLICKTRAIL_PARTITIONS"])
    for name, topic in by_kind["KafkaTopic"].items():
        assert topic["spec"]["partitions"] in {1, partitions}, name
        assert topic["spec"]["replicas"] == int(shared["CLICKTRAIL_KAFKA__REPLICATION_FACTOR"])
    for name, scaler in by_kind["ScaledObject"].items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == name
        assert scaler["spec"]["maxReplicaCount"] <= partitions
        assert 1 <= scaler["spec"]["minReplicaCount"] <= scaler["spec"]["maxReplicaCount"]
        assert workloads[name]["spec"]["replicas"] == scaler["spec"]["minReplicaCount"]
    cluster = by_kind["ClickHouseInstallation"]["clicktrail"]["spec"]["configuration"]["clusters"][0]["name"]
    assert cluster == shared["CLICKTRAIL_CLICKHOUSE__CLUSTER"]


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.lag], ids=lambda spec: spec.name)
def test_a_role_is_scaled_by_the_lag_of_its_own_group(spec):
    (scaler,) = [d for d in EVERYTHING if d["kind"] == "ScaledObject" and d["metadata"]["name"] == f"clicktrail-{spec.name}"]
    found = {(t["metadata"]["consumerGroup"], t["metadata"]["topic"]) for t in scaler["spec"]["triggers"]}
    assert found == {(f"clicktrail.{spec.name}", topic) for topic in scaled_by(spec.name)}
    assert {topic for _, topic in found} <= {topic.name for topic in TOPICS}
