"""Copies superseded verdicts into a table of their own, so that counting the current ones needs no join.

Of 10 million events 3 % had a second verdict, and to leave those out cost each count over all time 500 to 1,800 CPU-ms: every row had to be
compared with the set of the revised ones. All verdicts less a table of the superseded ones is the same number for 60. A materialized
view cannot fill it: an insert of a later verdict would have to find the earlier one, which may stand in the same insert.

So the sink looks every EVERY_S, beside its inserts and never in their way: new later verdicts, and the ones before them by their key. It may do so
twice, or in several processes at once: the copies are equal and fold. It may be behind, or not run at all: whoever counts compares two
numbers first, and asks the view when they differ (`console/counting.py`). So nothing here can make a count wrong, only slow.
"""

# ruff: noqa: S608 - all that is pasted into SQL here are names of our own

import asyncio
from typing import Any

import aiohttp
import clickhouse_connect
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from sinks.connection import client_args
from sinks.tables import SUPERSEDED_VERDICTS

log = structlog.get_logger(__name__)

EVERY_S = 0.5
FIRST_S = 3600.0  # the first look copies everything
OVERLAP_MS = 600_000  # of each look with the one before: verdicts of several partitions come a little out of order
KEY = "account_id, received_at, event_id"
LOOK = "SELECT count() AS revised, toUnixTimestamp64Milli(max(judged_at)) AS newest_ms FROM event_revisions WHERE revision > 1"


def fill(since_ms: int = 0) -> str:
    """Return the statement that copies what later verdicts since a time supersede, unless it is there."""
    columns = ", ".join(f"`{column.name}`" for column in SUPERSEDED_VERDICTS.columns)
    later = f"SELECT {KEY}, toUInt32(revision - 1) FROM event_revisions WHERE revision > 1 AND judged_at >= fromUnixTimestamp64Milli({since_ms}, 'UTC')"
    new = f"{later} AND ({KEY}, toUInt32(revision - 1)) GLOBAL NOT IN (SELECT {KEY}, revision FROM {SUPERSEDED_VERDICTS.name})"
    return f"INSERT INTO {SUPERSEDED_VERDICTS.name} ({columns}) SELECT {columns} FROM event_revisions WHERE ({KEY}, revision) GLOBAL IN ({new})"


class Superseding:
    """Looks at one database."""

    def __init__(self, url: str, database: str) -> None:
        self._url, self._database = url, database
        self._client: Any = None
        self._revised, self._newest_ms = 0, 0

    async def run(self) -> None:
        """Look until cancelled. Errors are logged and tried again: the sink's own work must not end with this."""
        try:
            while True:
                try:
                    await self.look()
                except (ClickHouseError, OSError, aiohttp.ClientError) as error:
                    log.warning("superseded verdicts not copied", error=str(error)[:300])
                    await self.close()
                    self._client = None
                    await asyncio.sleep(10 * EVERY_S)
                await asyncio.sleep(EVERY_S)
        finally:
            await self.close()

    async def look(self) -> None:
        """Copy what is new since the last look."""
        if self._client is None:
            self._client = await clickhouse_connect.get_async_client(
                **client_args(self._url, self._database), autogenerate_session_id=False, connect_timeout=5, send_receive_timeout=FIRST_S
            )
        (found,) = (await self._client.query(LOOK)).named_results()
        if found["revised"] != self._revised:
            await self._client.command(fill(max(0, self._newest_ms - OVERLAP_MS)), settings={"max_execution_time": FIRST_S})
            self._revised, self._newest_ms = found["revised"], found["newest_ms"]

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()
