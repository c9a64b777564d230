"""Settings: every kind of entity with its editor, the mapping tester, users and tokens.

The editor is a form made from the model that checks the entity (`forms.py`), over the entity as JSON, which is what is saved.
Saving goes through the API's own handler, with the ETag that was seen, so two people cannot overwrite each other without knowing. What is wrong
comes back above the text with its place and line, and the text stays as it was typed.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from console import editing
from console.api import rules
from console.api import settings as api
from console.file_place import line_of
from console.pages import drawing, forms
from console.server.answers import Refused
from console.server.route import Ask, Route
from schemas.entities import ENTITY_MODELS
from schemas.workspace import SECTIONS
from streams.runtime.errors import BadSettings, Unavailable, near_match

MOST_TEXT = 200_000
PLACE = re.compile(r"^([\w.\[\] -]+): (.*)$", re.DOTALL)
METHODS = ("GET", "POST")
ABOUT = {
    "property": "Sites and apps, with their attribution window", "source": "Who sends conversions, and how they are read",
    "campaign": "Tracking links", "lander": "Landing pages", "offer": "What is sold", "flow": "Which lander and offer a click gets",
    "affiliate_network": "Who pays for conversions", "traffic_source": "Where clicks are bought", "destination": "Who is told of a conversion",
}  # fmt: skip


class Edited(BaseModel):
    """The editor's form."""

    model_config = ConfigDict(extra="forbid")
    id: str = Field(default="", max_length=64)
    value: str = Field(max_length=MOST_TEXT)
    reason: str = Field(default="", max_length=500)


class Deleted(BaseModel):
    """The form of a deletion."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(default="", max_length=500)


class Tested(BaseModel):
    """The tester's form: a payload, and the source as it stands in the editor."""

    model_config = ConfigDict(extra="forbid")
    value: str = Field(default="", max_length=MOST_TEXT)
    id: str = Field(default="", max_length=64)
    reason: str = Field(default="", max_length=500)
    payload: str = Field(default="", max_length=1 << 20)
    method: str = Field(default="GET", pattern="^(GET|POST)$")
    content_type: str = Field(default="", max_length=200)


async def overview(ask: Ask) -> Any:
    """Draw the kinds."""
    counts = Counter({kind["entity"]: kind["count"] for kind in await api.kinds(ask)})
    people = Counter(kind for kind, _ in ask.context.following.entities if kind in api.PEOPLE)
    return drawing.page(ask, "settings.html", kinds=[(kind, SECTIONS[kind], ABOUT[kind], counts[kind]) for kind in ABOUT], people=people)


async def of_kind(ask: Ask) -> Any:
    """Draw the entities of a kind."""
    found = await api.every(ask)
    return drawing.page(
        ask, "settings_kind.html", kind=found["entity"], section=SECTIONS[found["entity"]], rows=found["rows"], about=ABOUT[found["entity"]]
    )


async def edit(ask: Ask) -> Any:
    """Draw an entity in its editor."""
    kind, entity_id = ask.path["entity"], ask.path["entity_id"]
    if kind not in ABOUT:
        raise Refused("not_found", f"There is no setting {kind[:64]!r}.", near_match(kind, list(ABOUT)) or "Settings shows the kinds.")
    is_new = entity_id == "new" and (kind, "new") not in ask.context.following.entities
    value = _skeleton(kind) if is_new else orjson.loads((await api.one(ask)).body)["value"]  # type: ignore[arg-type]
    stored = ask.context.following.entities.get((kind, entity_id))
    return drawing.page(
        ask, "settings_edit.html", kind=kind, section=SECTIONS[kind], entity_id="" if is_new else entity_id, value=value, is_new=is_new,
        tag=editing.etag(stored), fields=fields(kind), used_by=[] if is_new else editing.users_of(kind, entity_id, ask.context.following.entities),
        about=ABOUT[kind], controls=forms.controls(kind, value, ask.context.following.entities),
    )  # fmt: skip


async def save(ask: Ask) -> web.StreamResponse:
    """Save what was edited, and go to the entity; or draw what is wrong."""
    form: Edited = ask.body
    entity_id = form.id.strip() or ask.path["entity_id"]
    try:
        _seen(ask)
        wanted = api.Wanted(value=parsed(form.value), reason=form.reason)
    except Refused as error:
        return problems(ask, error, form.value)
    inner = dataclasses.replace(ask, path={**ask.path, "entity_id": entity_id}, body=wanted)
    return await done(ask, lambda: api.save(inner), f"/settings/{ask.path['entity']}/{entity_id}", form.value)


async def delete(ask: Ask) -> web.StreamResponse:
    """Delete an entity, and go to the others of its kind."""
    inner = dataclasses.replace(ask, given={"reason": [ask.body.reason]})
    return await done(ask, lambda: api.delete(inner), f"/settings/{ask.path['entity']}")


