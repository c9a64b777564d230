"""One fault under traffic: clicks, then payloads over HTTP while it strikes, then late clicks while it strikes again; then the verdict.

The rows are fetched until they are the reference's or the patience is over, and once more a little later: what comes doubled comes late.
Recovery is the time from the moment when the last strike was undone until a click and a conversion that were sent at that moment stand as a
row. It includes a restart of Python, and waiting behind what piled up.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import aiohttp
import orjson

from bench.chaos import judge, world
from bench.chaos.faults import Fault
from bench.chaos.judge import Verdict
from bench.chaos.stack import REFERENCE, ChaosStack
from bench.fault_rig import PARTITIONS, PII_KEY, drained
from bench.kills import CLOCKS
from sinks import conservation
from sinks.feeds import FEEDS
from sinks.store import Store
from streams.partition import partition_of
from streams.runtime.memory import Memory
from streams.topology import EVENTS, LOOKUPS, PAYLOADS, POSTBACKS, VISITS

AGAIN_S = 1.5
APART = f"{CLOCKS}, revision"  # how many revisions an answer that is late adds is chance; where they end is not
ASK_S = 0.5
SENDERS = 16
READ = (PAYLOADS.name, VISITS.name, POSTBACKS.name)


class Row(NamedTuple):
    """A line of the table."""

    promise: str
    fault: str
    tries: int
    payloads: int
    lost: int
    doubled: int
    differing: int
    recovery_s: float | None
    seconds: float
    named: tuple[str, ...] = ()
    note: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the promise held."""
        return not (self.lost or self.doubled or self.differing) and self.recovery_s is not None


