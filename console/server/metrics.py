"""The metrics of the console, made once; what they mean stands in the one table, `streams/runtime/metrics.py`."""

from typing import Final

from streams.runtime.metrics import counter, gauge, histogram

REQUESTS: Final = counter("clicktrail_console_requests")
ANSWER_SECONDS: Final = histogram("clicktrail_console_answer_seconds")
TAILS: Final = gauge("clicktrail_console_live_tails")
