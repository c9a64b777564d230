"""Draws pages: the templates with autoescape always on, and what every template has at hand.

Everything on a page that came from a sender is text: autoescape is on for all templates, none of ours marks anything as safe, and the
content security policy runs no script that is not a file of ours (so not even a mistake here would). Templates that ask for a name that
nobody gave are an error (`StrictUndefined`), not an empty place.

A page is drawn whole, also for htmx, which takes the part that it wants out of the answer (`hx-select`): one template per page, and every
page works as a plain link, too. Pages are never cached: "back" asks again.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console.api.session import LONGEST_NEXT
from console.pages import sections, wording
from console.server.answers import Refused
from console.server.route import Ask
from console.server.viewer import NOBODY, Viewer
from schemas.entities import ENTITY_MODELS
from schemas.reasons import REASON_BY_CODE, STATUS_BY_CODE, SUB_REASON_BY_CODE

FOLDER = Path(__file__).parents[1]
STATIC, TEMPLATES = FOLDER / "static", FOLDER / "templates"
HTMX, UPLOT, UPLOT_CSS = "vendor/htmx-2.0.11.min.js", "vendor/uplot-1.6.32.min.js", "vendor/uplot-1.6.32.min.css"
THEMES = ("auto", "light", "dark")

ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


@cache
def static(name: str) -> str:
    """Return the address of a file of ours, which changes with its content: browsers may keep it for good."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def query(given: Mapping[str, Any]) -> str:
    """Return a query string: lists are repeated, what is empty is left out."""
    pairs = [(name, each) for name, value in given.items() for each in (value if isinstance(value, list | tuple) else [value])]
    return urlencode([(name, str(value)) for name, value in pairs if value not in (None, "")])


def address(path: str, **given: Any) -> str:
    """Return a path with a query string. Names that are words of Python end in an underscore: from_."""
    text = query({name.rstrip("_"): value for name, value in given.items()})
    return f"{path}?{text}" if text else path


class Here:
    """The address of the page: `here(open="e1-0-3", cursor=None)` is the same page with these changes."""

    def __init__(self, request: web.Request) -> None:
        self.path = request.path
        self.given: dict[str, list[str]] = {}
        for name, value in request.rel_url.query.items():
            if value:
                self.given.setdefault(name, []).append(value)

    def __call__(self, **changes: Any) -> str:
        """Return the address with changes; None takes a parameter away."""
        return address(self.path, **{**self.given, **{name.rstrip("_"): value for name, value in changes.items()}})

    def at(self, path: str, *kept: str) -> str:
        """Return another path with these parameters of this page."""
        return address(path, **{name: values for name, values in self.given.items() if name in kept})

    def only(self, *left_out: str) -> str:
        """Return the query string without these parameters."""
        return query({name: values for name, values in self.given.items() if name not in left_out})

    def get(self, name: str) -> str:
        """Return a parameter, empty when it is not given."""
        return self.given.get(name, [""])[-1]


ENVIRONMENT.globals.update(
    static=static, address=address, htmx=HTMX, uplot=UPLOT, uplot_css=UPLOT_CSS, sections=sections.SECTIONS,
    statuses=STATUS_BY_CODE, reasons=REASON_BY_CODE, sub_reasons=SUB_REASON_BY_CODE, words=wording.WORDS,
    is_setting=ENTITY_MODELS.__contains__,
)  # fmt: skip
ENVIRONMENT.filters.update(wording.FILTERS)


def page(ask: Ask, template: str, status: int = 200, **values: Any) -> web.Response:
    """Return a page, drawn for whoever asks."""
    return _drawn(ask.request, ask.viewer, template, status, values | {"settings": ask.context.settings})


def refused(request: web.Request, who: Viewer, why: Refused) -> web.StreamResponse:
    """Return a refusal as a page: what, why, next. Nobody is sent to the login, and comes back to where they wanted to go."""
    if why.code == "unauthorized" and request.method == "GET":
        wanted = request.path_qs if len(request.path_qs) <= LONGEST_NEXT else request.path
        return web.Response(status=303, headers={"Location": address("/login", next="" if wanted == "/" else wanted)})
    return _drawn(request, who, "refused.html", why.status, {"why": why}, why.headers)


def _drawn(
    request: web.Request, who: Viewer, template: str, status: int, values: dict[str, Any], headers: Mapping[str, str] | None = None
) -> web.Response:
    theme = request.cookies.get("theme", "auto")
    text = ENVIRONMENT.get_template(template).render(
        **values, viewer=who, is_known=who is not NOBODY and who.way != "nobody", here=Here(request), path=request.path,
        theme=theme if theme in THEMES else "auto",
    )  # fmt: skip
    return web.Response(text=text, status=status, content_type="text/html", headers={**(headers or {}), "Cache-Control": "no-store"})
