"""What ingest answers: every refusal with its status, words and remedy in one table, and the JSON of an acceptance.

A refusal is only for what cannot be a payload of that source; whatever is wrong *inside* a payload is a verdict, given later and shown
as a row. Senders' people read these texts in their own logs, so each says what to do next, and none repeats what was sent.
"""

from typing import NamedTuple

import orjson
from aiohttp import web

from streams.ingest import metrics


class Words(NamedTuple):
    """One kind of refusal."""

    status: int
    message: str
    remedy: str
    retry_after_s: int = 0


REFUSALS = {
    "bad_request": Words(400, "The request is not valid HTTP.", "Check the URL's and the headers' characters and lengths."),
    "unauthorized": Words(401, "This source wants a token or a signature, and the request has none.", "See the source's page for its place."),
    "forbidden": Words(403, "The token or the signature is not the one of this source.", "Compare it with the source's page; sign the raw body."),
    "stale_signature": Words(403, "The signature is more than five minutes old or new.", "Set the sender's clock; sign each try anew."),
    "address_not_allowed": Words(403, "The sender's address is not on this source's allow-list.", "Add it to the source's allow_ips."),
    "unknown_route": Words(404, "There is nothing at this path.", "Payloads go to /in/<source_id>."),
    "unknown_source": Words(404, "There is no source with this id.", "Copy the URL from the source's page."),
    "unknown_property": Words(404, "There is no property with this id.", "Copy the snippet from the property's page."),
    "unknown_campaign": Words(404, "There is no campaign with this id, or it has no flow.", "Copy the link from the campaign's page."),
    "method_not_allowed": Words(405, "This path does not take this method.", "The Allow header names the methods."),
    "too_slow": Words(408, "The body did not arrive within ten seconds.", "Send it again; for much data use /in/<source_id>/bulk."),
    "too_large": Words(413, "The payload is larger than this server takes.", "Send less, or raise CLICKTRAIL_INGEST__MAX_PAYLOAD_BYTES."),
    "topic_too_small": Words(413, "Kafka's topic refuses a record of this size.", "Raise max.message.bytes of clicktrail.payloads.v1."),
    "unknown_encoding": Words(415, "This Content-Encoding is not understood.", "Use gzip, deflate or none."),
    "broken_encoding": Words(400, "The body does not decompress.", "Check that Content-Encoding says what the body is."),
    "invalid_visit": Words(422, "This is no tag event.", "Send one JSON object, or a list of them; every field may be left out."),
    "rate_limited": Words(429, "This source sends faster than its limit.", "Wait as long as Retry-After says.", 1),
    "overloaded": Words(503, "Too much is under way.", "Send it again after Retry-After.", 1),
    "unavailable": Words(503, "The payload could not be stored.", "Send it again after Retry-After.", 5),
    "not_ready": Words(
        503, "The settings were not read from Kafka yet, and there are none of an earlier run.",
        "Send it again after Retry-After. If this lasts, Kafka is away: `clicktrail doctor` says where it is looked for.", 2,
    ),
}  # fmt: skip


class Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    """Ends a request with one of REFUSALS; `detail` is added to its message and never holds a payload's data, `remedy` replaces its own."""

    def __init__(self, code: str, detail: str = "", remedy: str = "", **headers: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.remedy = remedy
        self.headers = headers

    @property
    def words(self) -> Words:
        """Return the line of the table."""
        return REFUSALS[self.code]

    def response(self) -> web.Response:
        """Return the answer, and count it."""
        words = self.words
        metrics.REFUSED.labels(self.code).inc()
        headers = {"Access-Control-Allow-Origin": "*"} | {name.replace("_", "-"): value for name, value in self.headers.items()}
        if words.retry_after_s:
            headers.setdefault("Retry-After", str(words.retry_after_s))
        error = {"code": self.code, "message": f"{words.message} {self.detail}".strip(), "remedy": self.remedy or words.remedy}
        response = web.Response(body=orjson.dumps({"error": error}), status=words.status, headers=headers, content_type="application/json")
        if words.status in {408, 413}:
            response.force_close()  # the rest of the body is not worth reading
        return response


def json_response(value: object, status: int = 202, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type="application/json")
