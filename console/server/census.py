"""Which accounts there are: those of the workspace, those that rows already have, and the one of payloads whose source nobody knows.

A row can only have one of these, so a question may name them all; when there is only one, the tables can be read in their own order
(`console/paging.py`). What rows have is asked once a minute: a new account comes with the settings, which are followed.
"""

import time

from console.asking import Asker
from console.listing import Question
from console.server.following import Following

REMEMBERED_S = 60.0
NOBODYS = "default"  # of payloads whose source does not exist
IN_ROWS = Question("SELECT DISTINCT account_id FROM event_revisions", {})


class Census:
    """Counts the accounts."""

    def __init__(self, asker: Asker, following: Following) -> None:
        self._asker = asker
        self._following = following
        self._in_rows: set[str] = set()
        self._good_until = 0.0

    async def accounts(self) -> list[str]:
        """Return all accounts that any row can have."""
        if time.monotonic() >= self._good_until:
            self._in_rows = {row["account_id"] for row in await self._asker.rows(IN_ROWS)}
            self._good_until = time.monotonic() + REMEMBERED_S
        properties = {str(value.get("account_id", NOBODYS)) for (kind, _), value in self._following.entities.items() if kind == "property"}
        return sorted({NOBODYS} | properties | self._in_rows)
