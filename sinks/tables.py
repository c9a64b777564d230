"""The tables of ClickHouse as data. `python -m sinks.ddl` writes them as SQL into `sinks/ddl/`, where they are reviewed and migrated from.

What they have in common, and why:
- The engine is ReplacingMergeTree ordered to the row's own identity. That is the second belt only: the sink inserts each log record once
  (`writer.py`), and tests count without FINAL. It folds what a zombie sink could double.
- `log_partition`, `log_offset` and the record's time: ClickHouse is the sink's offset store. A minmax index finds them.
- Partitions are months of the time of *receipt*, which no later verdict changes; event times come from senders and may lie anywhere.
- What is not known is NULL, as it is None in the pipeline: `count(click_id)` counts the known ones.
- Money is Decimal(38, 8): Decimal(18, 4) cuts 0.00005 of a micro payout to 0 without a word. It compresses to the same size.
"""

from sinks.schema import SMALL, TEXT_OR_NULL, TIME, WORD, WORD_OR_NULL, Column, Table, log_columns, time

JSON = "ZSTD(1)"
BLOOM = "TYPE bloom_filter(0.01) GRANULARITY 1"
BY_OFFSET = "by_log_offset log_offset TYPE minmax GRANULARITY 1"

EVENT_COLUMNS = (
    Column("event_id", "String", "Id of the event: the coordinates of its payload, e<epoch>-<partition>-<offset>", JSON),
    Column("receipt_id", TEXT_OR_NULL, "Id that ingest gave the request, also while the broker was away; lines of one bulk upload share it", JSON, since=7),
    Column("account_id", WORD, "Account that the source belongs to"),
    Column("property_id", WORD, "Property (site) that the source is bound to"),
    Column("source_id", WORD, "Source that sent the payload"),
    Column("type", WORD, "Type of the event: how it came in"),
    time("received_at", "received_ms", "When the payload was received"),
    time("event_time", "event_ms", "When it happened, as the payload says, else when it was received"),
    time("judged_at", "logged_ms", "When this verdict was given (the time of its log record)"),
    Column("status", WORD, "ok, discarded, deduplicated or error"),
    Column("reason", WORD, "Why: a code of the view reasons"),
    Column("sub_reason", WORD_OR_NULL, "The cause behind the reason, where it is known"),
    Column("message", "String", "The reason as a sentence, with the values of this event", JSON),
    Column("view_status", WORD, "success, info or failure"),
    Column("conversion_name", WORD_OR_NULL, "Conversion name after the mapping; NULL when the sender's name is not mapped"),
    Column("original_name", TEXT_OR_NULL, "The sender's name for it", JSON),
    Column("conversion_status", WORD, "approved, pending, rejected, reversed, refunded, chargeback, test or unknown"),
    Column("original_status", TEXT_OR_NULL, "The sender's word for its status", JSON),
    Column("value", "Nullable(Decimal(38, 8))", "Conversion value in `currency`"),
    Column("currency", WORD_OR_NULL, "ISO 4217 code"),
    Column("click_id", TEXT_OR_NULL, "Click that the conversion belongs to; for errors the one that was passed", JSON),
    Column("match_kind", WORD_OR_NULL, "How the click was found: click_id, email, phone, external_id or ip"),
    Column("campaign_id", WORD_OR_NULL, "Campaign of the click"),
    Column("traffic_source_id", WORD_OR_NULL, "Traffic source of the click"),
    Column("transaction_id", TEXT_OR_NULL, "The sender's transaction id", JSON),
    Column("identity", TEXT_OR_NULL, "What makes two payloads the same conversion", JSON),
    Column("duplicate_of", TEXT_OR_NULL, "event_id of the original of a duplicate", JSON),
    Column("parent_event_id", TEXT_OR_NULL, "event_id that a refund or reversal refers to", JSON),
    Column("is_test", "Bool", "Whether the sender calls it a test"),
    Column("revision", "UInt32", "1 for the first verdict; the highest is the current one"),
    Column("settings_version", "Int64", "Version of the settings that judged it"),
    Column("trace", "String", "JSON: [step, result, detail] in the order of judgement", JSON),
    Column("evidence", "String", "JSON: candidates and why they lost; for a duplicate the key, the gap and the fields that differ", JSON),
    Column("parameters", "Map(String, String)", "The payload's parameters with their values", JSON),
    Column("payload", "String", "The payload, byte for byte as received", "ZSTD(3)", "base64Decode(payload_b64)", (("payload_b64", "String"),)),
    Column("payload_sha256", "String", "SHA-256 of the payload in hex, taken at the door", "ZSTD(1)"),
    Column("topic", WORD, "Topic of the payload"),
    Column("partition", "UInt32", "Partition of the payload"),
    Column("offset", "UInt64", "Offset of the payload", SMALL),
    *log_columns("", "")[:2],
)  # fmt: skip

