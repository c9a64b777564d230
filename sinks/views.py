"""The views of ClickHouse as data: what people query. They hold no data, so they are always exact, and every `migrate` replaces them.

`events` shows the current verdict of each event. It has to be exact while parts are not merged yet, and a filter on it has to reach the
table. Tried on 10 M rows, 3 % of them with a second revision, 20 unmerged parts (ms, best of 3, 2 shared cores, chDB 26.9):

    form                                                        count  newest 50 of   two   by   by
                                                               by status  an account  hours   id  click
    the table itself (superseded rows included)                       45        15       7   18     19
    second table, ReplacingMergeTree(revision) with FINAL            557        35       9   30    150
    LIMIT 1 BY account, time, id                                   3,190       376       8   19
    max(revision) OVER (PARTITION BY account, time, id)            1,494       269       9   14
    (id, revision) NOT IN superseded                               1,877       348     348  405    275
    ANTI JOIN superseded on account, time, id, revision            2,315       131      22   21
    **ANTI JOIN superseded on time, partition, offset, revision**    573       122      24   32     47

The last one it is: fixed-size keys make a fast hash table, the engine carries a filter on `received_at` to both sides of the join, and there is
one table to write (FINAL needs a second copy of every payload, and a second exactly-once). Its cost is the number of revised events
in the time range, so give a range where you can. Partition, offset and time of receipt are the event's identity in numbers.

`events_per_minute` is a view, too: a materialized one would count revised events twice and drift with every repeated insert.
"""

# ruff: noqa: S608 - all that is pasted into SQL here are numbers and names of our own

from schemas.reasons import REASONS
from sinks.pages import INTEGRATION_EVENTS, SYSTEM_LOGS
from sinks.schema import WORD, WORD_OR_NULL, Column, View, quote
from sinks.tables import EVENT_COLUMNS, POSTBACK_ATTEMPTS

EVENTS = View(
    "events",
    "The current verdict of every event",
    """All verdicts but those that a higher revision supersedes. Parts with later revisions are apart, so the right side reads only them.""",
    EVENT_COLUMNS,
    f"""
SELECT {", ".join(f"`{column.name}`" for column in EVENT_COLUMNS)}
FROM event_revisions
LEFT ANTI JOIN
(
    SELECT received_at, partition, offset, toUInt32(arrayJoin(range(1, highest))) AS revision
    FROM (SELECT received_at, partition, offset, max(revision) AS highest FROM event_revisions WHERE revision > 1 GROUP BY ALL)
) AS superseded USING (received_at, partition, offset, revision)
""",
)

EVENTS_PER_MINUTE = View(
    "events_per_minute",
    "Events per minute, for charts",
    """Counts of the view events, by what charts are split by. Value is per currency: sums over currencies mean nothing.""",
    (
        Column("minute", "DateTime('UTC')", "Minute of receipt"),
        *(column for column in EVENT_COLUMNS if column.name in {"account_id", "property_id", "source_id", "status", "reason"}),
        Column("campaign_id", WORD_OR_NULL, "Campaign"),
        Column("currency", WORD_OR_NULL, "ISO 4217 code"),
        Column("event_count", "UInt64", "Events"),
        Column("value", "Nullable(Decimal(38, 8))", "Sum of their values"),
    ),
    """
SELECT toStartOfMinute(received_at) AS minute, account_id, property_id, source_id, status, reason, campaign_id, currency,
    count() AS event_count, sum(events.value) AS value
FROM events
GROUP BY minute, account_id, property_id, source_id, status, reason, campaign_id, currency
""",
)

_POSTBACK = (
    "postback_id", "event_id", "click_id", "account_id", "property_id", "destination_id", "integration_id", "postback_time", "is_error",
    "error_message", "status_code", "postback_url", "ct", "next_attempt_at", "state", "kind", "follows", "request_offset",
)  # fmt: skip
POSTBACKS = View(
    "postbacks",
    "Postbacks with their last attempt",
    """The last row of each postback's attempts, the one that stands latest in the log: one row when it is asked for (attempt 0), one per try
    when it has ended, one more when somebody asks for it again. States: waiting, held (for the one that it corrects), delivered, failed,
    not_sent (the destination does not take its kind). A try that a killed sender left without an end is a row that says so.""",
    (
        *(column for name in _POSTBACK for column in POSTBACK_ATTEMPTS.columns if column.name == name),
        Column("attempts", "UInt32", "Tries so far"),
    ),
    f"""
SELECT {", ".join(_POSTBACK)}, attempt AS attempts
FROM postback_attempts
ORDER BY attempt DESC, log_offset DESC
LIMIT 1 BY account_id, postback_time, postback_id
""",
)

_REASON_COLUMNS = (
    Column("code", "String", "Reason code, as in events.reason"),
    Column("status", WORD, "Status that it leads to"),
    Column("title", "String", "What pages call it"),
    Column("message", "String", "The message; {...} stands for the value of the event"),
    Column("remedy", "String", "What to do next"),
    Column("view_status", WORD, "success, info or failure"),
    Column("source", "String", "Row of the acceptance table that asks for it"),
    Column("causes", "Array(String)", "Common causes"),
)
REASONS_VIEW = View(
    "reasons",
    "Every reason with its words, from schemas/reasons.py",
    """Generated from schemas/reasons.py, so that SQL and pages use the same words.""",
    _REASON_COLUMNS,
    "\nSELECT * FROM values('"
    + ", ".join(f"{column.name} {column.type}" for column in _REASON_COLUMNS)
    + "',\n    "
    + ",\n    ".join(
        f"({', '.join(map(quote, (r.code, r.status, r.title, r.message, r.remedy, r.view_status, r.seed)))}, [{', '.join(map(quote, r.causes))}])"
        for r in REASONS
    )
    + ")\n",
)

VIEWS = (EVENTS, EVENTS_PER_MINUTE, POSTBACKS, REASONS_VIEW, SYSTEM_LOGS, INTEGRATION_EVENTS)  # in the order of their making
