"""The pages that the menu shows, in its order."""

from typing import NamedTuple

from schemas.permissions import Action


class Section(NamedTuple):
    """One line of the menu; shown to whoever has the right."""

    path: str
    title: str
    group: str
    may: Action = "read_log"


SECTIONS = (
    Section("/", "Home", "Overview"),
    Section("/problems", "Problems", "Overview"),
    Section("/health", "Health", "Overview"),
    Section("/events", "Event log", "Logs"),
    Section("/visits", "System logs", "Logs"),
    Section("/postbacks", "Postback status", "Logs"),
    Section("/activity", "System activity", "Logs"),
    Section("/sql", "SQL", "Ask", "query_sql"),
    Section("/whatif", "What-if", "Ask", "try_rules"),
    Section("/settings", "Settings", "Workspace"),
)
