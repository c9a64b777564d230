"""Filters of lists: an option of the command line, the condition that it becomes, and its value as a server-side parameter.

One table per list, used by everything that lists it (the command, the export, the counter), so that a count always follows its filter. Values
never enter the text of a statement; only the conditions below do.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from streams.runtime.errors import BadSettings

Conditions = Mapping[str, str]

ACTIVITY: Conditions = {
    "entity": "entity = {entity:String}",
    "entity_id": "entity_id = {entity_id:String}",
    "action": "action = {action:String}",
    "author": "author = {author:String}",
    "since": "changed_at >= toDateTime64({since:String}, 3, 'UTC')",
    "until": "changed_at < toDateTime64({until:String}, 3, 'UTC')",
}
EVENTS: Conditions = {
    "status": "status = {status:String}",
    "view_status": "view_status = {view_status:String}",
    "reason": "reason = {reason:String}",
    "source": "source_id = {source:String}",
    "type": "type = {type:String}",
    "campaign": "campaign_id = {campaign:String}",
    "traffic_source": "traffic_source_id = {traffic_source:String}",
    "property": "property_id = {property:String}",
    "since": "received_at >= toDateTime64({since:String}, 3, 'UTC')",
    "until": "received_at < toDateTime64({until:String}, 3, 'UTC')",
}
TIMES = ("since", "until")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def where(conditions: Conditions, given: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return (the condition, its parameters) of the filters that are set; empty ones are not. BadSettings when a time is none."""
    chosen = {name: moment(value) if name in TIMES else value for name, value in given.items() if value}
    return " AND ".join([conditions[name] for name in chosen]) or "1", chosen


def moment(text: str, now: datetime | None = None) -> str:
    """Return a time as ClickHouse reads it, in UTC: from a date, a time (with its zone, else UTC), or how long ago (90m, 24h, 7d)."""
    ago = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    try:
        if ago:
            found = (now or datetime.now(UTC)) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        else:
            found = datetime.fromisoformat(text.strip())
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadSettings(f"{text!r} is no time.", "Times look like 2026-11-25, 2026-11-25T10:00+01:00, 24h or 7d.") from error
    return found.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