EVENT_REVISIONS = Table(
    "event_revisions",
    "Every verdict ever given; the view events shows the current ones",
    """Every verdict ever given, one row each. ORDER BY begins with the account and the time: the pages' lists read in order, from the end.
    The partition's second part keeps later revisions (a few per cent) in parts of their own: the view `events` reads those to know which
    first verdicts are superseded, and nothing else (see views.py for the figures).""",
    EVENT_COLUMNS,
    order="account_id, received_at, event_id, revision",
    primary="account_id, received_at",
    partition="(toYYYYMM(received_at), revision > 1)",
    expires="received_at",
    indexes=(
        f"by_event_id event_id {BLOOM}", f"by_click_id click_id {BLOOM}", f"by_transaction_id transaction_id {BLOOM}",
        "by_offset offset TYPE minmax GRANULARITY 1", BY_OFFSET,
    ),
    later_indexes=((7, f"by_receipt_id receipt_id {BLOOM}"),),
    log_time="judged_at",
    shard_by="account_id, event_id",
)  # fmt: skip

VISITS = Table(
    "visits",
    "Visits, clicks, lander clicks and identify events",
    """What the tracker saw before a conversion. Ordered by time within the account; a click's rows are found by the index on click_id.""",
    (
        Column("visit_id", "String", "Id of this row", JSON),
        Column("click_id", TEXT_OR_NULL, "Click id", JSON),
        Column("kind", WORD, "visit, click, lander_click or identify"),
        Column("account_id", WORD, "Account"),
        Column("property_id", WORD, "Property (site)"),
        time("occurred_at", "occurred_ms", "When it happened"),
        time("received_at", "received_ms", "When it was received"),
        Column("campaign_id", WORD_OR_NULL, "Campaign"),
        Column("traffic_source_id", WORD_OR_NULL, "Traffic source"),
        Column("lander_id", WORD_OR_NULL, "Lander"),
        Column("offer_id", WORD_OR_NULL, "Offer"),
        Column("parameters", "Map(String, String)", "Parameters of the URL with their values", JSON),
        Column("identifiers", "Array(Tuple(kind String, key String))", "Keyed hashes by which a conversion can find it", JSON),
        Column("device_type", WORD_OR_NULL, "Device type"),
        Column("browser", WORD_OR_NULL, "Browser"),
        Column("os", WORD_OR_NULL, "Operating system"),
        Column("is_bot", "Bool", "Whether the User-Agent is a crawler's or a program's", since=6),
        Column("user_agent", TEXT_OR_NULL, "User-Agent as sent", JSON, since=6),
        Column("language", WORD_OR_NULL, "First language that the browser asks for (BCP 47)", since=6),
        Column("ip", TEXT_OR_NULL, "IP of the visitor", JSON),
        Column("country", WORD_OR_NULL, "Country of the IP (ISO 3166 alpha-2)"),
        Column("referrer", TEXT_OR_NULL, "Page that the visitor came from", JSON),
        Column("url", TEXT_OR_NULL, "Page that was visited", JSON),
        *log_columns("logged_at", "Time of the log record"),
    ),
    order="account_id, received_at, visit_id",
    primary="account_id, received_at",
    partition="toYYYYMM(received_at)",
    expires="received_at",
    indexes=(f"by_click_id click_id {BLOOM}", f"by_visit_id visit_id {BLOOM}", BY_OFFSET),
    shard_by="account_id, visit_id",
)

ACTIVITY = Table(
    "activity",
    "Who changed what, when and why",
    """The audit trail of the settings. It never expires.""",
    (
        Column("activity_id", "String", "Id of the change", JSON),
        time("changed_at", "changed_at_ms", "When"),
        Column("author", WORD, "Who"),
        Column("reason", "String", "Why, in the author's words", JSON),
        Column("entity", WORD, "What kind of thing was changed"),
        Column("entity_id", "String", "Which one", JSON),
        Column("action", WORD, "created, updated or deleted"),
        Column("before", TEXT_OR_NULL, "JSON before the change", JSON),
        Column("after", TEXT_OR_NULL, "JSON after the change", JSON),
        Column("diff", "String", "JSON: the fields that differ", JSON),
        Column("settings_version", "Int64", "The version of the settings that the change made"),
        *log_columns("logged_at", "Time of the log record"),
    ),
    order="changed_at, activity_id",
    partition="toYYYYMM(changed_at)",
    indexes=(BY_OFFSET,),
    shard_by="activity_id",
)

