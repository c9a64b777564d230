"""ClickHouse's part of an erasure: rows that name a person, found by value and changed by place.

Values travel as parameters of SELECTs; a mutation's text lies on disk for as long as ClickHouse remembers it, so no mutation names anybody:
rows are named by partition, offset and time of their log record, new values are pseudonyms. RE2 knows no look-behind, so SQL finds more
than it should, and the pattern of `streams/person.py` decides.

A mutation leaves the old parts on disk until a thread cleans (measured: 6 s after others wrote, some minutes on a table where nothing happened: it sleeps
up to 300 s then, and nothing wakes it). Their life is made short until they are gone.
"""

# ruff: noqa: S608 - only names of ours and numbers are pasted into SQL here

import time
from typing import Any, NamedTuple
from urllib.parse import quote

from clickhouse_connect import get_client

from console.erasure.closure import Closure
from console.warehouse import Warehouse
from schemas import reasons
from sinks.connection import client_args
from sinks.migrations import home, variables
from sinks.schema import Table
from sinks.tables import DEAD_LETTERS, DERIVED, EVENT_REVISIONS, POSTBACK_ATTEMPTS, VISITS
from streams import redaction
from streams.person import Person
from streams.runtime.errors import Unavailable
from streams.runtime.settings import Settings
from streams.topology import PAYLOADS

AT_ONCE = 5_000  # rows in one statement
GONE_S = 900  # the thread that cleans sleeps up to 300 s on a table where nothing happens
SHORT_LIFE = "old_parts_lifetime = 0, cleanup_delay_period = 1, max_cleanup_delay_period = 1, cleanup_delay_period_random_add = 0"
SETTINGS_OF_LIFE = "old_parts_lifetime, cleanup_delay_period, max_cleanup_delay_period, cleanup_delay_period_random_add"
TABLES = (POSTBACK_ATTEMPTS, DEAD_LETTERS, EVENT_REVISIONS, VISITS)  # what is found through others goes before these
EVERY = (*TABLES, *(table for _, table in DERIVED))
IDS = {EVENT_REVISIONS.name: "event_id", POSTBACK_ATTEMPTS.name: "event_id", VISITS.name: "ifNull(click_id, visit_id)"}

FIXED = {
    EVENT_REVISIONS.name: {
        "payload": "''", "payload_sha256": "''", "parameters": "map()", "trace": "'[]'", "evidence": "'{\"erased\":true}'",
        "message": "transform(reason, {codes}, {messages}, '')",
    },
    VISITS.name: {**dict.fromkeys(redaction.FREE_OF_VISIT, "NULL"), "parameters": "map()", "identifiers": "[]"},
    POSTBACK_ATTEMPTS.name: {
        "postback_url": "''", "request": "''", "response": "NULL", "error_message": "NULL", "next_attempt_at": "NULL",
        "state": "if(state IN ('waiting', 'held'), 'not_sent', state)",
    },
    DEAD_LETTERS.name: {"reason": "''", "headers": "map()", "key": "NULL", "value": "''"},
}  # fmt: skip
"""What `streams/redaction.py` does to each row of a table."""

Place = tuple[str, int, int, int]
"""(topic, partition, offset, time in ms) of a log record; the topic counts for dead letters only."""


class Row(NamedTuple):
    """A row that has to change: where its record was, and the text columns that still name the person, as they shall be."""

    place: Place
    named: dict[str, str]


