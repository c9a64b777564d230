"""Settings: the environment first, files for secrets, no name that is ignored in silence."""

import os
import typing

import pytest
from pydantic import BaseModel, SecretStr

from console.commands import config
from schemas.entities import ENTITY_MODELS
from streams.runtime import logs, metrics, settings, topics
from streams.runtime.errors import BadSettings, Poison, Unavailable, exit_code
from streams.runtime.role_ports import port_of
from streams.runtime.settings_diff import SECRET_MAPS, differences, hide_secrets
from streams.topology import EVENTS, LEDGER_STATE, LOOKUPS, SETTINGS, TOPICS


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CLICKTRAIL_")]:
        monkeypatch.delenv(name)


def test_defaults_are_those_of_one_machine():
    found = settings.load()
    assert found.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert found.clickhouse.url == "http://127.0.0.1:8123"
    assert (found.ingest.port, found.console.port, found.metrics_port) == (8700, 8701, 8710)
    assert found.ingest_url() == "http://127.0.0.1:8700"
    assert found.ingest.max_payload_bytes == 1024 * 1024


def test_environment_goes_before_a_running_up_and_that_before_defaults(monkeypatch):
    running = {"CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9999", "CLICKTRAIL_CLICKHOUSE__URL": "http://127.0.0.1:9998"}
    monkeypatch.setenv("CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS", "kafka:9092")
    found = settings.load(running)
    assert found.kafka.bootstrap_servers == "kafka:9092"
    assert found.clickhouse.url == "http://127.0.0.1:9998"
    sources = {name: settings.source_of(name, running) for name in settings.names()}
    assert sources["CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS"] == "env"
    assert sources["CLICKTRAIL_CLICKHOUSE__URL"] == "up"
    assert sources["CLICKTRAIL_PARTITIONS"] == "default"


def test_overrides_are_merged_into_their_group(monkeypatch):
    monkeypatch.setenv("CLICKTRAIL_KAFKA__EPOCH", "7")
    found = settings.load(kafka={"bootstrap_servers": "a:1"})
    assert (found.kafka.epoch, found.kafka.bootstrap_servers) == (7, "a:1")


def test_a_secret_may_stand_in_a_file(monkeypatch, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    monkeypatch.setenv("CLICKTRAIL_CLICKHOUSE__PASSWORD_FILE", str(secret))
    found = settings.load()
    assert found.clickhouse.password.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(found)
    assert settings.source_of("CLICKTRAIL_CLICKHOUSE__PASSWORD") == "file"


def test_a_file_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("CLICKTRAIL_PII_KEY_FILE", "/nowhere/key")
    with pytest.raises(BadSettings, match="CLICKTRAIL_PII_KEY_FILE"):
        settings.load()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CLICKTRAIL_KAFKA__BOOTSTRAP_SERVER", "CLICKTRAIL_KAFKA__BOOTSTRAP_SERVERS"),
        ("CLICKTRAIL_PARTITION", "CLICKTRAIL_PARTITIONS"),
        ("CLICKTRAIL_CLICKHOUSE_URL", "CLICKTRAIL_CLICKHOUSE__URL"),
        ("CLICKTRAIL_XQZW", "config show"),
    ],
)
def test_an_unknown_name_stops_the_program_with_a_hint(monkeypatch, name, hint):
    monkeypatch.setenv(name, "1")
    with pytest.raises(BadSettings) as caught:
        settings.load()
    assert name in str(caught.value)
    assert hint in caught.value.remedy
    assert exit_code(caught.value) == 2


@pytest.mark.parametrize(
    ("name", "value"), [("CLICKTRAIL_PARTITIONS", "many"), ("CLICKTRAIL_KAFKA__EPOCH", "0"), ("CLICKTRAIL_LOG_LEVEL", "loud")]
)
def test_a_wrong_value_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=name):
        settings.load()


def test_every_setting_says_what_it_means_and_secrets_are_masked(monkeypatch):
    monkeypatch.setenv("CLICKTRAIL_PII_KEY", "topsecret")
    monkeypatch.setenv("CLICKTRAIL_CLICKHOUSE__URL", "http://sink:topsecret@db.example:8123")
    rows = config.rows({})
    assert "topsecret" not in str(rows)
    assert {row["name"] for row in rows} == set(settings.names())
    assert all(row["meaning"] for row in rows)
    key = next(row for row in rows if row["name"] == "CLICKTRAIL_PII_KEY")
    assert (key["value"], key["source"]) == ("***", "env")


def test_no_name_looks_like_a_file_that_holds_a_value():
    """`X_FILE` is how the value of X is read from a file: a setting called so would be passed over in silence."""
    assert [name for name in settings.names() if name.endswith("_FILE")] == []


def test_the_key_of_hashes_is_set_or_kept_or_an_error(tmp_path):
    with pytest.raises(BadSettings, match="No key"):
        settings.Settings(data_dir=tmp_path).pii_secret()
    (tmp_path / "pii.key").write_text("kept\n")
    assert settings.Settings(data_dir=tmp_path).pii_secret() == b"kept"
    assert settings.Settings(data_dir=tmp_path, pii_key="given").pii_secret() == b"given"


def test_clients_get_what_they_need():
    plain = settings.Settings()
    assert plain.clickhouse.dsn() == "http://127.0.0.1:8123"
    assert plain.kafka.client_args() == {"bootstrap_servers": "127.0.0.1:9092", "security_protocol": "PLAINTEXT"}
    sasl = settings.load(
        kafka={"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password": "p"}, clickhouse={"user": "ann", "password": "a/b"}
    )
    assert sasl.clickhouse.dsn() == "http://ann:a%2Fb@127.0.0.1:8123"
    assert {"ssl_context", "sasl_mechanism", "sasl_plain_password"} <= sasl.kafka.client_args().keys()