DEAD_LETTERS = Table(
    "dead_letters",
    "Records that could not be processed, with their bytes and the reason",
    """All dlq.* topics in one table. A sink that dies between sending a dead letter and committing sends it again: readers group by origin.""",
    (
        Column("origin_topic", WORD, "Topic of the record that failed"),
        Column("origin_partition", "UInt32", "Its partition"),
        Column("origin_offset", "UInt64", "Its offset"),
        time("failed_at", "failed_at_ms", "When it first failed"),
        Column("error", WORD, "Class of the error"),
        Column("reason", "String", "What went wrong", JSON),
        Column("headers", "Map(String, String)", "Headers of the record", JSON),
        Column("key", TEXT_OR_NULL, "Key of the record", JSON),
        Column("value", "String", "The record's value, byte for byte", "ZSTD(3)", "base64Decode(value_b64)", (("value_b64", "String"),), is_sent=False),
        Column("log_topic", WORD, "The dlq topic"),
        *log_columns("logged_at", "Time of the log record"),
    ),
    order="origin_topic, failed_at, log_topic, log_partition, log_offset",
    partition="toYYYYMM(logged_at)",
    expires="logged_at",
    indexes=(BY_OFFSET,),
    shard_by="log_topic, log_partition, log_offset",
)  # fmt: skip

POSTBACK_ATTEMPTS = Table(
    "postback_attempts",
    "Every try at a postback",
    """One row per try. `started` is written before a try and its result after: a try without a result shows as state sending.""",
    (
        Column("postback_id", "String", "Id of the postback", JSON),
        Column("attempt", "UInt32", "1 for the first try"),
        Column("kind", WORD, "conversion, restatement or retraction", since=8),
        Column("follows", TEXT_OR_NULL, "postback_id of the one that it corrects", JSON, since=8),
        Column("request_offset", "UInt64", "Offset of its request in clicktrail.postbacks.v1", SMALL, since=8),
        Column("account_id", WORD, "Account"),
        Column("property_id", WORD, "Property (site)"),
        Column("event_id", "String", "Event that it reports", JSON),
        Column("click_id", TEXT_OR_NULL, "Click that it reports", JSON),
        Column("destination_id", WORD, "Whom it goes to"),
        Column("integration_id", WORD_OR_NULL, "Conversion API integration that sent it"),
        time("postback_time", "postback_ms", "When the postback was triggered"),
        time("sent_at", "sent_ms", "When this try began"),
        Column("duration_ms", "Nullable(UInt32)", "How long this try took"),
        Column("is_error", "UInt8", "0 success, 1 error"),
        Column("error_message", TEXT_OR_NULL, "What went wrong", JSON),
        Column("status_code", "Nullable(UInt16)", "Status code of the answer; NULL without one"),
        Column("postback_url", "String", "The URL as sent, macros expanded, secrets masked", JSON),
        Column("ct", WORD_OR_NULL, "Custom conversion: the event type that is reported"),
        Column("request", "String", "What was sent", JSON),
        Column("response", TEXT_OR_NULL, "The first bytes of the answer", JSON),
        Column("next_attempt_at", f"Nullable({TIME})", "When it is tried again",
               default="fromUnixTimestamp64Milli(next_attempt_ms, 'UTC')", reads=(("next_attempt_ms", "Nullable(Int64)"),), is_sent=False),
        Column("state", WORD, "sending, delivered, waiting or failed"),
        *log_columns("logged_at", "Time of the log record"),
    ),
    order="account_id, postback_time, postback_id, attempt, log_partition, log_offset",
    primary="account_id, postback_time",
    partition="toYYYYMM(postback_time)",
    expires="postback_time",
    indexes=(f"by_event_id event_id {BLOOM}", f"by_click_id click_id {BLOOM}", f"by_postback_id postback_id {BLOOM}", BY_OFFSET),
    shard_by="account_id, postback_id",
)  # fmt: skip

_COUNTED = {
    "event_id", "receipt_id", "account_id", "property_id", "source_id", "type", "received_at", "event_time", "status", "reason", "sub_reason",
    "view_status", "conversion_name", "click_id", "match_kind", "campaign_id", "traffic_source_id", "transaction_id", "is_test", "revision",
}  # fmt: skip
SUPERSEDED_VERDICTS = Table(
    "superseded_verdicts",
    "Copies of the verdicts that a later revision supersedes, of what is counted by",
    """What is counted of the current verdicts is all verdicts less these: no join. Filled from event_revisions by the sink (superseding.py), a
    moment later; whoever counts checks that it is complete (console/counting.py). A row that is copied twice is folded: read it with FINAL.""",
    tuple(column._replace(default="", reads=(), since=0) for column in EVENT_COLUMNS if column.name in _COUNTED),
    order="account_id, received_at, event_id, revision",
    partition="toYYYYMM(received_at)",
    expires="received_at",
    shard_by="account_id, event_id",
)  # fmt: skip

DERIVED = ((9, SUPERSEDED_VERDICTS),)  # (number of the migration, table): made from other tables here, filled from no topic
TABLES = (EVENT_REVISIONS, VISITS, ACTIVITY, DEAD_LETTERS, POSTBACK_ATTEMPTS)  # in the order of their migrations; append only
