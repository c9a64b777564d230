"""What an HTTP request asks for, read from its URL, headers and credentials as ClickHouse reads them.

Every URL parameter that is none of the interface's own is a setting (`max_threads=1`) or a query parameter (`param_id=7`).
ClickHouse: src/Server/HTTPHandler.cpp; https://clickhouse.com/docs/interfaces/http
"""

import base64
import binascii
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from sinks.embedded import encodings
from sinks.embedded.errors import AUTHENTICATION_FAILED, BAD_ARGUMENTS, ServerError

# The interface's own parameters; some have no meaning for one local user and are accepted without effect.
_OWN = {
    *("query", "database", "default_format", "query_id", "replace_running_query", "client_protocol_version", "stacktrace"),
    *("user", "password", "quota_key", "role", "session_id", "session_timeout", "session_check", "close_session"),
    *("compress", "decompress", "enable_http_compression", "wait_end_of_query", "buffer_size"),
    *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
}
_LARGEST_SESSION_TIMEOUT_S = 3600


@dataclass(slots=True)
class Wish:
    """One request's wishes; the body is not part of it."""

    query: str
    query_id: str
    user: str
    database: str | None
    default_format: str
    settings: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    session_id: str = ""
    session_timeout_s: float = 60
    must_session_exist: bool = False
    is_session_closed: bool = False
    is_answer_whole: bool = False  # wait_end_of_query: no status before the last row
    answer_encoding: str | None = None
    is_native_answer: bool = False  # compress=1: ClickHouse's own compressed blocks
    is_native_body: bool = False  # decompress=1


def read(method: str, url: Mapping[str, str], headers: Mapping[str, str]) -> Wish:
    """The wishes of a request. GET and HEAD may only read, as on a server."""
    settings = {name: value for name, value in url.items() if name not in _OWN and not name.startswith("param_")}
    if method != "POST" and settings.get("readonly", "0") == "0":
        settings["readonly"] = "2"  # settings may change, data may not
    is_encoded = _is_on(url, "enable_http_compression")
    return Wish(
        query=url.get("query", ""),
        user=_credentials(url, headers)[0],
        query_id=url.get("query_id") or headers.get("X-ClickHouse-Query-Id") or str(uuid.uuid4()),
        database=url.get("database") or headers.get("X-ClickHouse-Database") or None,
        default_format=_format(url.get("default_format") or headers.get("X-ClickHouse-Format") or "TabSeparated"),
        settings=settings,
        parameters={name[6:]: value for name, value in url.items() if name.startswith("param_")},
        session_id=url.get("session_id", ""),
        session_timeout_s=_session_timeout(url.get("session_timeout", "60")),
        must_session_exist=_is_on(url, "session_check"),
        is_session_closed=_is_on(url, "close_session"),
        is_answer_whole=_is_on(url, "wait_end_of_query"),
        answer_encoding=encodings.choose(headers.get("Accept-Encoding", "")) if is_encoded else None,
        is_native_answer=_is_on(url, "compress"),
        is_native_body=_is_on(url, "decompress"),
    )


def authenticate(url: Mapping[str, str], headers: Mapping[str, str], password: str) -> None:
    """Compare the password, which comes as parameter, header or Basic; without a configured one everybody is the default user."""
    if not password:
        return
    user, given = _credentials(url, headers)
    if not hmac.compare_digest((given or "").encode(), password.encode()):
        text = f"{user}: Authentication failed: password is incorrect, or there is no user with such name"
        raise ServerError(AUTHENTICATION_FAILED, text)


def _credentials(url: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str | None]:
    """The user, and the password as it was given."""
    user, given = url.get("user") or headers.get("X-ClickHouse-User") or "default", url.get("password")
    if given is None:
        given = headers.get("X-ClickHouse-Key")
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if given is None and scheme.lower() == "basic":
        try:
            user, _, given = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            given = None
    return user or "default", given


def _format(name: str) -> str:
    """A name that can stand in a statement."""
    if not name.isidentifier():
        raise ServerError(BAD_ARGUMENTS, f"'{name}' is no name of a format")
    return name


def _is_on(url: Mapping[str, str], name: str) -> bool:
    return url.get(name, "0") not in {"", "0", "false"}


def _session_timeout(text: str) -> float:
    if not text.isdecimal():
        raise ServerError((374, "INVALID_SESSION_TIMEOUT"), f"Invalid session timeout: '{text}'")
    if int(text) > _LARGEST_SESSION_TIMEOUT_S:
        message = f"Session timeout '{text}' is larger than max_session_timeout: {_LARGEST_SESSION_TIMEOUT_S}"
        raise ServerError((374, "INVALID_SESSION_TIMEOUT"), message)
    return float(text)
