"""One event: all that is known of it, its bytes, and why its verdict is what it is."""

from typing import Any

from console import masking
from console.api.lists import REVEAL
from console.explaining import decoded, explained
from console.listing import Question
from console.server.answers import Refused
from console.server.route import Ask, Route

JSON_COLUMNS = ("trace", "evidence")


async def revisions(ask: Ask, event_id: str) -> list[dict[str, Any]]:
    """Return every verdict on an event, the current one last, of the accounts that the viewer may see. Refused("not_found")."""
    accounts = ask.viewer.accounts
    scope = "" if accounts is None else " AND account_id IN {accounts:Array(String)}"
    sql = f"SELECT * FROM event_revisions WHERE event_id = {{id:String}}{scope} ORDER BY revision LIMIT 1 BY revision"  # noqa: S608 - of ours
    found = await ask.context.asker.rows(Question(sql, {"id": event_id, **({} if accounts is None else {"accounts": list(accounts)})}))
    if not found:
        raise Refused("not_found", f"There is no event {event_id}.", "Ids look like e1-4-1027; the event log shows the latest.")
    return found


async def event(ask: Ask) -> dict[str, Any]:
    """The current row, whole."""
    found = (await revisions(ask, ask.path["event_id"]))[-1]
    return masking.row({name: decoded(value) if name in JSON_COLUMNS else value for name, value in found.items()})


async def explain(ask: Ask) -> dict[str, Any]:
    """The row's own trace in sentences."""
    return dict(explained((await revisions(ask, ask.path["event_id"]))[-1]))


ROUTES = (
    Route("GET", "/api/v1/events/{event_id}", event, "read_log", "An event with all its parts", (REVEAL,), refusals=("not_found",)),
    Route("GET", "/api/v1/events/{event_id}/explain", explain, "read_log", "Why its verdict is what it is", refusals=("not_found",)),
)