class Rows:
    """The tables of the settings' ClickHouse."""

    def __init__(self, settings: Settings, who: Person) -> None:
        self._warehouse = Warehouse(settings)
        self._settings = settings.clickhouse
        self._who = who
        self._database = home(self._settings.database, self._settings.cluster)
        self._on_cluster = variables(self._settings.cluster)["ON_CLUSTER"]

    def visits(self, found: Closure) -> None:
        """Follow visits of which only rows are left."""
        for row in self._warehouse.rows(
            f"SELECT visit_id, click_id, identifiers FROM visits WHERE {self._prefilter(VISITS)}", self._words()
        ):
            identifiers = [(each["kind"], each["key"]) if isinstance(each, dict) else tuple(each) for each in row["identifiers"]]
            found.visit({**row, "identifiers": identifiers})

    def events(self, found: Closure) -> None:
        """Add events of which only rows are left."""
        clicks = sorted(found.clicks)
        condition = f"click_id IN {{clicks:Array(String)}} OR {self._prefilter(EVENT_REVISIONS)}"
        for row in self._warehouse.rows(
            f"SELECT event_id, click_id, {_text(EVENT_REVISIONS)} AS text FROM event_revisions WHERE {condition}",
            self._words() | {"clicks": clicks},
        ):
            found.row(row)

    def theirs(self, table: Table, found: Closure) -> list[Row]:
        """The rows of a table that have something of the person."""
        time_ms, texts = f"toUnixTimestamp64Milli({table.log_time})", _texts(table)
        topic = "log_topic" if table is DEAD_LETTERS else "''"
        ids = sorted(found.clicks if table is VISITS else found.events)
        by_id = IDS.get(table.name) or f"concat('e{found.epoch}-', toString(origin_partition), '-', toString(origin_offset))"
        by_id += " IN {ids:Array(String)}" + (f" AND origin_topic = '{PAYLOADS.name}'" if table is DEAD_LETTERS else "")
        is_redacted = " AND ".join(f"({_same(name, value)})" for name, value in _fixed(table).items())
        rows = self._warehouse.rows(
            f"SELECT {topic} AS topic, log_partition, log_offset, {time_ms} AS ms, ({by_id}) AS is_by_id, ({is_redacted}) AS is_redacted, "
            f"{', '.join(f'{text} AS t_{name}' for name, text in texts.items())} FROM {table.name} WHERE ({by_id}) OR {self._prefilter(table)}",
            self._words() | {"ids": ids},
        )
        found_rows = []
        for row in rows:
            named = {name: self._who.scrubbed(row[f"t_{name}"]) for name in texts if self._who.is_in(row[f"t_{name}"] or "")}
            fixed = _fixed(table)
            if named or (row["is_by_id"] and not row["is_redacted"]):
                place = (row["topic"], row["log_partition"], row["log_offset"], row["ms"])
                found_rows.append(Row(place, {name: text for name, text in named.items() if name not in fixed}))
        return found_rows

    def delete(self, table: Table, places: list[Place]) -> None:
        """Delete the rows of these records."""
        for part in _parts(places):
            self._alter(table, f"DELETE WHERE {_at(table, part)}")

    def redact(self, table: Table, rows: list[Row]) -> None:
        """Change rows whose records are not in the log any more."""
        sets = ", ".join(f"`{name}` = {value}" for name, value in _fixed(table).items())
        for part in _parts([row.place for row in rows]):
            self._alter(table, f"UPDATE {sets} WHERE {_at(table, part)}")
        for name in sorted({name for row in rows for name in row.named}):
            named = [row for row in rows if name in row.named]
            if name in _keys(table):  # what orders rows cannot be changed
                self.delete(table, [row.place for row in named])
                continue
            for begin in range(0, len(named), AT_ONCE):
                self._rename(table, name, named[begin : begin + AT_ONCE])

    def _rename(self, table: Table, name: str, rows: list[Row]) -> None:
        places = ", ".join(f"'{row.place[1]}-{row.place[2]}'" for row in rows)
        texts = ", ".join(_quoted(row.named[name]) for row in rows)
        value = f"transform(concat(toString(log_partition), '-', toString(log_offset)), [{places}], [{texts}], '')"
        self._alter(table, f"UPDATE `{name}` = {value} WHERE {_at(table, [row.place for row in rows])}")

    def forget_copies(self, found: Closure) -> None:
        """Delete what was derived from rows of these events: the sink derives it anew from what is left of them (sinks/superseding.py)."""
        events = sorted(found.events)
        for _, table in DERIVED:
            for begin in range(0, len(events), AT_ONCE):
                listed = ", ".join(map(_quoted, events[begin : begin + AT_ONCE]))
                self._alter(table, f"DELETE WHERE event_id IN ({listed})")

    def purge(self) -> None:
        """Return when no part is left that a mutation or a merge has replaced. Unavailable when that takes too long."""
        for table in EVERY:
            self._alter(table, f"MODIFY SETTING {SHORT_LIFE}")
        names = ", ".join(f"'{table.name}'" for table in EVERY)
        cluster = self._settings.cluster
        parts = f"clusterAllReplicas('{cluster}', system.parts)" if cluster else "system.parts"
        counted = (
            f"SELECT count() AS left FROM {parts} WHERE database = '{self._database}' AND table IN ({names}) AND NOT active AND rows > 0"
        )
        deadline = time.monotonic() + GONE_S
        while (self._warehouse.one(counted) or {})["left"]:
            if time.monotonic() > deadline:
                raise Unavailable("ClickHouse has not removed the parts that were replaced.", "Run it again: it goes on from here.")
            time.sleep(0.3)
        for table in EVERY:
            self._alter(table, f"RESET SETTING {SETTINGS_OF_LIFE}")

    def _alter(self, table: Table, what: str) -> None:
        with get_client(
            **client_args(self._settings.dsn(), self._settings.database), autogenerate_session_id=False, send_receive_timeout=3600
        ) as client:
            settings = {"mutations_sync": 2, "alter_sync": 2, "max_query_size": 16 << 20, "log_queries": 0}
            client.command(f"ALTER TABLE `{self._database}`.{table.name} {self._on_cluster} {what}", settings=settings)

    def _words(self) -> dict[str, Any]:
        return {"words": words(self._who), "digits": digits(self._who)}

    def _prefilter(self, table: Table) -> str:
        text = _text(table)
        by_digits = f" OR ({{digits:String}} != '' AND position(replaceRegexpAll({text}, '[^0-9]', ''), {{digits:String}}) > 0)"
        return f"(multiSearchAnyCaseInsensitiveUTF8({text}, {{words:Array(String)}})" + by_digits + ")"