class Round:
    """One fault. `first` is the first number of its families: none is used twice in a stack."""

    def __init__(self, stack: ChaosStack, fault: Fault, tries: int, *, rate: float, first: int, seed: int, patience_s: float) -> None:
        self._stack = stack
        self._fault = fault
        self._tries = tries
        self._rate = rate
        self._patience_s = patience_s
        self._rng = random.Random(seed)
        seconds = tries * fault.expected_s + 5
        self._longest_s = 2.5 * tries * fault.expected_s  # on a machine that is busy
        self._struck = 0
        self._families = world.families(first, int(seconds * rate / 5) + 10, seed)
        self._probe = world.probe(first + len(self._families), int(time.time() * 1000))
        self._known = {p["n"]: p for family in [*self._families, self._probe] for p in family.payloads}
        self.next = first + len(self._families) + 1
        self.accepted: list[str] = []
        self.refused: Counter[str] = Counter()
        self._memory = Memory(stack.workspace, partitions=PARTITIONS, pii_key=PII_KEY.encode())
        self._clicks: dict[int, list[dict[str, Any]]] = {}
        self._is_over = False

    async def run(self) -> Row:
        """Strike, wait, judge."""
        began = time.monotonic()
        self._begin = {topic: await self._stack.ends(topic) for topic in READ}
        self._stack.begin = {topic: dict(ends) for topic, ends in self._begin.items()}
        await self._click(self._families, "clicks")
        await self._click([self._probe], "clicks")
        await self._indexed()
        await self._take_log(VISITS.name)
        sending = asyncio.create_task(self._send())
        try:
            await self._strike(self._tries)
            undone = time.monotonic()
            await self._post(self._probe.payloads[0])
            recovery_s = await self._until_row(self._probe, undone)
        finally:
            self._is_over = True
        await sending
        await self._until_log_has_all()
        await self._take_log(PAYLOADS.name)
        verdict, named = await self._verdict()
        if verdict.is_clean:
            await self._late_clicks()
            verdict, named = await self._verdict()
        verdict += await self._postbacks() + await self._arrivals() + await self._dead_letters() + await self._conserved()
        named = (*named, *verdict.named)
        return Row(
            self._fault.promise, self._fault.name, self._struck, len(set(self.accepted)), verdict.lost, verdict.doubled, verdict.differing,
            recovery_s, round(time.monotonic() - began, 1), tuple(dict.fromkeys(named))[:10], self._fault.note(self._stack),
        )  # fmt: skip

    async def _strike(self, tries: int) -> None:
        """Strike so often, or as often as there is time for."""
        ends_at = time.monotonic() + self._longest_s
        for _ in range(tries):
            if time.monotonic() > ends_at:
                break
            await asyncio.sleep(self._rng.uniform(0, 2 * self._fault.pause_s))
            await self._fault.strike(self._stack, self._rng)
            self._struck += 1

    async def _late_clicks(self) -> None:
        """The clicks that heal: roles are struck meanwhile, too; a fault of the services is not repeated."""
        await self._click(self._families, "late")
        if self._fault.is_of_roles:
            await self._strike(max(1, self._tries // 10))
        await self._indexed()
        await self._take_log(VISITS.name)

    async def _click(self, families: Iterable[world.Family], which: str) -> None:
        now = int(time.time() * 1000)
        for family in families:
            for click in getattr(family, which):
                to = click["id"].encode()
                await self._stack.producer.send(VISITS.name, world.visit(click, now), to, partition_of(to, PARTITIONS), timestamp_ms=now)
                self._clicks.setdefault(family.number, []).append(click)
        await self._stack.producer.flush()

    async def _indexed(self) -> None:
        await drained(self._stack, VISITS.name)
        for _hop in ("click id", "its other identifiers"):
            await drained(self._stack, LOOKUPS.name)

    async def _send(self) -> None:
        """Payloads at the given rate until the fault is over, by senders that try again."""
        payloads = iter([p for family in self._families for p in family.payloads])
        began, count = time.monotonic(), 0

        async def sender() -> None:
            nonlocal count
            for payload in payloads:
                if self._is_over:
                    return
                count += 1
                await asyncio.sleep(max(0.0, began + count / self._rate - time.monotonic()))
                await self._post(payload)

        await asyncio.gather(*(sender() for _ in range(SENDERS)))

    async def _post(self, payload: dict[str, Any]) -> None:
        """Send one payload until it is accepted, as a patient sender does."""
        url = f"http://127.0.0.1:{self._stack.ports['ingest']}/in/{payload['source']}-{payload['property']}"
        headers = {"Content-Type": "application/json"}
        while True:
            try:
                async with self._stack.http.post(url, data=world.body(payload), headers=headers) as answer:
                    if answer.status < 300:
                        self.accepted.append(payload["n"])
                        return
                    self.refused[str(answer.status)] += 1
                    if answer.status < 500 and answer.status != 429:
                        raise RuntimeError(f"{url}: {answer.status} {await answer.text()}")
            except (aiohttp.ClientError, OSError, TimeoutError):
                self.refused["no answer"] += 1
            await asyncio.sleep(0.2)

    async def _until_row(self, family: world.Family, since: float) -> float | None:
        query = f"SELECT count() FROM events WHERE status = 'ok' AND transaction_id = '{family.payloads[0]['tx']}'"  # noqa: S608  our own number
        while time.monotonic() - since < self._patience_s:
            if (await self._stack.sql(query)).strip() != "0":
                return round(time.monotonic() - since, 1)
            await asyncio.sleep(0.1)
        return None

    async def _until_log_has_all(self) -> None:
        """Wait until what was accepted is in the log: it may lie in the spool. The patience's end is for the verdict to tell."""
        ends_at = time.monotonic() + self._patience_s
        while time.monotonic() < ends_at:
            self._payloads = await self._stack.records(PAYLOADS.name, self._begin[PAYLOADS.name])
            self._received = world.as_received(self._payloads, self._known, self._stack.flips)
            there = Counter(payload["n"] for _, payload in self._received)
            if not Counter(self.accepted) - there:
                return
            await asyncio.sleep(ASK_S)

    async def _take_log(self, topic: str) -> None:
        """Move what the log has by now through the stages over lists, in the steps that the clicks' barriers make."""
        records = self._payloads if topic == PAYLOADS.name else await self._stack.records(topic, self._begin[topic])
        for record in records:
            if not dict(record.headers).get("chaos"):
                self._memory.log.setdefault((topic, record.partition), []).append(record)
        await asyncio.to_thread(self._memory.run)
        if topic == VISITS.name:
            self._begin[topic] = await self._stack.ends(topic)

    async def _reference(self) -> dict[str, str]:
        """The rows that must be, by event id, as ClickHouse prints them."""
        rows = [r for (topic, _), records in self._memory.log.items() if topic == EVENTS.name for r in records]
        store = Store(self._stack.url, REFERENCE)
        if rows:
            await store.insert(FEEDS[0], rows)
        await store.close()
        lines = await self._lines(f"{REFERENCE}.events")
        return {line.split('"', 4)[3]: line for line in lines}

    async def _lines(self, view: str) -> list[str]:
        spans = {number: [offset for offset in self._offsets if offset[0] == number] for number in range(PARTITIONS)}
        where = " OR ".join(
            f"(partition = {number} AND offset BETWEEN {min(found)[1]} AND {max(found)[1]})" for number, found in spans.items() if found
        )
        text = await self._stack.sql(f"SELECT * EXCEPT({APART}) FROM {view} WHERE {where or 'false'} FORMAT JSONEachRow")  # noqa: S608  our own words
        return text.splitlines()

    async def _verdict(self) -> tuple[Verdict, tuple[str, ...]]:
        """Compare until equal, or until the patience is over."""
        self._offsets = [(record.partition, record.offset) for record in self._payloads]
        await self._stack.sql(f"TRUNCATE TABLE {REFERENCE}.event_revisions")
        wanted = await self._reference()
        says = world.expected(self._received, self._clicks)
        ends_at = time.monotonic() + self._patience_s
        while True:
            found = await self._lines("events")
            verdict = judge.rows(wanted, found) + judge.briefs(says, found) + await self._doubled()
            if verdict.is_clean or time.monotonic() > ends_at:
                break
            await asyncio.sleep(ASK_S)
        await asyncio.sleep(AGAIN_S)
        found = await self._lines("events")
        verdict = judge.rows(wanted, found) + judge.briefs(says, found) + await self._doubled()
        there = {payload["n"] for _, payload in self._received}
        missing = [n for n in set(self.accepted) if n not in there]
        verdict += Verdict(lost=len(missing), named=tuple(f"{n} was accepted and is not in the log" for n in missing[:3]))
        return verdict, verdict.named

    async def _doubled(self) -> Verdict:
        """Verdicts that were written twice (nothing is merged while we look), and revisions that are missing between others."""
        found = int(await self._stack.sql("SELECT count() - uniqExact(event_id, revision) FROM event_revisions"))
        numbers = "SELECT max(revision) AS last, uniqExact(revision) AS count FROM event_revisions GROUP BY event_id"
        gaps = int(await self._stack.sql(f"SELECT sum(last - count) FROM ({numbers})"))  # noqa: S608  our own words
        named = (f"{found} verdicts are written twice, {gaps} revisions are missing",) if found or gaps else ()
        return Verdict(lost=gaps, doubled=found, named=named)

    async def _postbacks(self) -> Verdict:
        """Each conversion is reported once to each destination, and what a destination was told last is what the stages over lists say."""
        records = await self._stack.records(POSTBACKS.name, self._begin[POSTBACKS.name])
        found = [orjson.loads(record.value or b"") for record in records if not dict(record.headers).get("chaos")]
        self._requests = {request["postback_id"] for request in found}
        rows = self._memory.events()
        wanted, counts = self._memory.postbacks(), [request for request in found if judge.is_settled(request, rows)]
        must = [request for request in wanted if judge.is_settled(request, rows)]
        conversions = judge.counted(*([judge.place_of(one) for one in these if one["kind"] == "conversion"] for these in (must, counts)))
        told = judge.counted(judge.last_told(must), judge.last_told(counts))
        return (conversions + told + judge.counted(self._requests, [one["postback_id"] for one in found]))._replace(wanted=0)

    async def _arrivals(self) -> Verdict:
        """Every request has ended; what was delivered arrived, and twice only if the record has a try with an unknown result."""
        ends_at = time.monotonic() + self._patience_s
        query = "SELECT postback_id, state, attempts FROM postbacks FORMAT TSV"
        while True:
            states = {one: state for one, state, _ in (line.split("\t") for line in (await self._stack.sql(query)).splitlines())}
            open_ = [one for one in self._requests if states.get(one) not in {"delivered", "not_sent", "failed"}]
            if not open_ or time.monotonic() > ends_at:
                break
            await asyncio.sleep(ASK_S)
        arrived: Counter[str] = Counter()
        for counted in self._stack.destinations.received.values():
            arrived += counted
        delivered = [one for one in self._requests if states.get(one) == "delivered"]
        tries = "SELECT postback_id, countIf(attempt > 0 AND (status_code IS NULL OR status_code = 0)) FROM postback_attempts GROUP BY postback_id FORMAT TSV"
        unknown = {one: int(count) for one, count in (line.split("\t") for line in (await self._stack.sql(tries)).splitlines())}
        lost = [*open_, *(one for one in delivered if not arrived[one])]
        failed = [one for one in self._requests if states.get(one) == "failed"]
        doubled = [one for one in self._requests if arrived[one] > 1 + unknown.get(one, 0)]
        named = [f"postback {one} is {states.get(one)}, arrived {arrived[one]} times" for one in [*lost, *failed, *doubled][:5]]
        return Verdict(0, len(lost), len(doubled), len(failed), tuple(named))

    async def _dead_letters(self) -> Verdict:
        """What was poison, and nothing else, lies among the dead letters; each role that reads a topic buries its own."""
        ends_at = time.monotonic() + self._patience_s
        while True:
            count, once, letters = map(
                int,
                (
                    await self._stack.sql(
                        "SELECT count(), uniqExact(origin_topic, origin_partition, origin_offset), uniqExact(log_topic, log_partition, log_offset) FROM dead_letters FORMAT TSV"
                    )
                ).split(),
            )
            if once >= self._stack.poisoned or time.monotonic() > ends_at:
                break
            await asyncio.sleep(ASK_S)
        named = (
            (f"{count} dead letters of {once} records, {self._stack.poisoned} were poison",)
            if not (count == letters and once == self._stack.poisoned)
            else ()
        )
        return Verdict(0, max(0, self._stack.poisoned - once), count - letters, max(0, once - self._stack.poisoned), named)

    async def _conserved(self) -> Verdict:
        report = await conservation.check(self._stack.url, {"bootstrap_servers": self._stack.bootstrap}, settle_s=self._patience_s / 3)
        if report.is_whole:
            return Verdict()
        lost, doubled = (sum(getattr(p, name) for p in report.partitions) for name in ("missing_count", "doubled_count"))
        return Verdict(0, lost, doubled, int(not lost + doubled), tuple(report.lines()))
