"""Personal data in clear: for roles that may, when they ask for it, and never without a row of the activity log."""

from typing import Any

from console import masking
from console.server.answers import Refused
from console.server.route import Ask, Parameter
from schemas.permissions import Action
from streams.runtime.errors import Unavailable

REVEAL = Parameter("reveal", "1: personal data in clear, for roles that may; the activity log says who looked", "flag")
REASON = Parameter("reason", "why; stands in the activity log")
WHY = Parameter("why", "why; stands in the activity log (lists have a filter called reason)")
LONGEST_REASON = 500


async def shown(ask: Ask, row: dict[str, Any], entity: str, entity_id: str) -> tuple[dict[str, Any], bool]:
    """Return (the row as the viewer may see it, whether in clear). The activity row is written first."""
    if not ask.flag("reveal"):
        return masking.row(row), False
    await note(ask, "read_pii", "revealed", entity, entity_id, {})
    return row, True


async def note(ask: Ask, action: Action, what: str, entity: str, entity_id: str, detail: dict[str, Any]) -> None:
    """Write who did what to what, or refuse."""
    if not ask.viewer.may(action):
        raise Refused("forbidden", f"Your role is {ask.viewer.role}; this needs the right {action}.")
    if not ask.context.following.is_connected:
        raise Unavailable("Kafka does not answer, so this cannot be noted in the activity log.", "Try again.")
    reason = ask.text("why" if WHY in ask.route.parameters else "reason")[:LONGEST_REASON]
    version = ask.context.following.version
    await ask.context.audit.note(ask.viewer.user_id, what, entity, entity_id, reason, detail, version)
