"""Sessions of browsers: a signed cookie that names the token it was opened with, and nothing that a server would have to keep.

A cookie is `token_id.issued.nonce.signature`. It is good while that token exists, so revoking a token logs its browsers out, on every replica
at once; there is no table of sessions to share or to lose. The key of the signatures is made from the workspace's PII key, which every
replica has. Logging out takes the cookie away and refuses it here until it would have ended anyway; so that every replica does, and a restart
forgets nothing, its token remembers the sessions that were ended (`schemas/entities.py`), which all of them follow.

The token of a page (`csrf`) is a signature of the cookie: a page of another site can make the browser send the cookie, but cannot read it.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

COOKIE: Final = "clicktrail_session"
LIFE_S: Final = 12 * 3600
REMEMBERED: Final = 100_000  # ended sessions
MOST_ENDED: Final = 1_000  # of one token


class Sessions:
    """Opens, reads and ends sessions. `is_secure`: the console is reached by https, so the cookie never goes any other way."""

    def __init__(self, key: bytes, *, is_secure: bool) -> None:
        self._key = hmac.digest(key, b"console sessions", hashlib.sha256)
        self._is_secure = is_secure
        self._ended: dict[str, float] = {}

    def open(self, response: web.StreamResponse, token_id: str) -> str:
        """Put a session's cookie into a response; returns the page token that belongs to it."""
        text = f"{token_id}~{int(time.time())}~{secrets.token_hex(8)}"
        value = f"{text}~{self._sign(b'session', text)}"
        response.set_cookie(COOKIE, value, max_age=LIFE_S, httponly=True, samesite="Lax", secure=self._is_secure, path="/")
        return self.csrf(value)

    def token_id(self, cookie: str) -> str | None:
        """Return the token that a session was opened with, None when it is none of ours, ended or old."""
        text, _, signature = cookie.rpartition("~")
        parts = text.split("~")
        if len(parts) != 3 or not hmac.compare_digest(signature, self._sign(b"session", text)) or cookie in self._ended:
            return None
        return parts[0] if time.time() - int(parts[1]) < LIFE_S else None

    def name(self, cookie: str) -> str:
        """Return what a session is called in its token's list of ended ones: when it was opened, and a random word."""
        return "~".join(cookie.split("~")[1:3])

    def with_ended(self, token: Mapping[str, Any], cookie: str) -> dict[str, Any]:
        """Return a token that remembers that a session has ended; what would have ended by now is forgotten."""
        now = time.time()
        young = [each for each in token.get("ended_sessions", ()) if now - int(each.partition("~")[0]) < LIFE_S]
        return {**token, "ended_sessions": [*young, self.name(cookie)][-MOST_ENDED:]}

    def csrf(self, cookie: str) -> str:
        """Return the token that a page of this session sends with what changes something."""
        return self._sign(b"csrf", cookie)

    def end(self, response: web.StreamResponse, cookie: str) -> None:
        """Take the cookie away, and refuse it from now on."""
        now = time.time()
        if len(self._ended) >= REMEMBERED:
            self._ended = {ended: at for ended, at in self._ended.items() if now - at < LIFE_S}
        self._ended[cookie] = now
        response.del_cookie(COOKIE, path="/")

    def _sign(self, purpose: bytes, text: str) -> str:
        return hmac.new(self._key, purpose + b"\0" + text.encode(), hashlib.sha256).hexdigest()
