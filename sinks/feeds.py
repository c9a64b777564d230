"""Which topic fills which table, and how records become the body of an insert.

Most values are JSON already and are not parsed: their place in the log is spliced in behind the opening brace, 1.5 to 2 us a record, where
parsing and rebuilding columns costs 53 (sinks/schema.py). Dead letters are any bytes, so they are wrapped; there are few.
"""

import base64
from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson

from sinks.schema import Table
from sinks.tables import ACTIVITY as ACTIVITY_TABLE
from sinks.tables import DEAD_LETTERS as DEAD_LETTERS_TABLE
from sinks.tables import EVENT_REVISIONS, POSTBACK_ATTEMPTS
from sinks.tables import VISITS as VISITS_TABLE
from streams.stage import RecordLike
from streams.topology import ACTIVITY, ATTEMPTS, DEAD_LETTERS, EVENTS, VISITS

Records = Sequence[RecordLike]


class Feed(NamedTuple):
    """A topic, its table, and the encoder: records -> lines of JSON. `key` is the field without which an object is no row of it."""

    topic: str
    table: Table
    lines: Callable[[Records], bytes]
    key: bytes = b""

    @property
    def scope(self) -> str:
        """Return the SQL condition for the rows of this topic: only dead letters share their table with other topics."""
        return f"log_topic = '{self.topic}' AND " if self.table is DEAD_LETTERS_TABLE else ""

    def takes(self, record: RecordLike) -> bool:
        """Return whether the value can be a row at all; the engine finds every other fault, but takes an object without its key for a row of defaults."""
        return self.lines is not spliced or (record.value is not None and record.value[:1] == b"{" and self.key in record.value)


def spliced(records: Records) -> bytes:
    """Return one line per record: its value with its place in the log as first fields."""
    return b"".join([
        b'{"log_partition":%d,"log_offset":%d,"logged_ms":%d,%b\n' % (r.partition, r.offset, r.timestamp, r.value[1:])  # type: ignore[index]
        for r in records
    ])  # fmt: skip


def wrapped(records: Records) -> bytes:
    """Return one line per dead letter: value in base64, the headers that `streams/runtime/poison.py` sets as columns."""
    return b"\n".join(orjson.dumps(_dead_letter(record)) for record in records)


def _dead_letter(record: RecordLike) -> dict[str, object]:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    return {
        "log_topic": record.topic,
        "log_partition": record.partition,
        "log_offset": record.offset,
        "logged_ms": record.timestamp,
        "origin_topic": headers.pop("origin_topic", record.topic.removeprefix("dlq.")),
        "origin_partition": _number(headers.pop("origin_partition", ""), 0),
        "origin_offset": _number(headers.pop("origin_offset", ""), 0),
        "failed_at_ms": _number(headers.pop("failed_at_ms", ""), record.timestamp),
        "error": headers.pop("error", ""),
        "reason": headers.pop("reason", ""),
        "headers": headers,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "value_b64": base64.b64encode(record.value or b"").decode(),
    }


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() else otherwise


FEEDS = (
    Feed(EVENTS.name, EVENT_REVISIONS, spliced, b'"event_id"'),
    Feed(VISITS.name, VISITS_TABLE, spliced, b'"visit_id"'),
    Feed(ACTIVITY.name, ACTIVITY_TABLE, spliced, b'"activity_id"'),
    Feed(ATTEMPTS.name, POSTBACK_ATTEMPTS, spliced, b'"postback_id"'),
    *(Feed(topic.name, DEAD_LETTERS_TABLE, wrapped) for topic in dict.fromkeys(DEAD_LETTERS)),
)