def test_a_worker_has_the_same_name_after_a_restart():
    assert settings.Settings().instance_of("ledger") == settings.Settings().instance_of("ledger")
    assert settings.Settings().instance_of("ledger") != settings.Settings().instance_of("sink")
    assert settings.Settings(instance="pod-3").instance_of("ledger") == "pod-3"
    assert port_of(settings.Settings(), "ingest") == 8710


def test_errors_map_to_exit_codes():
    assert [exit_code(error) for error in (BadSettings("x"), Unavailable("x"), Poison("too_large", "x"), ValueError("x"))] == [2, 3, 1, 1]


def test_topics_are_configured_as_the_topology_says():
    plain = settings.Settings(retention={"state_days": 30})
    state = topics.configuration(LEDGER_STATE, plain)
    assert (state["cleanup.policy"], state["retention.ms"]) == ("compact,delete", str(30 * 86_400_000))
    assert topics.configuration(SETTINGS, plain)["cleanup.policy"] == "compact"
    assert topics.configuration(LOOKUPS, plain)["retention.ms"] == str(LOOKUPS.retention_ms)
    assert all(int(topics.configuration(topic, plain)["max.message.bytes"]) > 1 << 20 for topic in TOPICS)


def test_a_wrong_count_of_partitions_is_refused_more_are_fine_where_no_key_meets_state():
    few, many, rows = (topics.TopicState(*each) for each in ((LOOKUPS, 12, 4), (LOOKUPS, 12, 24), (EVENTS, 12, 24)))
    assert [state.state for state in (few, many, rows, topics.TopicState(LOOKUPS, 12, 0))] == ["too_few", "too_many", "ok", "missing"]
    topics.refuse_wrong_count([rows])
    for wrong, count in ((few, 4), (many, 24)):
        with pytest.raises(BadSettings, match=f"has {count} partitions"):
            topics.refuse_wrong_count([wrong])


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Can't find refId: ann.b+c@shop.example", "ann"),
        ("GET /in/x?email=ann%40shop.example&token=abc123", "abc123"),
        ("Authorization: Bearer abc123", "abc123"),
        ('{"password": "abc123"}', "abc123"),
        ("click_id=abc123&sub=1", "abc123"),
    ],
)
def test_a_log_line_shows_no_persons_and_no_secrets(text, hidden):
    assert hidden not in logs.mask(text)
    assert "***" in logs.mask(text)


def test_metrics_stand_in_one_table():
    names = [metric.name for metric in metrics.TABLE]
    assert len(set(names)) == len(names)
    assert all(metric.meaning and metric.unit and metric.name.startswith("clicktrail_") for metric in metrics.TABLE)
    assert metrics.counter("clicktrail_sink_rows") is metrics.counter("clicktrail_sink_rows")
    with pytest.raises(KeyError):
        metrics.counter("clicktrail_typo")


def secrets_of(annotation, path=""):
    """Paths of the fields of a settings model that are secret by their type."""
    if annotation is SecretStr:
        yield path
    for inner in typing.get_args(annotation):
        yield from secrets_of(inner, path)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield from secrets_of(field.annotation, f"{path}.{name}")


def test_every_field_that_is_secret_by_its_type_is_hidden_by_its_name():
    """An audit log is read by more people than the settings: a new kind of secret must not depend on somebody remembering this."""
    paths = {path for model in ENTITY_MODELS.values() for path in secrets_of(model)} | {".sha256"}
    assert {".auth.token", ".auth.secret", ".headers"} <= paths
    for path in paths:
        *outer, name = path.removeprefix(".").split(".")
        value = {"X-Key": "s3cret"} if name in SECRET_MAPS else "s3cret"
        for part in (name, *reversed(outer)):
            value = {part: value}
        assert "s3cret" not in str(hide_secrets(value)), path
        assert "s3cret" not in str(differences(None, value)), path
        assert "s3cret" not in str(differences(value, {})), path


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ads.example/?api_key=K1&c={click_id}", "https://ads.example/?api_key=***&c={click_id}"),
        ("https://ads.example/?c=1&Access_Token=K1#x", "https://ads.example/?c=1&Access_Token=***#x"),
        ("https://ads.example/?token={var:token}&monkey=1", "https://ads.example/?token={var:token}&monkey=1"),
    ],
)
def test_a_secret_in_an_address_is_hidden(address, shown):
    assert hide_secrets({"url": address}) == {"url": shown}
    assert differences({"url": "https://x.example"}, {"url": address})[0]["after"] == shown


def test_a_changed_header_is_shown_by_its_name():
    assert differences({"headers": {"A": "1", "B": "2"}}, {"headers": {"A": "3", "B": "2"}}) == [
        {"path": "headers.A", "before": "***", "after": "***"}
    ]


def test_a_difference_shows_fields_and_never_secrets():
    before = {"name": "a", "auth": {"kind": "token", "token": "one"}, "paths": [{"weight": 1}, {"weight": 2}]}
    after = {"name": "b", "auth": {"kind": "token", "token": "two"}, "paths": [{"weight": 1}, {"weight": 3}], "new": [1]}
    assert differences(before, after) == [
        {"path": "name", "before": "a", "after": "b"},
        {"path": "auth.token", "before": "***", "after": "***"},
        {"path": "paths[1].weight", "before": 2, "after": 3},
        {"path": "new", "before": None, "after": [1]},
    ]
    assert differences(after, after) == []
    assert hide_secrets(after)["auth"] == {"kind": "token", "token": "***"}
    assert differences(None, {"auth": {"token": "one"}}) == [{"path": "auth", "before": None, "after": {"token": "***"}}]
