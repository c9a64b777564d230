"""Whose trace a record belongs to, and what is no trace."""

import sys

import pytest

from streams.runtime import tracing
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings
from streams.stage import Record

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "given",
    ["", "x", TRACE[:-1], TRACE + "0", TRACE.upper(), TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), "ff" + TRACE[2:], f"{TRACE}\n",
     TRACE.replace("00f067aa0ba902b7", "0" * 16)],
)  # fmt: skip
def test_what_is_no_trace_context_is_left_out(given):
    assert tracing.valid(TRACE)
    assert not tracing.valid(given)


def test_a_payload_cannot_say_whose_trace_it_is_a_record_can():
    """A payload's trace is its header; behind ingest a sender's text stands escaped inside JSON, where the field's own quotes cannot come."""
    body = b'{"traceparent":"%b"}' % TRACE.encode()
    assert tracing._of(Record("p", 0, 0, 0, None, body, [("ce_source", b"net")])) is None
    assert tracing._of(Record("p", 0, 0, 0, None, body, [("traceparent", TRACE.encode())])) == TRACE
    assert tracing._of(Record("e", 0, 0, 0, None, b'{"a":1,"traceparent":"%b","payload":""}' % TRACE.encode(), ())) == TRACE
    assert tracing._of(Record("e", 0, 0, 0, None, b'{"payload":"{\\"traceparent\\":\\"%b\\"}"}' % TRACE.encode(), ())) is None
    assert tracing._of(Record("e", 0, 0, 0, None, None, ())) is None


def test_without_the_extra_an_endpoint_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(BadSettings, match="needs OpenTelemetry"):
        tracing.configure("ledger", Settings(tracing={"endpoint": "http://127.0.0.1:1/v1/traces"}))
    assert not tracing.is_on()
