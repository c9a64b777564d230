"""Metrics of the console. Labels come from closed sets: the routes of the table, HTTP statuses."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("clicktrail_console_requests", "requests answered (requests)", ("route", "status"))
ANSWER_SECONDS = Histogram(
    "clicktrail_console_answer_seconds", "from a request's header to the end of its handler (seconds)", ("route",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.3, 0.5, 1.0, 2.5, 5.0, 20.0),
)  # fmt: skip
TAILS = Gauge("clicktrail_console_live_tails", "live tails that are open (connections)")
