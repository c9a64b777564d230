"""What an answer means: delivered, tried again, or failed for good; and the sentence that a person reads.

2xx (or the statuses the destination names), body in order    delivered
no answer, 408, 425, 429, 5xx                                  retry
a body that says error where the status says success           as its platform classes it; by the destination's own texts: retry
3xx                                                            failed: a redirect is no receipt, and may lead anywhere
other 4xx, a forbidden address                                 failed
"""

from typing import Any, Literal, NamedTuple

import orjson

from schemas.destinations import Destination
from streams.delivery import google, meta, tiktok
from streams.delivery.message import Answer

Verdict = Literal["delivered", "retry", "failed"]
RETRIED = frozenset([408, 425, 429])
PLATFORM_PROBLEMS = {"meta": meta.problem, "google": google.problem, "tiktok": tiktok.problem}


class Outcome(NamedTuple):
    """How a try ended. `is_down` tells the breaker that the destination, not this postback, is at fault."""

    verdict: Verdict
    message: str | None = None
    is_down: bool = False


def judged(answer: Answer, destination: Destination) -> Outcome:
    """Judge one answer."""
    status = answer.status
    if status is None:
        return Outcome("failed" if answer.is_final else "retry", answer.problem or "no answer", is_down=not answer.is_final)
    said = _platform_problem(answer, destination)
    if said is not None:
        message, is_retried = said
        is_down = status >= 500 or status in RETRIED
        return Outcome("retry" if is_retried or is_down else "failed", message, is_down=is_down)
    if not _is_expected(status, destination):
        verdict: Verdict = "retry" if status >= 500 or status in RETRIED else "failed"
        return Outcome(verdict, f"{status} {PHRASES.get(status, '')}".strip() + _hint(answer), is_down=status >= 500 or status == 429)
    return _by_its_text(answer, destination)


def _by_its_text(answer: Answer, destination: Destination) -> Outcome:
    """Judge an answer whose status says success by the texts that the destination looks for."""
    text, sending = answer.body.decode(errors="replace"), destination.sending
    if found := next((error for error in sending.error_contains if error in text), None):
        return Outcome("retry", f"{answer.status}, but the answer contains {found!r}")
    if answer.problem is not None and (sending.success_contains is not None or destination.platform is not None):
        return Outcome("retry", f"{answer.status}, but {answer.problem}", is_down=True)  # without a body to check, the status is a receipt
    if sending.success_contains is not None and sending.success_contains not in text:
        return Outcome("retry", f"{answer.status}, but the answer does not contain {sending.success_contains!r}")
    return Outcome("delivered")


def _is_expected(status: int, destination: Destination) -> bool:
    expected = destination.sending.expected_statuses
    return status in expected if expected else 200 <= status < 300


def _platform_problem(answer: Answer, destination: Destination) -> tuple[str, bool] | None:
    check = PLATFORM_PROBLEMS.get(destination.platform or "")
    if check is None or answer.status is None:
        return None
    try:
        body: Any = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    return check(answer.status, body)


def _hint(answer: Answer) -> str:
    if answer.status is not None and 300 <= answer.status < 400:
        return ": redirects are not followed"
    return ""


PHRASES = {
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect",
    308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 409: "Conflict", 410: "Gone", 413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content",
    425: "Too Early", 429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip
