"""The lists as data: which view each shows, in which order, by which filters, with which columns. START HERE for anything that lists.

The API's routes, the pages, the downloads, `clicktrail export` and `tail` are all made from this table, so they cannot disagree. Every order
is (a time, an id): the time is what the table is ordered by, the id makes the order total, and both together are the cursor that a page ends
with. A list leaves out what is heavy (payload, trace, evidence, parameters); a download has every column.
"""

from typing import NamedTuple

from console import filters
from console.filters import Filters
from sinks.schema import Column
from sinks.tables import TABLES
from sinks.views import VIEWS
from streams.runtime.errors import BadSettings, near_match

OUR_PLACE = {"log_topic", "log_partition", "log_offset", "logged_at"}  # where a row stands in our log is nobody's question


class Listed(NamedTuple):
    """A list. `account` is the column that says whose a row is, empty when all rows are the workspace's own.

    `base`: the table behind a view that leaves superseded rows out (`paging.py`); `fixed`: the filters on what no later verdict changes. `is_wide`: a view that cannot be left after some rows.
    A view that says the same in other words has its filters and its time in those of the table, too (`by_base`, `base_time`), so that it is counted
    like the event log itself; `others`: the condition for its rows that come from elsewhere, `tables` all that its rows come from.
    """

    name: str
    title: str
    view: str
    time: str
    key: str
    filters: Filters
    heavy: tuple[str, ...] = ()
    account: str = "account_id"
    hidden: tuple[str, ...] = ()
    base: str = ""
    is_wide: bool = False
    fixed: frozenset[str] = frozenset()
    by_base: Filters = ()
    base_time: str = ""
    others: str = ""
    tables: tuple[str, ...] = ()

    @property
    def in_base(self) -> "Listed":
        """Return the list in the words of the table behind it: over the view `events`, which shows that table's current rows."""
        return self._replace(view="events", filters=self.by_base, time=self.base_time or self.time) if self.by_base else self


LISTS = (
    Listed(
        "events", "Event log", "events", "received_at", "event_id", filters.EVENTS,
        heavy=("trace", "evidence", "parameters", "payload", "payload_sha256", "identity", "topic", "partition", "offset"),
        base="event_revisions",
        fixed=frozenset({"source", "type", "property", "conversion", "transaction_id", "is_test", "from", "to"}),
    ),
    Listed(
        "integration_events", "Integration events in Referral Rock's words", "integration_events", "created_date", "event_id",
        filters.INTEGRATION_EVENTS, hidden=("account_id",), base="event_revisions", fixed=frozenset({"type", "from", "to"}),
        by_base=filters.INTEGRATION_EVENTS_IN_BASE, base_time="event_time",
    ),
    Listed(
        "system_logs", "System logs", "system_logs", "received_at", "id", filters.SYSTEM_LOGS, is_wide=True,
        by_base=filters.SYSTEM_LOGS_IN_BASE, others="event_type != 'Conversions'", tables=("event_revisions", "visits"),
    ),
    Listed("visits", "Visits and clicks", "visits", "received_at", "visit_id", filters.VISITS, heavy=("identifiers",)),
    Listed("postbacks", "Postback status", "postbacks", "postback_time", "postback_id", filters.POSTBACKS, is_wide=True),
    Listed("activity", "System activity", "activity", "changed_at", "activity_id", filters.ACTIVITY, account=""),
    Listed("dead_letters", "Dead letters", "dead_letters", "failed_at", "concat(log_topic, '/', toString(log_partition), '/', toString(log_offset))",
           filters.DEAD_LETTERS, heavy=("value",), account=""),
)  # fmt: skip
NAMES = tuple(found.name for found in LISTS)


def listed(name: str) -> Listed:
    """Return a list by its name. BadSettings when there is none."""
    for found in LISTS:
        if found.name == name:
            return found
    raise BadSettings(f"There is no list {name!r}.", near_match(name, list(NAMES)) or f"The lists are: {', '.join(NAMES)}.")


def columns_of(found: Listed, *, is_whole: bool) -> list[Column]:
    """Return the columns of a list: those of a row on a page, or (`is_whole`) all, as a download has them."""
    (columns,) = [each.columns for each in (*TABLES, *VIEWS) if each.name == found.view]
    left_out = OUR_PLACE | set(found.hidden) | (set() if is_whole else set(found.heavy))
    return [column for column in columns if column.name not in left_out]
