"""A postback URL or body populated: every macro filled in and encoded for the place where it stands.

In an address each value is percent-encoded, so that no value can add a parameter, a path or a line. In a body it is encoded as the body is:
escaped inside JSON strings and XML, percent-encoded in a form; in a header, line breaks and control characters are left out.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit
from xml.sax.saxutils import escape

import orjson

from schemas.destinations import Destination
from schemas.outgoing import MACRO, field_of
from streams.delivery.message import USER_AGENT, HttpRequest, NotSent
from streams.delivery.values import Values

Encode = Callable[[str], str]
DROP = "\x00drop\x00"  # in the place of a value that is missing, where its parameter is to be left out


def made(request: dict[str, Any], destination: Destination, now_ms: int) -> HttpRequest:
    """The request of a template. NotSent when a value is missing and the destination refuses that."""
    found = Values(request, destination, now_ms)
    headers = {name: populated(value.get_secret_value(), found, _header, destination) for name, value in destination.headers.items()}
    headers = {name: value.replace(DROP, "") for name, value in headers.items()}
    given = {name.lower() for name in headers}
    if "user-agent" not in given:
        headers["User-Agent"] = USER_AGENT
    if "idempotency-key" not in given:
        headers["Idempotency-Key"] = request["postback_id"]
    body = None
    if destination.body is not None:
        kind = next((value for name, value in headers.items() if name.lower() == "content-type"), None) or _guessed(destination.body)
        if "content-type" not in given:
            headers["Content-Type"] = kind
        body = populated(destination.body, found, _encoding(kind), destination).replace(DROP, "").encode()
    url = without_dropped(populated(destination.url, found, _in_address, destination))
    return HttpRequest(destination.method, url, headers, body, frozenset(destination.headers))


def populated(text: str, found: Values, encode: Encode, destination: Destination) -> str:
    """The text with its macros filled in; what looks like a macro and is none stays."""

    def value_of(match: Any) -> str:
        name = match[match.lastgroup]
        field = field_of(name)
        if field is None:
            return str(match[0])
        value = found.get(field)
        if value is None or value == "":
            if destination.missing == "refuse":
                raise NotSent(f"{match[0]} has no value, and the destination refuses postbacks without it")
            return DROP if destination.missing == "drop" else ""
        return encode(value)

    return MACRO.sub(value_of, text)


def without_dropped(url: str) -> str:
    """The address without the query parameters whose value is missing."""
    if DROP not in url:
        return url
    parts = urlsplit(url)
    kept = [pair for pair in parts.query.split("&") if DROP not in pair]
    return urlunsplit(parts._replace(query="&".join(kept))).replace(DROP, "")


def _in_address(value: str) -> str:
    return quote(value, safe="")


def _header(value: str) -> str:
    return "".join(letter for letter in value if 32 <= ord(letter) < 127 or ord(letter) > 160)


def _json(value: str) -> str:
    return orjson.dumps(value).decode()[1:-1]


def _xml(value: str) -> str:
    return escape(value, {'"': "&quot;", "'": "&apos;"})


def _plain(value: str) -> str:
    return value


def _encoding(kind: str) -> Encode:
    if "json" in kind:
        return _json
    if "form-urlencoded" in kind:
        return quote_plus
    return _xml if "xml" in kind else _plain


def _guessed(body: str) -> str:
    """The content type of a body that names none."""
    begin = body.lstrip()[:1]
    if begin in ("{", "["):
        return "application/json"
    return "application/xml" if begin == "<" else "application/x-www-form-urlencoded"


def with_query(url: str, **more: str) -> str:
    """The address with further parameters behind its own."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query, keep_blank_values=True), *more.items()])))