async def test(ask: Ask) -> web.StreamResponse:
    """Draw what a pasted payload would be read as, and its verdict; nothing is written."""
    form: Tested = ask.body
    try:
        draft = parsed(form.value)
        trial = rules.Trial(payload=form.payload, draft=draft, source=form.id, method=form.method, content_type=form.content_type)
        found = await rules.test_mapping(dataclasses.replace(ask, body=trial))
    except (Refused, BadSettings) as error:
        return problems(ask, error, form.value)
    return drawing.page(ask, "tested.html", it=found)


async def done(ask: Ask, act: Callable[[], Awaitable[Any]], goes_to: str, text: str = "") -> web.StreamResponse:
    """Make a change and go on, or draw what is wrong with it."""
    try:
        await act()
    except (Refused, BadSettings) as error:
        return problems(ask, error, text)
    except Unavailable as error:
        return problems(ask, BadSettings(error.what, error.remedy), text)
    return web.Response(headers={"HX-Redirect": goes_to})


def _seen(ask: Ask) -> None:
    """A change is made from something that was seen, and says which."""
    if not ask.request.headers.get("If-Match"):
        raise Refused("precondition_failed", "The form did not say which version it changes.", "Reload the page and try again.")


def parsed(text: str) -> dict[str, Any]:
    """Return the object that a text is. Refused("invalid") with the line where it is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refused("invalid", f"line {error.lineno}: The text is no JSON: {error.msg}.") from error
    if not isinstance(value, dict):
        raise Refused("invalid", "line 1: The value is no object; it begins with { and ends with }.")
    return value


def problems(ask: Ask, error: Refused | BadSettings, text: str) -> web.StreamResponse:
    """Draw what is wrong: each with its place and, where the text has it, its line."""
    what = error.message if isinstance(error, Refused) else error.what
    found = []
    for said in what.split("; "):
        matched = PLACE.match(said)
        place, reason = (matched[1], matched[2]) if matched else ("", said)
        line = (
            place.removeprefix("line ") if place.startswith("line ") else line_of(text, place).removeprefix(":") if text and place else ""
        )
        found.append({"place": "" if place.startswith("line ") else place, "reason": reason, "line": line})
    remedy = error.remedy if len(found) == 1 and not found[0]["place"] else ""
    response = drawing.page(ask, "problems_found.html", 422 if not isinstance(error, Refused) else error.status, found=found, remedy=remedy)
    response.headers["X-Problems"] = "1"
    return response


def _skeleton(kind: str) -> dict[str, Any]:
    """Return a new entity with what it cannot do without."""
    schema = ENTITY_MODELS[kind].model_json_schema()
    return {name: _empty(schema["properties"][name]) for name in schema.get("required", ()) if name != "id"}


def _empty(field: dict[str, Any]) -> Any:
    return {"array": [], "object": {}, "boolean": False, "integer": 0, "number": 0}.get(field.get("type", "string"), "")


def fields(kind: str) -> list[dict[str, Any]]:
    """Return the fields of a kind: {name, type, doc, is_needed, inner: fields of what nests}."""
    schema = ENTITY_MODELS[kind].model_json_schema()
    return _fields(schema, schema.get("$defs", {}))


def _fields(schema: dict[str, Any], named: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, field in schema.get("properties", {}).items():
        inner: dict[str, Any] = next((named[ref["$ref"].rpartition("/")[2]] for ref in _alternatives(field) if "$ref" in ref), {})
        found.append(
            {"name": name, "type": _type(field), "doc": field.get("description", ""), "is_needed": name in schema.get("required", ()),
             "inner": _fields(inner, named) if "properties" in inner else []}
        )  # fmt: skip
    return found


def _alternatives(field: dict[str, Any]) -> list[dict[str, Any]]:
    return [field, *field.get("anyOf", ()), *field.get("allOf", ()), *([field["items"]] if isinstance(field.get("items"), dict) else [])]


def _type(field: dict[str, Any]) -> str:
    if words := next((each["enum"] for each in _alternatives(field) if "enum" in each), None):
        return " | ".join(map(str, words[:12]))
    kinds = [each["type"] for each in _alternatives(field)[:-1] or [field] if "type" in each] or ["object"]
    return " or ".join(dict.fromkeys(kinds))


def _route(
    method: str, path: str, handler: Callable[[Ask], Awaitable[Any]], may: Any, doc: str, body: type[BaseModel] | None = None
) -> Route:
    return Route(method, path, handler, may, doc, body=body, produces=("text/html",), kind="page")


ROUTES = (
    _route("GET", "/settings", overview, "read_log", "Settings"),
    _route("GET", "/settings/{entity}", of_kind, "read_log", "Settings of a kind"),
    _route("GET", "/settings/{entity}/{entity_id}", edit, "read_log", "A setting in its editor"),
    _route("POST", "/settings/{entity}/{entity_id}", save, "change_settings", "Save a setting", Edited),
    _route("POST", "/settings/{entity}/{entity_id}/delete", delete, "change_settings", "Delete a setting", Deleted),
    _route("POST", "/settings/source/{entity_id}/test", test, "try_rules", "Test a mapping", Tested),
)
