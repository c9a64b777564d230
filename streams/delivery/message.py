"""The request and the answer as plain data: what the pure side makes, what the client sends, what comes back."""

from collections.abc import Mapping
from typing import NamedTuple

USER_AGENT = "Clicktrail/1"


class HttpRequest(NamedTuple):
    """What goes over the wire. `needs_token`: the client puts an OAuth access token into Authorization first."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None
    secret_headers: frozenset[str] = frozenset()
    needs_token: bool = False


class Answer(NamedTuple):
    """What came back: a status with the first bytes of the body, or none and why."""

    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = {}
    problem: str | None = None
    is_final: bool = False  # a problem that no later try can cure: a forbidden address


class NotSent(Exception):  # noqa: N818 - named for what happened
    """There is nothing to send, and why. `is_error` False: that is as it should be."""

    def __init__(self, why: str, *, is_error: bool = True) -> None:
        super().__init__(why)
        self.is_error = is_error
