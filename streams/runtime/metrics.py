"""Every metric of the roles: name, kind, unit and meaning in one table; a name that is not in it cannot be used.

One table, because dashboards, alerts and the documentation are read off it, and because a metric that nobody can look up is noise.
Labels come from closed sets only: roles, topics, partitions, statuses, error classes; never a click id, a URL or a source id.
Counted per chunk, not per event: a counter's `inc` costs 0.2 us, which a stage's budget does not have. (Ingest counts per request, and
looks its children up once: `streams/ingest/metrics.py`.)
"""

from typing import Literal, NamedTuple

from prometheus_client import Counter, Gauge, Histogram

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One line of the table. Counters are exposed with `_total` behind the name, as OpenMetrics wants it."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


PAGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.3, 0.5, 1.0, 2.5, 5.0, 20.0)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ANSWERS = (0.002, 0.005, 0.01, 0.02, 0.04, 0.07, 0.15, 0.3, 0.6, 1.2, 2.5)
RECORDS = (1, 10, 50, 100, 250, 500, 1000, 2000, 5000, 20000, 100000)

TABLE = (
    Metric("clicktrail_records", "counter", "records", "records read and finished", ("role", "topic")),
    Metric("clicktrail_outputs", "counter", "records", "records written by a stage", ("role", "topic")),
    Metric("clicktrail_transactions", "counter", "transactions", "Kafka transactions committed", ("role",)),
    Metric(
        "clicktrail_transaction_seconds", "histogram", "seconds", "from the first record of a transaction to its commit", ("role",), SECONDS
    ),
    Metric("clicktrail_chunk_records", "histogram", "records", "size of the chunks that a stage was handed", ("role",), RECORDS),
    Metric("clicktrail_chunk_seconds", "histogram", "seconds", "time that a stage took for a chunk", ("role",), SECONDS),
    Metric("clicktrail_dead_letters", "counter", "records", "records sent to dead letters", ("role", "topic", "error_class")),
    Metric(
        "clicktrail_lag_records",
        "gauge",
        "records",
        "offsets between what is committed and the end, of this worker's partitions",
        ("role", "topic"),
    ),
    Metric("clicktrail_disk_free_ratio", "gauge", "ratio", "free part of the disk that data_dir is on", ("role",)),
    Metric("clicktrail_assigned_partitions", "gauge", "partitions", "partitions that this worker owns", ("role",)),
    Metric("clicktrail_waiting_seconds", "gauge", "seconds", "age of the oldest work that is not committed", ("role", "partition")),
    Metric("clicktrail_restored_records", "gauge", "records", "changelog records replayed since the assignment", ("role", "partition")),
    Metric("clicktrail_restore_remaining_records", "gauge", "records", "changelog records still to replay", ("role", "partition")),
    Metric("clicktrail_settings_version", "gauge", "offset", "version of the settings that this worker knows", ("role",)),
    Metric("clicktrail_sink_rows", "counter", "rows", "rows inserted into ClickHouse", ("table",)),
    Metric("clicktrail_sink_insert_seconds", "histogram", "seconds", "duration of an insert", ("table",), SECONDS),
    Metric("clicktrail_sink_retries", "counter", "inserts", "inserts tried again, by what went wrong", ("table", "cause")),
    Metric("clicktrail_sink_known_rows", "counter", "rows", "rows found present by the read-back and not sent again", ("table",)),
    Metric("clicktrail_delivery_tries", "counter", "tries", "postbacks tried, by how it ended", ("verdict",)),
    Metric("clicktrail_delivery_in_flight", "gauge", "tries", "tries under way, as of the last look at /readyz"),
    Metric("clicktrail_delivery_waiting", "gauge", "postbacks", "postbacks at hand that wait, as of the last look at /readyz"),
    Metric("clicktrail_event_age_seconds", "histogram", "seconds", "from a payload's receipt to its row in ClickHouse", (), SECONDS),
    Metric("clicktrail_ingest_requests", "counter", "requests", "requests answered, by route and status", ("route", "status")),
    Metric("clicktrail_ingest_records", "counter", "records", "records accepted, by where they went first: log or spool", ("where",)),
    Metric("clicktrail_ingest_bytes", "counter", "bytes", "bytes of payloads accepted"),
    Metric("clicktrail_ingest_refused", "counter", "requests", "requests and bulk lines refused, by error code", ("code",)),
    Metric(
        "clicktrail_ingest_answer_seconds", "histogram", "seconds", "from the last byte of a request to its answer", ("route",), ANSWERS
    ),
    Metric("clicktrail_ingest_in_flight_bytes", "gauge", "bytes", "bytes waiting for the broker's ack or the spool"),
    Metric("clicktrail_ingest_spool_bytes", "gauge", "bytes", "bytes in the spool that the broker does not have yet"),
    Metric("clicktrail_ingest_spooling", "gauge", "boolean", "1 while new payloads go to the spool"),
    Metric("clicktrail_ingest_drained", "counter", "records", "records drained from the spool"),
    Metric("clicktrail_ingest_producers_replaced", "counter", "producers", "producers given up after a fatal error or a stall"),
    Metric(
        "clicktrail_ingest_unrecorded_clicks", "counter", "clicks", "visitors sent on although neither broker nor spool took their click"
    ),
    Metric("clicktrail_console_requests", "counter", "requests", "requests answered, by route and status", ("route", "status")),
    Metric(
        "clicktrail_console_answer_seconds", "histogram", "seconds", "from a request's header to the end of its answer", ("route",), PAGES
    ),
    Metric("clicktrail_console_live_tails", "gauge", "connections", "live tails that are open"),
)

BY_NAME = {metric.name: metric for metric in TABLE}
_MADE: dict[str, Counter | Gauge | Histogram] = {}


def _made(name: str, kind: Kind) -> Counter | Gauge | Histogram:
    metric = BY_NAME[name]  # a KeyError here is a name that the table lacks
    assert metric.kind == kind, f"{name} is a {metric.kind}"
    if name not in _MADE:
        meaning = f"{metric.meaning} ({metric.unit})"
        if metric.kind == "histogram":
            _MADE[name] = Histogram(name, meaning, metric.labels, buckets=metric.buckets)
        else:
            _MADE[name] = (Counter if metric.kind == "counter" else Gauge)(name, meaning, metric.labels)
    return _MADE[name]


def counter(name: str) -> Counter:
    """Return the counter of this name, made at its first use."""
    made = _made(name, "counter")
    assert isinstance(made, Counter)
    return made


def gauge(name: str) -> Gauge:
    """Return the gauge of this name, made at its first use."""
    made = _made(name, "gauge")
    assert isinstance(made, Gauge)
    return made


def histogram(name: str) -> Histogram:
    """Return the histogram of this name, made at its first use."""
    made = _made(name, "histogram")
    assert isinstance(made, Histogram)
    return made
