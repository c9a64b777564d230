"""The pages that are lists: one handler for all, each with its template, its columns there, and its filters from `console/filters.py`.

A list page is the filter's controls, the counter with the download beside it, the histogram, the rows, and a panel for the row that is open.
All of it is in the address, so that a link shows what the sender of the link saw. When htmx wants only the panel, the rows are not asked for;
and where counting takes long, the rows do not wait for it.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from console import counting, volume
from console.api.lists import CURSOR, LIMIT, PATHS, TOTAL, page_of
from console.api.revealing import REASON, REVEAL
from console.filters import Filter
from console.lists import Listed, listed
from console.pages import drawing, wording
from console.server.route import Ask, Parameter, Route

T = TypeVar("T")
Panel = Callable[[Ask, str], Awaitable[Any]]
OPEN = Parameter("open", "the row whose details the panel shows")
TAB = Parameter("tab", "the part of them")
FORM = Parameter("form", "how the payload is shown", words=("tree", "raw", "normalised"))
LIVE = Parameter("live", "whether new rows are announced", "flag")
EMPTY: dict[str, Any] = {"rows": [], "total": None, "next": None, "previous": None}
NO_VOLUME = volume.Volume(60, (), [])
PATIENCE_S = 0.15  # for the counter and the histogram, which read every row that the filter lists
FEW = 80  # entities: more are typed, not chosen
LABELS = {
    "q": "Search", "view_status": "Info / Success / Failure", "sub_reason": "Cause", "traffic_source": "Traffic source", "type": "Type",
    "conversion": "Conversion name", "match": "Found by", "click_id": "Click id", "transaction_id": "Transaction id", "is_test": "Test",
    "from": "From", "to": "To", "event_type": "Event type", "is_error": "Is error", "is_bot": "Bot", "ct": "Custom conversion (ct)",
    "status_code": "Status code", "entity_id": "Id",
}  # fmt: skip
KINDS = {
    "source": "source",
    "campaign": "campaign",
    "traffic_source": "traffic_source",
    "property": "property",
    "destination": "destination",
}


class About(NamedTuple):
    """What a list page says of itself. `first` are the filters that are always in sight; `split` the words of the histogram's parts."""

    path: str
    list_name: str
    template: str
    title: str
    lead: str
    noun: str
    first: tuple[str, ...]
    panel: str
    split: str = ""
    is_live: bool = False

    @property
    def api(self) -> str:
        """Return the path of the same list in the API."""
        return f"/api/v1/{PATHS.get(self.list_name, self.list_name)}"


class Control(NamedTuple):
    """A filter as a control of the page."""

    name: str
    label: str
    kind: str
    doc: str
    shown_words: list[str]
    wording: str
    pairs: list[tuple[str, str]]


def controls(found: Listed, first: tuple[str, ...]) -> list[Control]:
    """Return the controls of a list's filters: those that are always in sight in the page's order, the others in the list's."""
    made = {each.name: _control(each) for each in found.filters}
    return [*(made.pop(name) for name in first), *made.values()]


def _control(each: Filter) -> Control:
    kind = each.name if each.name in wording.WORDS else "other"
    pairs = [(word, wording.word(each.words.get(word, word), kind)) for word in each.shown_words]
    return Control(each.name, LABELS.get(each.name, each.name.capitalize()), each.kind, each.doc, each.shown_words, kind, pairs)


def choices(ask: Ask, found: Listed) -> dict[str, list[tuple[str, str]]]:
    """Return what can be chosen where a filter names an entity: (id, name), by name; nothing where there are too many to choose from."""
    chosen = {}
    for each in found.filters:
        kind = KINDS.get(each.name)
        pairs = sorted(
            ((entity_id, str(value.get("name") or entity_id)) for (entity, entity_id), value in ask.context.following.entities.items() if entity == kind),
            key=lambda pair: pair[1].casefold(),
        )  # fmt: skip
        if kind and 0 < len(pairs) <= FEW:
            chosen[each.name] = pairs
    return chosen


def curl(ask: Ask) -> str:
    """Return a line that sends a payload: to the first source there is, with its own parameter names."""
    sources = [value for (kind, _), value in sorted(ask.context.following.entities.items()) if kind == "source"]
    source: dict[str, Any] = next(
        (value for value in sources if value.get("kind") == "postback"), {"id": "YOUR-SOURCE", **(sources[0] if sources else {})}
    )
    mapping: dict[str, Any] = source.get("mapping") or {}

    def name(field: str, usual: str) -> str:
        given = mapping.get(field)
        first = given if isinstance(given, str) else given[0] if given else usual
        return first if first.isidentifier() else usual

    fields = f"{name('click_id', 'click_id')}=MY-CLICK&{name('transaction_id', 'transaction_id')}=MY-1&{name('value', 'value')}=25&status=approved"
    return f"curl '{ask.context.settings.ingest_url()}/in/{source['id']}?{fields}'"


def _first(ask: Ask, entity: str) -> str:
    return next((entity_id for kind, entity_id in sorted(ask.context.following.entities) if kind == entity), "")


def route(about: About, panel: Panel | None = None) -> Route:
    """Return the page's line of the route table."""
    found = listed(about.list_name)

    async def handler(ask: Ask) -> Any:
        return await _page(ask, about, found, panel)

    parameters = (CURSOR, LIMIT, TOTAL, OPEN, TAB, FORM, LIVE, REVEAL, REASON)
    return Route("GET", about.path, handler, "read_log", about.lead, parameters, found, produces=("text/html",), kind="page")


async def _page(ask: Ask, about: About, found: Listed, panel: Panel | None) -> Any:
    wanted = ask.request.headers.get("HX-Target") or ""
    opened = ask.text("open")

    async def rows() -> dict[str, Any]:
        return (
            dict(EMPTY)
            if wanted in {"panel", "numbers"}
            else await page_of(dataclasses.replace(ask, given={**ask.given, "total": ["0"]}), found)
        )

    async def numbers() -> tuple[int | None, volume.Volume | None]:
        return (None, NO_VOLUME) if wanted == "panel" else await _numbers(ask, found, None if wanted == "numbers" else PATIENCE_S)

    async def details() -> Any:
        return await panel(ask, opened) if panel and opened and wanted not in {"list", "numbers"} else None

    data, (total, histogram), shown = await asyncio.gather(rows(), numbers(), details())
    data["total"] = total
    return drawing.page(
        ask, about.template, about=about, data=data, volume=histogram, panel=shown, controls=controls(found, about.first), choices=choices(ask, found),
        curl=curl(ask), property_id=_first(ask, "property") or "YOUR-PROPERTY", has_sources=bool(_first(ask, "source")),
    )  # fmt: skip


async def _numbers(ask: Ask, found: Listed, patience_s: float | None) -> tuple[int | None, volume.Volume | None]:
    """Return (counter, histogram), None for what is not there in time: the page comes without, and asks for both by itself."""
    asker, given, accounts = ask.context.asker, ask.filters(), ask.viewer.accounts

    async def in_time(question: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(patience_s):
                return await question
        except TimeoutError:
            return None

    total, histogram = await asyncio.gather(
        in_time(counting.count(asker, found, given, accounts)), in_time(volume.volume(asker, found, given, accounts))
    )
    return total, histogram
