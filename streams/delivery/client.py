"""Sends one request and reads one answer, within limits: the whole of delivery's I/O towards destinations.

- One deadline for everything, the body included: a slow header, a slow body and a silence all end with it (measured: 3.00 s of 3 s).
- At most ANSWER_BYTES of an answer are read, as they come (no decompression): an endless body and a bomb cost the same as a page.
- TLS is verified. No redirects, no cookies, no proxy from the environment. Only addresses that the guard lets through.
- Whatever happens is an Answer: a destination cannot make an exception of ours.

A session per destination, so that one's connections, name look-ups and limits are never another's.
"""

import os
import ssl
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from schemas.destinations import Destination
from streams.delivery.guard import Allowed, ForbiddenAddressError, socket_factory
from streams.delivery.message import USER_AGENT, Answer, HttpRequest

ANSWER_BYTES = 16_384
MOST_REDIRECTS = 3
MOVED = frozenset([301, 302, 303, 307, 308])
_PRINTABLE = "".join(chr(n) for n in range(33, 127))


class Client:
    """The connections to one destination."""

    def __init__(self, destination: Destination, allowed: Sequence[Allowed], tls: ssl.SSLContext) -> None:
        sending = destination.sending
        self._destination = destination
        self._token: tuple[str, float] | None = None  # an access token and until when it holds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=sending.concurrency, ssl=tls, socket_factory=socket_factory(allowed), happy_eyeballs_delay=None
            ),
            timeout=aiohttp.ClientTimeout(total=sending.timeout_s, sock_connect=min(sending.connect_timeout_s, sending.timeout_s)),
            headers={"User-Agent": USER_AGENT},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def send(self, request: HttpRequest) -> Answer:
        """Send, and return what came back or why nothing did."""
        try:
            if request.needs_token:
                request = request._replace(headers=request.headers | {"Authorization": f"Bearer {await self._access_token()}"})
            for _ in range(MOST_REDIRECTS + 1):
                answer = await self._once(request)
                onward = self._redirected(request, answer)
                if onward is None:
                    return answer
                request = onward
        except Exception as error:  # noqa: BLE001 - everything that a destination can cause is an answer
            return self._problem(error)
        return Answer(answer.status, answer.body, answer.headers, problem="too many redirects")

    async def _once(self, request: HttpRequest) -> Answer:
        async with self._session.request(
            request.method, _address(request.url), headers=request.headers, data=request.body, allow_redirects=False
        ) as response:
            if request.needs_token and response.status == 401:
                self._token = None
            body, problem = bytearray(), None
            try:
                while len(body) < ANSWER_BYTES and (piece := await response.content.read(ANSWER_BYTES - len(body))):
                    body += piece
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                problem = f"the answer broke off ({self._problem(error).problem})"
            if not response.content.at_eof():
                response.close()  # the rest is not waited for
            return Answer(response.status, bytes(body), dict(response.headers), problem)

    def _redirected(self, request: HttpRequest, answer: Answer) -> HttpRequest | None:
        """The request behind a redirect; secrets stay with the origin that they were meant for."""
        location = answer.headers.get("Location")
        if not self._destination.sending.follow_redirects or answer.status not in MOVED or not location:
            return None
        before = _address(request.url)
        to = before.join(URL(location))
        headers = request.headers
        if to.origin() != before.origin():
            headers = {name: value for name, value in headers.items() if name not in request.secret_headers}
        request = request._replace(url=str(to), headers=headers)
        return request if answer.status in (307, 308) else request._replace(method="GET", body=None)

    async def _access_token(self) -> str:
        """An OAuth access token, made from the refresh token (RFC 6749, 6)."""
        if self._token is not None and time.monotonic() < self._token[1]:
            return self._token[0]
        account = self._destination.google
        assert account is not None
        form = {
            "grant_type": "refresh_token", "client_id": account.client_id, "client_secret": account.client_secret.get_secret_value(),
            "refresh_token": account.refresh_token.get_secret_value(),
        }  # fmt: skip
        async with self._session.post(_address(account.token_url), data=form, allow_redirects=False) as response:
            text = await response.content.read(ANSWER_BYTES)
        if response.status != 200:
            raise TokenRefusedError(f"the access token was refused: {response.status}")
        given: dict[str, Any] = orjson.loads(text)
        token = str(given["access_token"])
        self._token = token, time.monotonic() + float(given.get("expires_in", 3600)) - 60
        return token

    def _problem(self, error: BaseException) -> Answer:
        """What went wrong, in words, without the secrets that the libraries' own texts quote (the address)."""
        if (forbidden := _forbidden(error)) is not None:
            return Answer(problem=f"refused: {forbidden}", is_final=True)
        return Answer(problem=self._words(error), is_final=isinstance(error, (aiohttp.InvalidURL, AddressError)))

    def _words(self, error: BaseException) -> str:
        sending = self._destination.sending
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection within {sending.connect_timeout_s:g} s"
        for kind, words in _WORDS:
            if isinstance(error, kind):
                return str(words(error))
        if isinstance(error, TimeoutError):
            return f"no answer within {sending.timeout_s:g} s"
        return f"{type(error).__name__}"


class TokenRefusedError(Exception):
    """The platform gives no access token."""


class AddressError(Exception):
    """No address that postbacks can go to."""


_WORDS: tuple[tuple[type[BaseException], Any], ...] = (
    (TokenRefusedError, str),
    (aiohttp.InvalidURL, lambda _: "the address is not valid"),
    (AddressError, lambda _: "the address is not valid"),
    (aiohttp.ClientConnectorDNSError, lambda error: f"the name {error.host} does not resolve"),
    (aiohttp.ClientConnectorCertificateError, lambda error: f"TLS: {_tls(error.certificate_error)}"),
    (aiohttp.ClientSSLError, lambda error: f"TLS: {_tls(error)}"),
    (aiohttp.ClientConnectorError, lambda error: _system(error.os_error, "no connection")),
    (aiohttp.ServerDisconnectedError, lambda _: "the connection was closed without an answer"),
    (aiohttp.ClientPayloadError, lambda _: "the connection was closed in the middle"),
    (aiohttp.ClientResponseError, lambda error: f"no valid HTTP answer ({type(error).__name__})"),
    (aiohttp.ClientOSError, lambda error: _system(error, "the connection broke")),
)


def _system(error: OSError, otherwise: str) -> str:
    """The system's word for an error: connection refused, no route to host."""
    return os.strerror(error.errno).lower() if error.errno else otherwise


def _tls(error: BaseException) -> str:
    return str(getattr(error, "verify_message", "")) or str(getattr(error, "reason", "")) or "no secure connection"


def _forbidden(error: BaseException | None) -> ForbiddenAddressError | None:
    """The guard's refusal in what the libraries made of it."""
    while error is not None:
        if isinstance(error, ForbiddenAddressError):
            return error
        error = getattr(error, "os_error", None) or error.__cause__ or error.__context__
    return None


def _address(url: str) -> URL:
    """The address as it was populated: what is encoded stays as it is. AddressError when it is none of ours."""
    try:
        is_plain = url.partition("://")[2].split("/")[0].isascii()
        address = URL(quote(url, safe=_PRINTABLE), encoded=True) if is_plain else URL(url)
        is_ours = address.scheme in ("http", "https") and address.host and address.user is None and address.password is None
    except ValueError as error:
        raise AddressError(url) from error
    if not is_ours:
        raise AddressError(url)
    return address
