"""One destination's lane: what is due for it, in order, within its limits. Lanes share nothing, so a slow destination holds up nobody else.

A try goes: take what is due -> put on record that it begins -> send -> put on record how it ended. What becomes of it is read back from
the committed state (`desk.py`), never assumed here. The breaker, the rate and the pause decide *when* a try begins; only a try uses up
one of the destination's retries.
"""

import asyncio
import heapq
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson

from schemas.destinations import Destination
from streams.delivery import schedule
from streams.delivery.breaker import Breaker
from streams.delivery.client import Client
from streams.delivery.message import Answer, NotSent
from streams.delivery.outcome import Outcome, judged
from streams.delivery.request import made
from streams.delivery.stage import DELIVERED, FAILED, NOT_SENT, WAITING
from streams.runtime import failpoints, tracing

if TYPE_CHECKING:
    from streams.delivery.desk import Ticket
    from streams.delivery.sender import Sender

LONGEST_QUIET_MS = 300_000  # a Retry-After holds up the others of its destination for so long at most
RESPONSE_SHOWN = 2_000  # bytes of an answer that are kept
UNKNOWN = "the sender was stopped during this try: whether it arrived is not known"


def now_ms() -> int:
    """The wall clock: due times are compared across machines and restarts."""
    return time.time_ns() // 1_000_000