def words(who: Person) -> list[str]:
    """What every text has that names the person, short of a phone number's own forms."""
    plain = {who.text, *who.keys, *who.hashes}
    return sorted(plain | {quote(word, safe="") for word in plain})


def digits(who: Person) -> str:
    """The digits of a phone number, else nothing."""
    return who.text if who.kind == "phone" else ""


def _texts(table: Table) -> dict[str, str]:
    """Column -> its text in SQL, of the columns that can name somebody."""
    found = {}
    for column in table.columns:
        if "String" in column.type and column.name not in ("event_id", "duplicate_of", "parent_event_id", "log_topic", "origin_topic"):
            found[column.name] = f"ifNull(toString({column.name}), '')"
    return found


def _text(table: Table) -> str:
    joined = ", '\\n', ".join(_texts(table).values())
    return f"concat({joined})"


def _fixed(table: Table) -> dict[str, str]:
    known = reasons.REASON_BY_CODE
    codes = "[" + ", ".join(_quoted(code) for code in known) + "]"
    messages = "[" + ", ".join(_quoted(reasons.message(code, None)) for code in known) + "]"
    return {name: value.replace("{codes}", codes).replace("{messages}", messages) for name, value in FIXED[table.name].items()}


def _same(name: str, value: str) -> str:
    if value == "NULL":
        return f"`{name}` IS NULL"
    if value in ("map()", "[]"):
        return f"empty(`{name}`)"
    return f"`{name}` = {value}"


def _keys(table: Table) -> set[str]:
    return set(table.order.split(", "))


def _at(table: Table, places: list[Place]) -> str:
    listed = ", ".join(f"({partition}, {offset}, {ms})" for _, partition, offset, ms in places)
    condition = f"(log_partition, log_offset, toUnixTimestamp64Milli({table.log_time})) IN ({listed})"
    topics = sorted({topic for topic, *_ in places})
    return f"log_topic IN ({', '.join(_quoted(topic) for topic in topics)}) AND {condition}" if table is DEAD_LETTERS else condition


def _parts(places: list[Place]) -> list[list[Place]]:
    return [places[begin : begin + AT_ONCE] for begin in range(0, len(places), AT_ONCE)]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
