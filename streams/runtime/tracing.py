"""Traces for whoever runs OpenTelemetry: one event's way across the roles. An opt-in extra (`pip install clicktrail[otel]`), all its names are here.

A sender's W3C `traceparent` (or, for a share of the payloads without one, one that ingest begins) is a header of the payload's record; from there
on it travels as a plain field of the JSON of every hop: probe, answer, row, postback request. So no stage knows of tracing, and whoever
handles a record can say whose trace it belongs to: the shell for every stage, the sink for an insert, the sender for a postback.

    POST /in/network             ingest, the parent of all the others
      process clicktrail.payloads.v1     ledger         process clicktrail.lookups.v1      attribution, once for each identifier asked
      process clicktrail.matches.v1      ledger         insert clicktrail.events.v1        sink, until ClickHouse has the row
      process clicktrail.postbacks.v1    delivery       postback <destination>             delivery, each try

Without an endpoint nothing of it is loaded, and a payload without a trace costs one look-up in a dictionary. With one, each record is
searched for the field (0.1 us for a kilobyte). Spans carry topic, partition and offset, a postback's destination, number and status;
never an address, a name or a payload. https://www.w3.org/TR/trace-context/, OpenTelemetry's conventions for messaging.
"""

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.event import TRACEPARENT
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings
from streams.stage import RecordLike

VALID = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
FIELD = b'"traceparent":"'
LENGTH = 55
NOT_SAMPLED = "-00"

_tracer: Any = None  # opentelemetry.trace.Tracer; the package need not be there


def configure(role: str, settings: Settings) -> None:
    """Begin to export this process's spans, if there is an endpoint. BadSettings without the packages."""
    global _tracer  # noqa: PLW0603  one process, one role
    if not settings.tracing.endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise BadSettings("CLICKTRAIL_TRACING__ENDPOINT needs OpenTelemetry.", 'Install it: pip install "clicktrail[otel]".') from error
    name = {"service.name": f"clicktrail-{role}", "service.namespace": "clicktrail", "service.instance.id": settings.instance_of(role)}
    provider = TracerProvider(resource=Resource.create(name), sampler=ParentBased(TraceIdRatioBased(settings.tracing.ratio)))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.tracing.endpoint)))  # flushed at exit
    _tracer = provider.get_tracer("clicktrail")


def is_on() -> bool:
    """Whether this process exports spans."""
    return _tracer is not None


def valid(traceparent: str) -> bool:
    """Whether a header is a trace context; whatever is none is left out, as W3C asks."""
    return VALID.fullmatch(traceparent) is not None


class Root:
    """Ingest's span of one request: `traceparent` is what its payloads carry on."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, given: str | None, route: str) -> None:
        from opentelemetry.trace import SpanKind

        self._span = _tracer.start_span(route, context=_parent(given), kind=SpanKind.SERVER)
        found = self._span.get_span_context()
        self.traceparent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"

    def end(self, status: int) -> None:
        """The request is answered."""
        self._span.set_attribute("http.response.status_code", status)
        self._span.end()


def handled(verb: str, records: Iterable[RecordLike], seconds: float) -> None:
    """Export a span for each of these records that belongs to a trace: they were handled together, and it took so long until now."""
    if _tracer is None:
        return
    for record in records:
        if (traceparent := _of(record)) is not None:
            where: dict[str, str | int] = {
                "messaging.system": "kafka", "messaging.destination.name": record.topic,
                "messaging.destination.partition.id": str(record.partition), "messaging.kafka.offset": record.offset,
            }  # fmt: skip
            span(f"{verb} {record.topic}", traceparent, seconds, where)


def span(name: str, traceparent: str | None, seconds: float, attributes: Mapping[str, str | int], *, is_error: bool = False) -> None:
    """Export one span that ends now, if its trace is exported."""
    if _tracer is None or traceparent is None or traceparent.endswith(NOT_SAMPLED):
        return
    from opentelemetry.trace import Status, StatusCode

    now = time.time_ns()
    made = _tracer.start_span(name, context=_parent(traceparent), start_time=now - int(seconds * 1e9), attributes=attributes)
    if is_error:
        made.set_status(Status(StatusCode.ERROR))
    made.end(end_time=now)


def _of(record: RecordLike) -> str | None:
    """The trace of a record: a header where it has headers (a payload may say anything), else the field."""
    if record.headers:
        return next((value.decode() for name, value in record.headers if name == TRACEPARENT), None)
    value = record.value or b""
    at = value.find(FIELD)
    return value[at + len(FIELD) : at + len(FIELD) + LENGTH].decode() if at >= 0 else None


def _parent(traceparent: str | None) -> Any:
    from opentelemetry import trace

    if traceparent is None:
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    remote = trace.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16)))
    return trace.set_span_in_context(trace.NonRecordingSpan(remote))
