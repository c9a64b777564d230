"""`/in/<source_id>` and `/in/<source_id>/bulk`: payloads come in, and are answered when they cannot be lost any more.

Ingest never judges: a duplicate, a test or a payload that nobody can read is answered 2xx and becomes a row. What is stored is the body
as received; for a GET, and only there, the raw query string. The routing key is the one thing ingest reads out of a payload.
"""

from collections.abc import AsyncIterator
from itertools import islice

from aiohttp import web

from schemas.event import CONTENT_TYPE
from schemas.identity import event_id
from streams.csv_payload import is_csv
from streams.ingest import auth, csv_rows, metrics
from streams.ingest.answers import Refused, json_response
from streams.ingest.body import Body, Reader
from streams.ingest.context import Arrival, Context, Headers, payload_headers
from streams.ingest.doors import Door
from streams.ingest.ids import new_id
from streams.ingest.intake import Accepted, TooLarge
from streams.ingest.record import OVERHEAD_BYTES, Record
from streams.ingest.spool import SpoolFull
from streams.topology import PAYLOADS

BULK_LINES = 2_000  # lines that wait for one ack together; the event loop belongs to them for 20 ms
REFUSED_LINES = 1_000  # refused lines that an answer names


async def one(context: Context, arrival: Arrival, source_id: str) -> web.Response:
    """Take one payload. 202 with its event id, or the source's own answer with 200."""
    request = arrival.request
    door = context.doors.of(source_id)
    ip = arrival.ip(context.trusted_proxies)
    door.admit(ip)
    reader = Reader(request, context.meter, context.max_payload_bytes)
    try:
        body = await reader.read() if request.method == "POST" else Body(arrival.query, arrival.query)
        auth.check(door.rules.source.auth, request.headers, arrival.query, body)
        receipt = new_id(arrival.now_ms)
        headers = payload_headers(arrival, source_id, context.doors.version, receipt, ip)
        key = context.parser.route(door.rules, body.plain, headers).encode("utf-8", "replace")
        accepted = await stored(context, [Record(PAYLOADS.name, key, body.plain, arrival.now_ms, headers)])
    finally:
        reader.release()
    metrics.BYTES.inc(len(body.plain))
    if door.answer is not None:
        return web.Response(text=door.answer, headers={"X-Clicktrail-Receipt": receipt})
    return json_response(answer(context, accepted, receipt))


async def stored(context: Context, records: list[Record]) -> Accepted:
    """Return when the records are safe, or raise Refused."""
    try:
        return await context.intake.accept(records)
    except SpoolFull as error:
        raise Refused("unavailable", error.what) from error
    except TooLarge as error:
        raise Refused("topic_too_small") from error


def answer(context: Context, accepted: Accepted, receipt: str) -> dict[str, object]:
    """Return the JSON of an acceptance. Without a known place in the log (spooled) the receipt finds the event later."""
    if accepted.offset < 0:
        return {
            "event_id": None,
            "receipt_id": receipt,
            "spooled": accepted.is_spooled,
            "inspect": f"{context.inspect_url}/events?q={receipt}",
        }
    found = event_id(context.epoch, accepted.partition, accepted.offset)
    return {"event_id": found, "receipt_id": receipt, "inspect": f"{context.inspect_url}/events/{found}"}


class Tally:
    """What became of a bulk upload so far."""

    def __init__(self, receipt: str) -> None:
        self.receipt = receipt
        self.lines = 0
        self.accepted = 0
        self.spooled = 0
        self.refused = 0
        self.named: list[dict[str, object]] = []

    def refuse(self, code: str) -> None:
        """Count the current line as refused."""
        self.refused += 1
        metrics.REFUSED.labels(code).inc()
        if len(self.named) < REFUSED_LINES:
            self.named.append({"line": self.lines, "reason": code})

    def as_json(self) -> dict[str, object]:
        """Return the answer."""
        return {
            "accepted": self.accepted, "refused": self.refused, "refused_lines": self.named,
            "spooled": self.spooled, "receipt_id": self.receipt,
        }  # fmt: skip


async def bulk(context: Context, arrival: Arrival, source_id: str) -> web.Response:
    """Take NDJSON, one payload a line, or CSV, one payload a row behind the header. 202 with counts; when it must stop midway, the error says how many lines are safe.

    Authenticated by token or password only: a signature covers a body that is never held as a whole. The lines of one call share its receipt.
    """
    door = context.doors.of(source_id)
    ip = arrival.ip(context.trusted_proxies)
    door.admit(ip, 0)
    source = door.rules.source
    if source.auth is not None:
        if source.auth.kind not in {"token", "basic"}:
            raise Refused("forbidden", "A source with signatures takes no bulk uploads.")
        auth.check(source.auth, arrival.request.headers, arrival.query, Body(b"", b""))
    reader = Reader(arrival.request, context.meter, context.max_payload_bytes)
    tally = Tally(new_id(arrival.now_ms))
    headers = payload_headers(arrival, source_id, context.doors.version, tally.receipt, ip)
    try:
        async for records in _records(context, door, reader, tally, headers, arrival.now_ms):
            if door.bucket is not None:
                door.admit(ip, len(records))
            where = await stored(context, records)
            tally.accepted += len(records)
            tally.spooled += len(records) if where.is_spooled else 0
            reader.release()
    except Refused as refused:
        raise Refused(refused.code, f"{tally.accepted} lines were accepted before.", **refused.headers) from refused
    finally:
        reader.release()
    return json_response(tally.as_json())


async def _records(
    context: Context, door: Door, reader: Reader, tally: Tally, headers: Headers, now_ms: int
) -> AsyncIterator[list[Record]]:
    rules, longest, route = door.rules, context.max_payload_bytes, context.parser.route
    rows = csv_rows.Rows(longest) if is_csv(dict(headers).get(CONTENT_TYPE, b"").decode()) else None

    def made(payload: bytes) -> Record:
        return Record(PAYLOADS.name, route(rules, payload, headers).encode("utf-8", "replace"), payload, now_ms, headers)

    async for lines in reader.lines():
        rest = iter(lines)
        while group := list(islice(rest, BULK_LINES)):
            each = OVERHEAD_BYTES + len((rows and rows.header) or b"")
            reader.hold(sum(map(len, group)) + each * len(group))
            records = []
            for raw in group:
                tally.lines += 1
                line = raw.removesuffix(b"\r")
                if not line.strip():
                    tally.refuse("empty_line")
                    continue
                payload = line if rows is None else rows.of(line)
                if payload is None:
                    continue
                if len(payload) > longest:
                    tally.refuse("too_large")
                else:
                    records.append(made(payload))
            if records:
                yield records
    if rows is not None and (left := rows.rest()) is not None:
        yield [made(left)]