class Lane:
    """One destination."""

    def __init__(self, destination_id: str, sender: "Sender") -> None:
        self.destination_id = destination_id
        self.in_flight = 0
        self.last_success_ms = 0
        self.breaker = Breaker()
        self._sender = sender
        self._due: list[tuple[int, int, Ticket]] = []
        self._order = count()
        self._wake = asyncio.Event()
        self._client: tuple[Destination, Client] | None = None
        self._quiet_until_ms = 0
        self._tokens, self._tokens_ms = 1.0, now_ms()
        self._probed_ms = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner = asyncio.create_task(sender.guarded(self._run()), name=f"lane {destination_id}")

    def push(self, ticket: "Ticket") -> None:
        """Take a ticket; it is tried when it is due."""
        heapq.heappush(self._due, (ticket.at_ms, next(self._order), ticket))
        self._wake.set()

    def look(self) -> None:
        """Something changed: the destination's settings."""
        self._wake.set()

    @property
    def waiting(self) -> int:
        """How many tickets wait."""
        return len(self._due)

    async def close(self, patience_s: float) -> None:
        """Begin nothing more, let the tries end that have begun."""
        self._runner.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        if self._client is not None:
            await self._client[1].close()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            now = now_ms()
            wait_ms = self._wait_ms(now)
            if wait_ms == 0:
                if tickets := self._take(now, self._room(now)):
                    self._start(self._carry(tickets))
                else:
                    await asyncio.sleep(0.01)
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), None if wait_ms is None else wait_ms / 1000)
            except TimeoutError:
                continue

    def _wait_ms(self, now: int) -> int | None:
        """How long nothing can begin; None: until something changes, 0: something can begin now."""
        while self._due and not self._due[0][2].is_live:
            heapq.heappop(self._due)
        if not self._due:
            return None
        destination = self._sender.destination(self.destination_id)
        begin = max(self._due[0][0], self._quiet_until_ms)
        if destination is not None:
            if not destination.is_enabled or destination.paused == "by_hand":
                return None
            if destination.paused == "after_failures":
                if self.in_flight:
                    return None
                begin = max(begin, self._probed_ms + self._sender.paused_probe_ms)
            if self.in_flight >= destination.sending.concurrency or self.breaker.phase == "half_open":
                return None  # the end of a try wakes us
            begin = max(begin, self.breaker.open_until_ms, self._rate_ms(destination, now))
        return max(0, begin - now)

    def _rate_ms(self, destination: Destination, now: int) -> int:
        """When the next try may begin by the rate: a bucket that holds a tenth of a second."""
        rate = destination.sending.rate_per_s
        if rate is None:
            return now
        self._tokens = min(max(1.0, rate / 10), self._tokens + (now - self._tokens_ms) * rate / 1000)
        self._tokens_ms = now
        return now if self._tokens >= 1 else now + max(1, int((1 - self._tokens) * 1000 / rate))

    def _room(self, now: int) -> int:
        """How many tries may begin now."""
        destination = self._sender.destination(self.destination_id)
        if destination is None:
            return 100
        room = destination.sending.concurrency - self.in_flight
        permitted = self.breaker.permits(now)
        if destination.paused is not None:
            permitted, self._probed_ms = 1, now
        if permitted is not None:
            room = min(room, permitted)
        return min(room, int(self._tokens)) if destination.sending.rate_per_s is not None else room

    def _take(self, now: int, most: int) -> "list[Ticket]":
        """Take up to so many tickets that are due."""
        found: list[Ticket] = []
        while len(found) < most and self._due and self._due[0][0] <= now:
            ticket = heapq.heappop(self._due)[2]
            if ticket.is_live:
                found.append(ticket)
        destination = self._sender.destination(self.destination_id)
        if found and self.breaker.phase == "open":
            self.breaker = self.breaker.after("probe", now)
        if destination is not None and destination.sending.rate_per_s is not None:
            self._tokens -= len(found)
        self.in_flight += len(found)
        return found

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(self._sender.guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, tickets: "list[Ticket]") -> None:
        """Put on record that these tries begin, then begin them."""
        for ticket in tickets:
            if ticket.is_interrupted:
                await self._report_unknown(ticket)
        begun = [(ticket, value) for ticket in tickets if not ticket.is_interrupted and (value := ticket.request()) is not None]
        self._free(len(tickets) - len(begun))
        if not begun:
            self.breaker = self.breaker.after("nothing", now_ms())
            return
        at_ms = now_ms()
        await self._sender.report(
            [
                (ticket.partition, {"type": "begun", "postback_id": ticket.postback_id, "attempt": ticket.attempt, "by": self._sender.name, "at_ms": at_ms})
                for ticket, _ in begun
            ]
        )  # fmt: skip
        failpoints.hit("attempt_begun")
        for ticket, value in begun:
            self._start(self._try(ticket, orjson.loads(value)))

    def _free(self, number: int) -> None:
        self.in_flight -= number
        self._wake.set()

    async def _try(self, ticket: "Ticket", request: dict[str, Any]) -> None:
        """One try, from the populated request to its end on record."""
        sent_ms = now_ms()
        if (destination := self._sender.destination(self.destination_id)) is None:
            await self._sender.settled(request["settings_version"])  # a new one: this worker's settings may be a moment behind
            destination = self._sender.destination(self.destination_id)
        shown: dict[str, Any] = {"postback_url": "", "request": "", "response": None, "status_code": None, "duration_ms": None}
        if destination is None:
            outcome, answer = Outcome("failed", "the destination was deleted"), Answer()
        else:
            try:
                ready = made(request, destination, ticket.attempt, sent_ms)
            except NotSent as why:
                self.breaker = self.breaker.after("nothing", sent_ms)
                self._free(1)
                state, message = (FAILED, f"not sent: {why}") if why.is_error else (NOT_SENT, None)
                ended = {"state": state, "is_error": int(why.is_error), "error_message": message, "sent_ms": sent_ms}
                await self._end(ticket, shown | ended | {"response": f"not sent: {why}"})
                return
            began = time.monotonic()
            answer = await self._client_of(destination).send(ready.http)
            shown |= {"postback_url": ready.url, "request": ready.text, "duration_ms": int((time.monotonic() - began) * 1000)}
            failpoints.hit("postback_sent")
            outcome = judged(answer, destination)
            self._trace(request, ticket, outcome, answer, time.monotonic() - began)
        self._learn(outcome, answer)
        self._free(1)
        shown |= {"status_code": answer.status, "response": _text(answer.body) if answer.status is not None else None}
        await self._end(ticket, shown | self._ended(ticket, destination, outcome, answer, sent_ms))

    def _learn(self, outcome: Outcome, answer: Answer) -> None:
        now = now_ms()
        self.breaker = self.breaker.after("failure" if outcome.is_down else "success", now)
        if outcome.verdict == "delivered":
            self.last_success_ms = now
        if answer.status == 429 and (asked_s := schedule.retry_after_s(answer.headers.get("Retry-After"), now)):
            self._quiet_until_ms = now + min(int(asked_s * 1000), LONGEST_QUIET_MS)
        self._sender.learned(self, outcome)

    def _trace(self, request: dict[str, Any], ticket: "Ticket", outcome: Outcome, answer: Answer, seconds: float) -> None:
        if tracing.is_on():
            said = {
                "clicktrail.destination_id": self.destination_id,
                "clicktrail.attempt": ticket.attempt,
                "clicktrail.event_id": request["event_id"],
            }
            status = {} if answer.status is None else {"http.response.status_code": answer.status}
            is_error = outcome.verdict != "delivered"
            tracing.span(f"postback {self.destination_id}", request.get("traceparent"), seconds, {**said, **status}, is_error=is_error)

    def _ended(self, ticket: "Ticket", destination: Destination | None, outcome: Outcome, answer: Answer, sent_ms: int) -> dict[str, Any]:
        """What the record says of an end: state, error, and when it is tried again."""
        state, due_ms, message = {"delivered": DELIVERED, "retry": WAITING, "failed": FAILED}[outcome.verdict], None, outcome.message
        if state == WAITING and destination is not None:
            now = now_ms()
            asked_s = schedule.retry_after_s(answer.headers.get("Retry-After"), now)
            pauses = destination.sending.retry_after_s
            due_ms = schedule.next_ms(ticket.postback_id, ticket.tries, now, pauses, asked_s=asked_s, is_busy=answer.status == 429)
            if due_ms is None:
                state, message = FAILED, f"{message}; given up after {ticket.tries} tries"
        return {
            "state": state, "is_error": int(state != DELIVERED), "is_down": outcome.is_down, "error_message": message, "sent_ms": sent_ms,
            "next_attempt_ms": due_ms,
        }  # fmt: skip

    async def _report_unknown(self, ticket: "Ticket") -> None:
        """A try that a former sender began and nobody ended: on record as that, and tried again."""
        ended = {
            "state": WAITING, "is_error": 1, "error_message": UNKNOWN, "sent_ms": ticket.begun_ms, "next_attempt_ms": now_ms(), "postback_url": "",
            "request": "", "response": None, "status_code": None, "duration_ms": None,
        }  # fmt: skip
        await self._end(ticket, ended)

    async def _end(self, ticket: "Ticket", ended: dict[str, Any]) -> None:
        message = {"type": "ended", "postback_id": ticket.postback_id, "attempt": ticket.attempt, "by": self._sender.name, **ended}
        await self._sender.report([(ticket.partition, message)])
        failpoints.hit("attempt_recorded")

    def _client_of(self, destination: Destination) -> Client:
        """The connections as the destination's settings stand now; old ones are closed when their tries have ended."""
        if self._client is None or self._client[0] is not destination:
            if self._client is not None:
                old = self._client[1]
                asyncio.get_running_loop().call_later(self._client[0].sending.timeout_s + 1, lambda: asyncio.ensure_future(old.close()))
            self._client = destination, self._sender.client(destination)
        return self._client[1]


def _text(body: bytes) -> str:
    return body[:RESPONSE_SHOWN].decode(errors="replace")
