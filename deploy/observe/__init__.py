"""What is watched: Grafana's dashboards and alert rules as tables, written as its files by `python -m deploy.observe`.

Tables, because a dashboard's JSON is 2,000 lines of defaults in which nobody sees that a metric was renamed. Every query here is held
against the registry of metrics, names and labels (tests/deploy/test_observe.py), and those in SQL are run on the engine. Prometheus'
alerts are its own file, `alerts.yaml`, with its own tests beside it; what is told per source or per destination is asked of ClickHouse
(a workspace may have thousands of them: no label for Prometheus), by the recipes of the SQL cookbook.
"""

# ruff: noqa: S608 - queries of our own

from typing import NamedTuple

PROMETHEUS, CLICKHOUSE = "prometheus", "clickhouse"


class Panel(NamedTuple):
    """One picture. `legend` names the series by label; `unit` is Grafana's."""

    title: str
    query: str
    unit: str = "short"
    legend: str = ""
    source: str = PROMETHEUS


class Dashboard(NamedTuple):
    """A page of panels, two in a row."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


class Rule(NamedTuple):
    """An alert that is asked of ClickHouse: `recipe` returns a row per thing that is wrong; `runbook` is a heading of deploy/README.md."""

    uid: str
    title: str
    recipe: str
    runbook: str
    every: str = "5m"


def _quantile(quantile: float, name: str, by: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le, {by}) (rate({name}_bucket[5m])))"


PIPELINE = Dashboard(
    "clicktrail-pipeline",
    "Clicktrail: pipeline",
    (
        Panel("Accepted at the door", "sum by (where) (rate(clicktrail_ingest_records_total[5m]))", "ops", "{{where}}"),
        Panel("Answers", "sum by (status) (rate(clicktrail_ingest_requests_total[5m]))", "ops", "{{status}}"),
        Panel("Refused at the door", "sum by (code) (rate(clicktrail_ingest_refused_total[5m]))", "ops", "{{code}}"),
        Panel("Answer time, p99", _quantile(0.99, "clicktrail_ingest_answer_seconds", "route"), "s", "{{route}}"),
        Panel("Finished records", "sum by (role, topic) (rate(clicktrail_records_total[5m]))", "ops", "{{role}} {{topic}}"),
        Panel("Lag", "sum by (role, topic) (clicktrail_lag_records)", "short", "{{role}} {{topic}}"),
        Panel("Receipt to row, p99", "histogram_quantile(0.99, sum by (le) (rate(clicktrail_event_age_seconds_bucket[5m])))", "s", "p99"),
        Panel("Receipt to row, p50", "histogram_quantile(0.5, sum by (le) (rate(clicktrail_event_age_seconds_bucket[5m])))", "s", "p50"),
        Panel("Rows written", "sum by (table) (rate(clicktrail_sink_rows_total[5m]))", "ops", "{{table}}"),
        Panel("Insert time, p99", _quantile(0.99, "clicktrail_sink_insert_seconds", "table"), "s", "{{table}}"),
        Panel("Postbacks tried", "sum by (verdict) (rate(clicktrail_delivery_tries_total[5m]))", "ops", "{{verdict}}"),
        Panel("Postbacks that wait", "sum(clicktrail_delivery_waiting)", "short", "waiting"),
        Panel("Postbacks under way", "sum(clicktrail_delivery_in_flight)", "short", "under way"),
        Panel("Dead letters", "sum by (role, topic, error_class) (increase(clicktrail_dead_letters_total[1h]))", "short", "{{topic}} {{error_class}}"),
        Panel("Inserts tried again", "sum by (table, cause) (rate(clicktrail_sink_retries_total[5m]))", "ops", "{{table}} {{cause}}"),
    ),
)  # fmt: skip

ROLES = Dashboard(
    "clicktrail-roles",
    "Clicktrail: roles",
    (
        Panel("Up", 'min by (instance) (up{job="clicktrail"})', "short", "{{instance}}"),
        Panel("Partitions owned", "sum by (role, instance) (clicktrail_assigned_partitions)", "short", "{{role}} {{instance}}"),
        Panel("Transaction, p99", _quantile(0.99, "clicktrail_transaction_seconds", "role"), "s", "{{role}}"),
        Panel("Transactions", "sum by (role) (rate(clicktrail_transactions_total[5m]))", "ops", "{{role}}"),
        Panel("Chunk size, p50", _quantile(0.5, "clicktrail_chunk_records", "role"), "short", "{{role}}"),
        Panel("Chunk time, p99", _quantile(0.99, "clicktrail_chunk_seconds", "role"), "s", "{{role}}"),
        Panel(
            "Restore: still to replay", "sum by (role, instance) (clicktrail_restore_remaining_records)", "short", "{{role}} {{instance}}"
        ),
        Panel("Oldest work without a commit", "max by (role, instance) (clicktrail_waiting_seconds)", "s", "{{role}} {{instance}}"),
        Panel("Spool", "sum by (instance) (clicktrail_ingest_spool_bytes)", "bytes", "{{instance}}"),
        Panel("Waiting for the broker", "sum by (instance) (clicktrail_ingest_in_flight_bytes)", "bytes", "{{instance}}"),
        Panel("Disk free", "min by (role, instance) (clicktrail_disk_free_ratio)", "percentunit", "{{role}} {{instance}}"),
        Panel("Console: answers", "sum by (route, status) (rate(clicktrail_console_requests_total[5m]))", "ops", "{{route}} {{status}}"),
        Panel("Console: answer time, p99", _quantile(0.99, "clicktrail_console_answer_seconds", "route"), "s", "{{route}}"),
        Panel("Console: live tails", "sum by (instance) (clicktrail_console_live_tails)", "short", "{{instance}}"),
        Panel("Settings version", "max by (role, instance) (clicktrail_settings_version)", "short", "{{role}} {{instance}}"),
    ),
)

_RANGE = "received_at >= $__fromTime AND received_at <= $__toTime"
VERDICTS = Dashboard(
    "clicktrail-verdicts",
    "Clicktrail: verdicts",
    tuple(
        Panel(title, sql, source=CLICKHOUSE)
        for title, sql in (
            ("Verdicts per minute", f"SELECT toStartOfMinute(received_at) AS time, status, count() AS verdicts FROM events WHERE {_RANGE} GROUP BY time, status ORDER BY time"),
            ("Reasons", f"SELECT status, reason, count() AS verdicts FROM events WHERE {_RANGE} GROUP BY status, reason ORDER BY verdicts DESC"),
            ("Error share by source", f"SELECT source_id, round(100 * countIf(status = 'error') / count(), 1) AS error_percent, count() AS payloads FROM events WHERE {_RANGE} GROUP BY source_id ORDER BY error_percent DESC LIMIT 50"),
            ("Recorded value", f"SELECT toStartOfHour(received_at) AS time, currency, sum(toFloat64(events.value)) AS recorded FROM events WHERE {_RANGE} AND status = 'ok' AND NOT is_test GROUP BY time, currency ORDER BY time"),
            ("Postbacks per minute", "SELECT toStartOfMinute(postback_time) AS time, state, count() AS postbacks FROM postbacks WHERE postback_time >= $__fromTime AND postback_time <= $__toTime GROUP BY time, state ORDER BY time"),
            ("Dead letters", "SELECT origin_topic, error, count() AS records, max(failed_at) AS last FROM dead_letters WHERE logged_at >= $__fromTime AND logged_at <= $__toTime GROUP BY origin_topic, error ORDER BY last DESC"),
        )
    ),
)  # fmt: skip

DASHBOARDS = (PIPELINE, ROLES, VERDICTS)

RULES = (
    Rule("clicktrail-source-silent", "A source fell silent", "source_silence", "a-source-fell-silent"),
    Rule("clicktrail-source-drifts", "The status mix of a source drifts", "status_drift", "the-status-mix-of-a-source-drifts"),
    Rule("clicktrail-destination-fails", "A destination fails", "destinations_failing", "a-destination-fails", "1m"),
)
