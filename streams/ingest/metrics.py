"""Every metric of ingest, in one place: name, kind, labels from closed sets.

No source id is a label: a workspace may have thousands, and strangers choose what they send to. Per source, SQL counts.
Children are looked up once: `labels()` costs 0.7 us, a child's `inc` 0.2 us.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

ROUTES: Final = ("in", "bulk", "tag", "go", "static", "other")

REQUESTS = Counter("clicktrail_ingest_requests", "requests answered, by route and status", ["route", "status"])
RECORDS = Counter("clicktrail_ingest_records", "records accepted, by where they went first", ["where"])  # log, spool
BYTES = Counter("clicktrail_ingest_bytes", "bytes of payloads accepted")
REFUSED = Counter("clicktrail_ingest_refused", "requests and bulk lines refused, by error code", ["code"])
ANSWER_SECONDS = Histogram(
    "clicktrail_ingest_answer_seconds",
    "from the last byte of a request to its answer",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.04, 0.07, 0.15, 0.3, 0.6, 1.2, 2.5),
)
IN_FLIGHT_BYTES = Gauge("clicktrail_ingest_in_flight_bytes", "bytes waiting for the broker's ack or the spool")
SPOOL_BYTES = Gauge("clicktrail_ingest_spool_bytes", "bytes in the spool that the broker does not have yet")
SPOOLING = Gauge("clicktrail_ingest_spooling", "1 while new payloads go to the spool")
DRAINED = Counter("clicktrail_ingest_drained", "records drained from the spool")
PRODUCERS = Counter("clicktrail_ingest_producers_replaced", "producers given up after a fatal error or a stall")
UNRECORDED_CLICKS = Counter("clicktrail_ingest_unrecorded_clicks", "visitors sent on although neither broker nor spool took their click")

IN_LOG, IN_SPOOL = RECORDS.labels("log"), RECORDS.labels("spool")
