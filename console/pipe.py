"""The stages as a pipe: what flows in and out of each role, how far it is behind, how old its oldest waiting record is, its dead letters.

Everything is measured from outside, in Kafka and ClickHouse, so that a role that hangs cannot say that it is well. Each part has its own short
limit: a service that does not answer is reported as such within LIMIT_S, and the rest of the page is still there. Rates are the ends of the
topics now against those of an earlier look; records of transactions count their commit markers, so a nearly idle topic looks a little busier.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import aiohttp
from aiokafka.errors import KafkaError

from console import lagging
from console.asking import Asker
from console.lagging import Place
from console.listing import Question
from console.records import Records
from streams.runtime import probes, topics
from streams.runtime.errors import ClicktrailError, Unavailable
from streams.runtime.role_ports import ROLES as PORTS
from streams.runtime.role_ports import port_of
from streams.runtime.settings import Settings
from streams.topology import DEAD_LETTERS, ROLES, Role, dead_letters

LIMIT_S = 1.8  # of every part; with what is around it, an answer comes within 2 s
FRESH_S = 1.0  # an answer serves everybody who asks within this time
LEAST_GAP_S, MOST_GAP_S = 2.0, 90.0  # between the two looks of a rate
RECONNECT_S = 300.0  # partitions may have been added
MOST_AGED = 16  # partitions whose oldest waiting record is read
EVENTS_NOW = Question(
    "SELECT count() AS last_minute, countIf(status = 'error') AS errors, max(judged_at) AS newest FROM event_revisions "
    "WHERE received_at >= now() - INTERVAL 1 MINUTE",
    {},
)
ALL_TOPICS = tuple(dict.fromkeys([*(topic for role in ROLES for topic in (*role.inputs, *role.outputs)), *DEAD_LETTERS]))
T = TypeVar("T")


class Look(NamedTuple):
    """The ends of all topics at one moment."""

    at_s: float
    ends: dict[Place, int]


class Pipe:
    """Looks at the pipe. Used from one event loop."""

    def __init__(self, settings: Settings, asker: Asker, records: Records) -> None:
        self._settings, self._asker, self._records = settings, asker, records
        self._looks: deque[Look] = deque(maxlen=60)
        self._turn = asyncio.Lock()
        self._answer: tuple[float, dict[str, Any]] = (0.0, {})
        self._clients: tuple[Any, Any, dict[str, int], float] | None = None

    async def health(self) -> dict[str, Any]:
        """Return {is_well, services, stages, events}; never older than FRESH_S, never later than about LIMIT_S."""
        async with self._turn:
            if time.monotonic() - self._answer[0] > FRESH_S:
                found = await self._measured()
                self._answer = (time.monotonic(), found)
            return self._answer[1]

    async def _measured(self) -> dict[str, Any]:
        kafka, clickhouse, lag, events, ready = await asyncio.gather(
            _within(probes.kafka(self._settings.kafka, LIMIT_S), "no answer"),
            _within(asyncio.to_thread(probes.clickhouse, self._settings.clickhouse, LIMIT_S), "no answer"),
            _within(self._lag(), None),
            _within(self._asker.one(EVENTS_NOW, LIMIT_S), None),
            self._ready(),
        )
        services = [
            {"name": name, "is_well": said == probes.ANSWERS, "says": said} for name, said in (("kafka", kafka), ("clickhouse", clickhouse))
        ]
        rows, ends = lag or ([], {})
        stages = [self._stage(role, rows, ends, ready.get(role.name)) for role in ROLES]
        is_well = all(service["is_well"] for service in services) and all(stage["is_ready"] is not False for stage in stages)
        return {"is_well": is_well, "services": services, "stages": stages, "events": events, "at": datetime.now(UTC)}

    async def _lag(self) -> tuple[list[dict[str, Any]], dict[Place, int]]:
        """The lag of every input, with the age of what waits longest; and where every topic of the pipe ends."""
        try:
            admin, consumer, counts = await self._connected()
            ends = await lagging.ends_of(consumer, lagging.places(ALL_TOPICS, counts))
            rows = lagging.rows(counts, await lagging.committed_by_role(admin), ends)
        except BaseException:  # a cancelled one, too: what it was in the middle of is not to be used again
            await self.close()
            raise
        self._looks.append(Look(time.monotonic(), ends))
        behind = sorted((row for row in rows if row["lag"] > 0 and row["committed"] is not None), key=lambda row: -row["lag"])[:MOST_AGED]
        try:
            found = await self._records.read([(row["topic"], row["partition"], row["committed"]) for row in behind], LIMIT_S / 2)
        except Unavailable:
            found = {}
        now_ms = time.time() * 1000
        for row in rows:
            record = found.get((row["topic"], row["partition"], row["committed"]))
            row["oldest_s"] = max(0.0, (now_ms - record.timestamp) / 1000) if record is not None else None
        return rows, ends

    async def _connected(self) -> tuple[Any, Any, dict[str, int]]:
        """Connections that stay open: to open them costs more than all the questions."""
        if self._clients is None or time.monotonic() - self._clients[3] > RECONNECT_S:
            await self.close()
            admin = await topics.connected(self._settings)
            consumer = lagging.reader(self._settings)
            try:
                await consumer.start()
                counts = {state.topic.name: state.partitions for state in await topics.states(admin, self._settings)}
            except BaseException:
                await asyncio.shield(asyncio.gather(admin.close(), consumer.stop(), return_exceptions=True))
                raise
            self._clients = (admin, consumer, counts, time.monotonic())
        return self._clients[:3]

    async def close(self) -> None:
        """Close the connections; the next look opens them anew."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await asyncio.gather(clients[0].close(), clients[1].stop(), return_exceptions=True)
        await self._records.close()

    def _stage(self, role: Role, rows: list[dict[str, Any]], ends: dict[Place, int], ready: str | None) -> dict[str, Any]:
        mine = [row for row in rows if row["role"] == role.name]
        ages = [row["oldest_s"] for row in mine if row["oldest_s"] is not None]
        dead = {dead_letters(topic).name for topic in role.inputs}
        return {
            "name": role.name,
            "doc": role.doc,
            "inputs": [
                {"topic": topic.name, "lag": sum(row["lag"] for row in mine if row["topic"] == topic.name)} for topic in role.inputs
            ],
            "outputs": [topic.name for topic in role.outputs],
            "lag": sum(row["lag"] for row in mine) if rows else None,
            "oldest_s": round(max(ages), 1) if ages else 0.0 if rows else None,
            "in_per_s": self._rate({topic.name for topic in role.inputs}),
            "out_per_s": self._rate({topic.name for topic in role.outputs}),
            "dead_letters": sum(end for (topic, _), end in ends.items() if topic in dead) if ends else None,
            "is_ready": None if ready is None else ready == "ok",
            "says": ready,
        }

    def _rate(self, names: set[str]) -> float | None:
        """Records per second of some topics, None until there are two looks."""
        if not self._looks:
            return None
        now = self._looks[-1]
        earlier = next((look for look in self._looks if LEAST_GAP_S <= now.at_s - look.at_s <= MOST_GAP_S), None)
        if earlier is None or not names:
            return None
        gained = sum(end - earlier.ends.get(place, end) for place, end in now.ends.items() if place[0] in names)
        return round(max(0, gained) / (now.at_s - earlier.at_s), 2)

    async def _ready(self) -> dict[str, str]:
        """What each role's own health page says, where it is on this machine; elsewhere the orchestrator asks."""
        if self._settings.metrics_host not in {"127.0.0.1", "localhost"}:
            return {}
        timeout = aiohttp.ClientTimeout(total=LIMIT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            found = await asyncio.gather(*(self._asked(session, name) for name in PORTS))
        return {name: said for name, said in zip(PORTS, found, strict=True) if said is not None}

    async def _asked(self, session: aiohttp.ClientSession, role: str) -> str | None:
        try:
            async with session.get(f"http://127.0.0.1:{port_of(self._settings, role)}/readyz?verbose") as response:
                lines = (await response.text(errors="replace")).splitlines()
                return "ok" if response.status == 200 else "; ".join(line[3:] for line in lines if line.startswith("[-]")) or "not ready"
        except TimeoutError:
            return f"no answer within {LIMIT_S:g} s"
        except (aiohttp.ClientError, OSError):
            return "no answer"


async def _within(work: Awaitable[T], otherwise: T) -> T:
    """Wait for a part no longer than its limit; a part that fails is a finding, not a fault of the page."""
    try:
        async with asyncio.timeout(LIMIT_S):
            return await work
    except (TimeoutError, ClicktrailError, KafkaError, OSError):
        return otherwise
