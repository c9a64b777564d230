"""The four things that the sink asks of ClickHouse: insert, which offsets are there, how far they go, which inserts still run.

Over clickhouse-connect, with two of its kindnesses avoided: it repeats an insert when the connection breaks, although the server may have
done the work (a body that it cannot rewind is sent once), and `async_insert` acknowledges rows before they are stored.
Every error leaves here sorted into our families (errors.py).
"""

# ruff: noqa: S608 - all that is pasted into SQL here are numbers and names of our own

import asyncio
import io
from collections.abc import Mapping
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from sinks.connection import client_args
from sinks.errors import sorted_error
from sinks.feeds import Feed, Records

Place = tuple[int, int, int]
"""(partition, offset, record time in ms). The time tells a record from another one at the same offset of a topic that was made anew."""

INSERT_SETTINGS = {
    "async_insert": 0,
    "distributed_foreground_insert": 1,  # on a cluster: the answer comes after the shards have the rows
    "insert_deduplicate": 0,  # identical blocks are no duplicates: we know better, by offset
    "input_format_parallel_parsing": 0,  # 48,000 instead of 8,000 rows/s for batches of 2,000, 61,000 instead of 37,000 for 20,000
    "input_format_skip_unknown_fields": 1,  # a newer ledger may add fields before the table has them
    "input_format_json_read_objects_as_strings": 1,
    "input_format_json_read_arrays_as_strings": 1,
    "input_format_json_read_numbers_as_strings": 1,
    "input_format_json_named_tuples_as_objects": 0,  # identifiers travel as [kind, key]
}
ONE_REPLICA = {"load_balancing": "in_order"}  # on a cluster: reads ask the replica of a shard that inserts go to, while it lives
RUNNING_POLL_S = 0.1


class Store:
    """A ClickHouse database. Connects when first used, so that a sink can start before ClickHouse does."""

    def __init__(self, url: str, database: str = "clicktrail", timeout_s: float = 60, cluster: str = "") -> None:
        self._url = url
        self._database = database
        self._processes = f"clusterAllReplicas('{cluster}', system.processes)" if cluster else "system.processes"
        self._timeout_s = timeout_s
        self._client: Any = None
        self._connecting = asyncio.Lock()  # all topics ask at once

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                self._client = await clickhouse_connect.get_async_client(
                    **client_args(self._url, self._database),
                    settings=ONE_REPLICA,
                    send_receive_timeout=self._timeout_s,
                    connect_timeout=5,
                    query_limit=0,
                )
            return self._client

    async def insert(self, feed: Feed, records: Records) -> None:
        """Insert once. After any error the rows may be there, not be there, or be there in part."""
        body = io.BytesIO(feed.lines(records))
        try:
            client = await self._connected()
            await client.raw_insert(feed.table.name, feed.table.insert_columns(), body, INSERT_SETTINGS, "JSONEachRow")
        except ClickHouseError as error:
            raise sorted_error(error) from error

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query. Reads may be repeated, so the client's own retries are welcome here."""
        try:
            return list((await (await self._connected()).query(sql)).result_rows)
        except ClickHouseError as error:
            raise sorted_error(error) from error

    async def present(self, feed: Feed, spans: Mapping[int, tuple[int, int]]) -> set[Place]:
        """Return the places of the rows that are there, of the spans partition -> (first offset, last offset)."""
        within = " OR ".join(f"(log_partition = {p} AND log_offset BETWEEN {a} AND {b})" for p, (a, b) in spans.items())
        time = f"toUnixTimestamp64Milli({feed.table.log_time})"
        sql = f"SELECT log_partition, log_offset, {time} FROM {feed.table.name} WHERE {feed.scope}({within})"
        return set(await self.query(sql))

    async def highest(self, feed: Feed, starts: Mapping[int, int]) -> dict[int, int]:
        """Return partition -> the highest offset that is there from the given one on; partitions without any are left out."""
        within = " OR ".join(f"(log_partition = {p} AND log_offset >= {a})" for p, a in starts.items())
        columns = "SELECT log_partition, max(log_offset)"
        sql = f"{columns} FROM {feed.table.name} WHERE {feed.scope}({within}) GROUP BY log_partition"
        return dict(await self.query(sql))

    async def wait_for_running_inserts(self, feed: Feed) -> None:
        """Return when every insert into the table that runs now has ended: a server works on after its client is gone.

        On a cluster it asks all of it: an insert runs where it came in, and on the shards that its rows go to.
        """
        condition = f"query_kind = 'Insert' AND match(query, 'INSERT INTO [^ ]*{feed.table.name}`? ')"
        running = f"SELECT query_id FROM {self._processes} WHERE {condition}"
        waiting = set(await self.query(running))
        while waiting:
            await asyncio.sleep(RUNNING_POLL_S)
            waiting &= set(await self.query(running))

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()
