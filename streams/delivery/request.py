"""What is sent: one HTTP request, and how it is shown to people.

Two forms of everything: what goes out, and what may be read later. The second has each secret as ***: the destination's headers, its keys,
and whatever in an address looks like one (a partner's `key=` in a postback template). Rows and logs only ever see the second.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from schemas.destinations import Destination
from streams.delivery import google, meta, template, tiktok, webhook
from streams.delivery.masks import HIDDEN, masked, without
from streams.delivery.message import HttpRequest, NotSent

SHOWN_BYTES = 16_384
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Made(NamedTuple):
    """A populated request: `http` goes out, `url` and `text` are for people."""

    http: HttpRequest
    url: str
    text: str


Maker = Callable[[dict[str, Any], Destination, int], HttpRequest]
MAKERS: dict[str | None, Maker] = {
    None: template.made,
    "meta": meta.made,
    "google": google.made,
    "tiktok": tiktok.made,
    "webhook": webhook.made,
}


def made(request: dict[str, Any], destination: Destination, attempt: int, now_ms: int) -> Made:
    """The request of a postback, populated. NotSent says why there is none."""
    if not destination.takes(request["kind"]):
        raise NotSent(f"{destination.id} takes no {request['kind']}s", is_error=False)
    http = MAKERS[destination.platform]({**request, "attempt": attempt}, destination, now_ms)
    if destination.platform is not None:
        http = http._replace(headers=http.headers | {name: value.get_secret_value() for name, value in destination.headers.items()})
    if any(CONTROL.search(name) or CONTROL.search(value) for name, value in http.headers.items()):
        raise NotSent("a header has a line break or a control character in it")
    return shown(http, _secrets(destination))


def shown(http: HttpRequest, secrets: list[str]) -> Made:
    """The request with its readable form: request line, headers, body, without secrets."""
    url = masked(http.url, secrets)
    lines = [f"{http.method} {url}"]
    for name, value in http.headers.items():
        lines.append(f"{name}: {HIDDEN if name in http.secret_headers else without(value, secrets)}")
    text = "\n".join(lines)
    if http.body is not None:
        text = f"{text}\n\n{masked(http.body.decode(errors='replace'), secrets)[:SHOWN_BYTES]}"
    return Made(http, url, text)


def _secrets(destination: Destination) -> list[str]:
    """Every secret of a destination in clear, longest first, so that none hides half of another."""
    found = [value.get_secret_value() for value in destination.headers.values()]
    if destination.meta:
        found.append(destination.meta.access_token.get_secret_value())
    if destination.google:
        account = destination.google
        found += [secret.get_secret_value() for secret in (account.developer_token, account.client_secret, account.refresh_token)]
    if destination.tiktok:
        found.append(destination.tiktok.access_token.get_secret_value())
    if destination.webhook:
        found += [secret.get_secret_value() for secret in destination.webhook.secrets]
    return sorted((secret for secret in found if len(secret) >= 4), key=len, reverse=True)
