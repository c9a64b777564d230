"""The OpenAPI document, made from the route table: parameters from the filters, rows from the columns of the tables, bodies from their models.

Nothing in it is written by hand, so it cannot say anything else than what the door checks; a test throws at the server what the document allows
and what it does not.
"""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from console.explaining import JSON_COLUMNS
from console.filters import LONGEST, MOST, Filter
from console.lists import Listed, columns_of
from console.server.answers import REFUSALS
from console.server.route import FLAGS, LONGEST_TEXT, Parameter, Route
from sinks.schema import Column

VERSION = "1"
ALWAYS = ("bad_parameter", "unauthorized", "forbidden", "foreign_page", "rate_limited", "broken", "unavailable")
TIME = r"^((19[89]\d|20\d\d)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?(Z|\+0\d:00)?)?|[1-9]\d{0,3}[smhd])?$"
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "remedy"],
            "properties": {
                "code": {"type": "string", "enum": list(REFUSALS)}, "message": {"type": "string"}, "remedy": {"type": "string"},
            },
        }
    },
}  # fmt: skip
Schema = dict[str, Any]


def document(routes: Iterable[Route]) -> Schema:
    """Return the document of the API's routes."""
    schemas: dict[str, Schema] = {"Error": ERROR}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.kind == "api":
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Clicktrail",
            "version": VERSION,
            "description": "What became of every conversion. Filters, cursors and totals are the same for every list; errors say what to do next.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`clicktrail tokens create USER NAME` makes one"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "clicktrail_session",
                    "description": "POST /api/v1/session opens one",
                },
            },
        },
    }


def _operation(route: Route, schemas: dict[str, Schema]) -> Schema:
    names = re.findall(r"{(\w+)}", route.path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names]
    parameters += [_parameter(parameter) for parameter in route.parameters] + [_filter(found) for found in route.filters]
    found: Schema = {
        "operationId": operation_id(route),
        "summary": route.doc,
        "tags": [route.path.split("/")[3].partition(".")[0]],
        "parameters": parameters,
        "responses": _responses(route, schemas),
        "security": [] if route.may is None else [{"token": []}, {"session": []}],
        "x-permission": route.may,
    }
    if route.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _model(route.body, schemas)}}}
    return found


def operation_id(route: Route) -> str:
    """Return a name for a route that no other has."""
    words = re.sub(r"[^a-z0-9]+", "_", route.path.removeprefix("/api/v1").lower()).strip("_")
    return f"{route.method.lower()}_{words}"


def _parameter(parameter: Parameter) -> Schema:
    schema: Schema = {"type": "string", "maxLength": LONGEST_TEXT}
    if parameter.kind == "int":
        schema = {"type": "integer", "minimum": parameter.least, "maximum": parameter.most}
    elif parameter.kind == "flag":
        schema = {"type": "string", "enum": list(FLAGS)}
    elif parameter.words:
        schema = {"type": "string", "enum": ["", *parameter.words]}
    if parameter.default:
        schema["default"] = int(parameter.default) if parameter.kind == "int" else parameter.default
    return {"name": parameter.name, "in": "query", "required": parameter.is_needed, "description": parameter.doc, "schema": schema}


def _filter(found: Filter) -> Schema:
    schema: Schema = {"type": "string", "maxLength": LONGEST}  # an empty one is none: forms send every field
    if found.kind in {"from", "to"}:
        schema = {"type": "string", "pattern": TIME}
    elif found.kind == "flag":
        schema = {"type": "string", "enum": list(FLAGS)}
    elif found.kind in {"words", "ids"}:
        one = {"type": "string", "enum": [*found.shown_words, ""]} if found.words else schema
        schema = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST}
    many = {"style": "form", "explode": True} if schema["type"] == "array" else {}
    return {"name": found.name, "in": "query", "required": False, "description": found.doc, "schema": schema, **many}


def _responses(route: Route, schemas: dict[str, Schema]) -> Schema:
    answer = _answer(route, schemas)
    status = "201" if route.path.endswith("/settings/token") and route.method == "POST" else "200"
    content = {media: {"schema": answer} if media == "application/json" else {} for media in route.produces}
    codes = [*(code for code in ALWAYS if route.may is not None or code not in {"unauthorized", "forbidden"}), *route.refusals]
    codes += ["bad_body", "invalid", "too_large", "no_csrf_token"] if route.body is not None else []
    found: Schema = {status: {"description": route.doc, "content": content}}
    if route.path.endswith("/recover"):
        found["202"] = {"description": "The job has begun", "content": content}
    for code in dict.fromkeys(codes):
        words = REFUSALS[code]
        said = found.setdefault(str(words.status), {"description": "", "content": _ERROR_CONTENT})
        said["description"] = f"{said['description']} {code}: {words.message}".strip()
    found["400"] = found["400"] | {"content": _ERROR_CONTENT | {"text/plain": {}}}  # what is no HTTP is answered before any of this
    return found


_ERROR_CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}


def _answer(route: Route, schemas: dict[str, Schema]) -> Schema:
    if isinstance(route.answer, dict):
        return route.answer
    if route.answer is not None:
        return _model(route.answer, schemas)
    if route.found is not None and not route.path.startswith(("/api/v1/charts", "/api/v1/problems", "/api/v1/stream")):
        return _page(route.found, schemas)
    return {}


def _model(model: type[BaseModel], schemas: dict[str, Schema]) -> Schema:
    found = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(found.pop("$defs", {}))
    schemas[model.__name__] = found
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _page(found: Listed, schemas: dict[str, Schema]) -> Schema:
    """A page of a list; its rows are the columns of its view."""
    name = "".join(part.title() for part in found.name.split("_")) + "Row"
    columns = columns_of(found, is_whole=False)
    schemas[name] = {
        "type": "object",
        "required": [column.name for column in columns],
        "properties": {column.name: _column(column) for column in columns},
    }
    cursor = {"type": ["string", "null"]}
    return {
        "type": "object",
        "required": ["rows", "total", "next", "previous"],
        "properties": {
            "rows": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
            "total": {"type": ["integer", "null"], "minimum": 0}, "next": cursor, "previous": cursor,
        },
    }  # fmt: skip


def _column(column: Column) -> Schema:
    return {"description": column.comment} | ({} if column.name in JSON_COLUMNS else _type(column.type))


def _type(kind: str) -> Schema:
    """A type of ClickHouse, as it stands in our JSON: money is text."""
    inner = re.sub(r"^LowCardinality\((.*)\)$", r"\1", kind)
    if inner.startswith("Nullable("):
        schema = _type(inner[9:-1])
        return schema | {"type": [schema["type"], "null"]}
    if inner.startswith("DateTime"):
        return {"type": "string", "format": "date-time"}
    if inner.startswith(("UInt", "Int")):
        return {"type": "integer"}
    if inner.startswith("Map"):
        return {"type": "object", "additionalProperties": {"type": "string"}}
    if inner.startswith("Array"):
        return {"type": "array"}
    return {"type": "boolean"} if inner == "Bool" else {"type": "string"}


def shape(*required: str) -> Schema:
    """Return the schema of an object that has these fields."""
    return {"type": "object", "required": list(required)}
