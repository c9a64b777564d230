"""Each rule of the doctor finds its mistake, and says nothing where there is none."""

import pytest

from console import misconfigured
from console.misconfigured import Facts
from streams.runtime.settings import Settings

REMOTE = {"bootstrap_servers": "kafka-1:9092,kafka-2:9092"}
KEY = "k" * 32
SAFE = {
    "kafka": REMOTE | {"security_protocol": "SASL_SSL", "replication_factor": 3},
    "pii_key": KEY,
    "console": {"public_url": "https://c.example"},
}

CASES = {
    misconfigured.kafka_in_clear: ({"kafka": REMOTE}, Facts(), SAFE, Facts()),
    misconfigured.clickhouse_in_clear: (
        {"clickhouse": {"url": "http://ch:8123", "password": "x"}}, Facts(), {"clickhouse": {"url": "https://ch:8443", "password": "x"}}, Facts(),
    ),
    misconfigured.one_copy: ({"kafka": REMOTE}, Facts(brokers=3), SAFE, Facts(brokers=3)),
    misconfigured.topics_differ: ({}, Facts(topic_steps=("t retention.ms 1 -> 2",)), {}, Facts(topic_steps=())),
    misconfigured.heard_by_nobody: (
        {"kafka": REMOTE}, Facts(is_container=True),
        {"kafka": REMOTE, "ingest": {"host": "0.0.0.0"}, "console": {"host": "0.0.0.0"}, "metrics_host": "0.0.0.0"}, Facts(is_container=True),
    ),
    misconfigured.links_to_nowhere: ({"kafka": REMOTE}, Facts(), SAFE, Facts()),
    misconfigured.key_of_one_machine: ({"kafka": REMOTE}, Facts(), SAFE, Facts()),
    misconfigured.disk_fills: ({}, Facts(disk_free=0.05), {}, Facts(disk_free=0.5)),
    misconfigured.idle_workers: ({}, Facts(members={"ledger": 13}, partitions=12), {}, Facts(members={"ledger": 12}, partitions=12)),
    misconfigured.unknown_cluster: ({"clickhouse": {"cluster": "c"}}, Facts(clusters=("d",)), {"clickhouse": {"cluster": "c"}}, Facts(clusters=("c",))),
    misconfigured.clocks_differ: ({}, Facts(skew_s=-70), {}, Facts(skew_s=0.1)),
    misconfigured.believes_everybody: (
        {"ingest": {"trusted_proxies": "10.0.0.0/8, 0.0.0.0/0"}}, Facts(), {"ingest": {"trusted_proxies": "10.0.0.0/8"}}, Facts(),
    ),
}  # fmt: skip


def test_every_rule_has_a_case():
    assert set(CASES) == set(misconfigured.RULES)
    assert len(CASES) >= 10


@pytest.mark.parametrize("rule", CASES, ids=lambda rule: rule.__name__)
def test_a_rule_finds_its_mistake_and_nothing_else(rule):
    wrong, wrong_facts, right, right_facts = CASES[rule]
    found = rule(Settings(**wrong), wrong_facts)
    assert found
    assert found.what
    assert "CLICKTRAIL_" in found.remedy or len(found.remedy) > 10
    assert rule(Settings(**right), right_facts) is None


def test_a_short_key_is_found():
    assert misconfigured.key_of_one_machine(Settings(pii_key="short"), Facts())


def test_a_laptop_as_it_comes_has_none():
    assert misconfigured.findings(Settings(), Facts(brokers=1, topic_steps=(), clusters=(), skew_s=0.0)) == []


def test_without_services_the_rules_that_need_them_say_nothing():
    assert misconfigured.findings(Settings(clickhouse={"cluster": "c"}), Facts()) == []
