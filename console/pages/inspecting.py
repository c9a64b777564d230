"""What the inspector shows of an event: the answer of the API's handler, and around it what only a page has: tabs, lines to copy."""

import dataclasses
import shlex
from typing import Any
from urllib.parse import urlencode

import orjson

from console.api import events
from console.server.answers import Refused
from console.server.route import Ask
from streams.runtime.errors import Unavailable

TABS = (
    ("payload", "Payload"), ("data", "Data"), ("trail", "Decision trail"), ("attribution", "Attribution"), ("headers", "Headers"),
    ("postbacks", "Postbacks"), ("revisions", "Revisions"),
)  # fmt: skip
MACHINE = {"payload", "trace", "evidence", "parameters", "log_partition", "log_offset", "log_topic"}


async def panel(ask: Ask, event_id: str) -> dict[str, Any]:
    """Return what the inspector draws. Refused("not_found") when there is no such event, or it is of another account."""
    tab = ask.text("tab") if ask.text("tab") in dict(TABS) else TABS[0][0]
    inner = dataclasses.replace(ask, path={"event_id": event_id})
    parts = await events.event(inner)
    row = parts["event"]
    shown = {
        **parts,
        "row": row,
        "facts": {name: value for name, value in row.items() if name not in MACHINE and value not in (None, "")},
        "curl": curl_of(ask, row),
        "sql": f"SELECT * FROM events WHERE event_id = '{sql_text(row['event_id'])}'",  # noqa: S608 - a text for the person who asked
        "link": f"{ask.context.settings.console_url()}/events/{row['event_id']}",
        "tab": tab,
        "tabs": TABS,
        "record": None,
        "record_note": "",
    }
    if tab == "headers":
        try:
            shown["record"] = await events.record(inner)
        except (Refused, Unavailable) as error:
            shown["record_note"] = error.message if isinstance(error, Refused) else error.what
    return shown


def curl_of(ask: Ask, row: dict[str, Any]) -> str:
    """Return a line that sends the same parameters again; what is masked on the screen is masked in it, too."""
    target = f"{ask.context.settings.ingest_url()}/in/{row['source_id']}"
    given = {name: value for name, value in row["parameters"].items() if not name.startswith("(")}
    if row["type"] in {"postback", "one_click_access"}:
        return f"curl {shlex.quote(f'{target}?{urlencode(given)}')}"
    return f"curl {shlex.quote(target)} -H 'Content-Type: application/json' -d {shlex.quote(orjson.dumps(given).decode())}"


def sql_text(value: str) -> str:
    """Return a text as it stands between quotes in SQL."""
    return value.replace("\\", "\\\\").replace("'", "\\'")
