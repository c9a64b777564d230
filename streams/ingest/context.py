"""What every request handler of ingest has at hand, and the request as ingest reads it."""

from dataclasses import dataclass
from time import time
from typing import Final

from aiohttp import web

from schemas import event
from streams.ingest.country import CountryOf, nowhere
from streams.ingest.doors import Doors, Networks, sender_ip
from streams.ingest.intake import Intake
from streams.ingest.limits import Meter
from streams.ingest.server import raw_target
from streams.parse import Parser
from streams.runtime import tracing

LONGEST_HEADER: Final = 1024  # of a user agent or a content type that is kept
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Context:
    """The running ingest. `epoch` and `partitions` are the topics', `inspect_url` is where events are looked at."""

    intake: Intake
    doors: Doors
    parser: Parser  # for the routing key of a payload, and nothing else
    meter: Meter
    max_payload_bytes: int
    epoch: int
    partitions: int
    inspect_url: str
    pii_key: bytes
    trusted_proxies: Networks = ()
    country_of: CountryOf = nowhere


class Arrival:
    """One request, with the target split byte-exact: aiohttp's URL drops fragments and normalises percent-encoding, senders' macros
    (`#S1#`) and broken escapes are payload.
    """

    __slots__ = ("now_ms", "path", "query", "request", "root")

    def __init__(self, request: web.BaseRequest) -> None:
        self.request = request
        self.root: tracing.Root | None = None
        self.now_ms = int(time() * 1000)
        target = request.raw_path
        if target[:1] != "/":  # absolute form, as proxies send it
            target = "/" + target.partition("://")[2].partition("/")[2]
        self.path, _, query = target.partition("?")
        self.query = raw_target(query)

    def ip(self, trusted: Networks) -> str:
        """Return the sender's address."""
        return sender_ip(self.request.remote or "", self.request.headers.get("X-Forwarded-For"), trusted)

    def traceparent(self) -> str | None:
        """Return the trace that the sender says it belongs to."""
        given = self.request.headers.get(event.TRACEPARENT)
        return given if given is not None and tracing.valid(given) else None


def text(value: str, longest: int = LONGEST_HEADER) -> bytes:
    """Return a header's value as the UTF-8 that record headers promise; bytes that are none become the replacement character."""
    return value[:longest].encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()


def payload_headers(arrival: Arrival, source_id: str, version: int, receipt: str, ip: str) -> Headers:
    """Return the record headers of schemas/event.py for a payload."""
    request, given = arrival.request, arrival.request.headers
    found = [
        (event.SOURCE, source_id.encode()),
        (event.SETTINGS_VERSION, str(version).encode()),
        (event.RECEIPT, receipt.encode()),
        (event.METHOD, request.method.encode()),
        (event.SENDER_IP, ip.encode()),
    ]
    if request.method == "POST":
        if arrival.query:
            found.append((event.QUERY, ascii_query(arrival.query)))
        if content_type := given.get("Content-Type"):
            found.append((event.CONTENT_TYPE, text(content_type)))
    if user_agent := given.get("User-Agent"):
        found.append((event.USER_AGENT, text(user_agent)))
    if (traceparent := arrival.root.traceparent if arrival.root else arrival.traceparent()) is not None:
        found.append((event.TRACEPARENT, traceparent.encode()))
    return found


def ascii_query(query: bytes) -> bytes:
    """Return the query with its non-ASCII bytes percent-encoded: the same values, and text as record headers must be."""
    return query if query.isascii() else b"".join(b"%%%02X" % byte if byte > 127 else bytes((byte,)) for byte in query)
