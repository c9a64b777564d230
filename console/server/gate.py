"""Who asks, and whether a browser was sent here by somebody else's page.

Three ways in:
  token    `Authorization: Bearer ct_…`: programs. No cookie is involved, so no page can borrow it.
  session  the cookie that logging in with a token gives a browser. What changes something also needs the page's token (`X-CSRF-Token`).
  local    only under `clicktrail up` (CLICKTRAIL_CONSOLE__LOGIN=local), which listens on the loopback: whoever sits at the machine is its
           owner, and a newcomer sees the first page without a login. Every request must come from the loopback, name the loopback as its
           host, and bear no sign of a proxy: a page that got itself a name for 127.0.0.1 (DNS rebinding), or a proxy that
           somebody put in front, gets the login page instead. Other users of the same machine can come in, too; where that matters, start
           with CLICKTRAIL_CONSOLE__LOGIN=required.

A page of another site is refused for all that changes something, and for all that is not a plain link to a page, in every way alike: browsers
say where a request comes from (`Sec-Fetch-Site`, `Origin`), and no page can make them lie.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from console.server import viewer
from console.server.answers import Refused
from console.server.context import Context
from console.server.sessions import COOKIE
from console.server.viewer import Viewer
from schemas.permissions import current_role

SAFE = ("GET", "HEAD", "OPTIONS")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
LONGEST_TOKEN = 200


def ask_who(request: web.Request, context: Context) -> Viewer:
    """Return who asks; NOBODY without any proof. Refused for a token that is none, or a page of another site."""
    refuse_foreign_page(request)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        token_id = context.following.token_id(token.strip()) if scheme.lower() == "bearer" and len(token) < LONGEST_TOKEN else None
        found = _user_of(context, token_id, "")
        if found is None:
            raise Refused("unknown_token")
        return found
    cookie = request.cookies.get(COOKIE, "")
    if cookie:
        token_id = context.sessions.token_id(cookie)
        ended = context.following.entities.get(("token", token_id), {}).get("ended_sessions", ()) if token_id else ()
        if context.sessions.name(cookie) not in ended and (found := _user_of(context, token_id, context.sessions.csrf(cookie))):
            return found
    return viewer.local(context.local_user) if context.local_user and is_local(request) else viewer.NOBODY


def check_page_token(request: web.Request, who: Viewer, given: str) -> None:
    """Refuse what changes something in a session's name without the page's token."""
    if who.way == "session" and request.method not in SAFE and given != who.csrf:
        raise Refused("no_csrf_token")


def refuse_foreign_page(request: web.Request) -> None:
    """Refuse what a page of another site makes the browser ask; a link that a person follows is none of that."""
    is_navigation = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    if request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"} and not is_navigation:
        raise Refused("foreign_page")
    origin = request.headers.get("Origin")
    if origin and urlsplit(origin).netloc != request.host:
        raise Refused("foreign_page")


def is_local(request: web.Request) -> bool:
    """Say whether a request comes straight from this machine, under a name that nobody else can give it."""
    try:
        is_loopback = ip_address((request.remote or "").partition("%")[0]).is_loopback
    except ValueError:
        return False
    name = urlsplit(f"//{request.host}").hostname or ""
    return is_loopback and name in LOOPBACK_NAMES and not any(header in request.headers for header in PROXY_HEADERS)


def _user_of(context: Context, token_id: str | None, csrf: str) -> Viewer | None:
    entities = context.following.entities
    token = entities.get(("token", token_id)) if token_id else None
    user = entities.get(("user", token["user_id"])) if token else None
    if user is None:
        return None
    role = str(current_role(user.get("role", "viewer")))
    accounts = tuple(user.get("account_ids") or ()) or None
    return Viewer(user["id"], user["name"], role, accounts, "session" if csrf else "token", csrf)
