"""Settings as forms: a control for each field of an entity, made from the model that checks it, so that no form can lack a field or know one too many.

The JSON in the editor stays what is saved: `static/forms.js` writes what is typed into a control to its place there, and the other way round.
So both are one text, a form cannot save what it does not show, and what has no simple control (a list of steps, one of several kinds of authentication)
is edited as JSON beside the rest. What is wrong is said by the server only, and comes back with its place; the control of that place shows it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from schemas.entities import ENTITY_MODELS

ADVANCED = {"dedup", "fraud", "sending", "date_formats", "decimals", "allow_ips", "account_id"}  # folded away: few people need them
SECRET = "***"  # noqa: S105 - what stands in place of one
Schema = Mapping[str, Any]


class Control(NamedTuple):
    """One field. `kind`: text, number, flag, word, list (by commas), pairs (a line each), or group, which has `inner` ones."""

    path: str
    label: str
    doc: str
    kind: str
    value: str
    words: tuple[tuple[str, str], ...] = ()
    default: str = ""
    is_folded: bool = False
    inner: tuple["Control", ...] = ()


def controls(kind: str, value: Mapping[str, Any], entities: Iterable[tuple[str, str]]) -> tuple[Control, ...]:
    """Return the controls of an entity's fields with its values; `entities` (kind, id) are what its references may name."""
    schema = ENTITY_MODELS[kind].model_json_schema()
    known: dict[str, list[str]] = {}
    for entity, entity_id in sorted(entities):
        known.setdefault(entity, []).append(entity_id)
    return tuple(_controls(schema, schema.get("$defs", {}), value, known, ""))


def _controls(schema: Schema, named: Schema, value: Mapping[str, Any], known: Mapping[str, list[str]], above: str) -> Iterable[Control]:
    for name, field in schema.get("properties", {}).items():
        if not above and name == "id":
            continue
        path, given = f"{above}{name}", value.get(name)
        if inner := _group(field, named):
            among = tuple(_controls(inner, named, given if isinstance(given, dict) else {}, known, f"{path}."))
            yield Control(
                path,
                _label(name),
                inner.get("description", "").partition(". ")[0].rstrip("."),
                "group",
                "",
                is_folded=name in ADVANCED,
                inner=among,
            )
        elif (kind := _kind(field)) and (text := _text(kind, given)) is not None:
            words = _words(field) or tuple((each, each) for each in known.get(_entity(name), ()))
            yield Control(
                path, _label(name), field.get("description", ""), "word" if words and kind == "text" else kind, text,
                words if kind == "text" else (("true", "yes"), ("false", "no")) if kind == "flag" else (),
                _default(field.get("default")),
                is_folded=name in ADVANCED,
            )  # fmt: skip


def _default(given: Any) -> str:
    if isinstance(given, bool):
        return "yes" if given else "no"
    return str(given) if isinstance(given, str | int | float) else ""


def _alternatives(field: Schema) -> list[Schema]:
    """What a field may be, apart from null."""
    return [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]


def _group(field: Schema, named: Schema) -> Schema | None:
    """The schema of an object that is always of one kind."""
    (only, *more) = _alternatives(field)
    inner: Schema = named.get(str(only.get("$ref", "")).rpartition("/")[2], {})
    return inner if not more and "properties" in inner and "anyOf" not in field else None


def _kind(field: Schema) -> str:
    """Which control a field gets; none for what nests otherwise, and for secrets."""
    (only, *more) = _alternatives(field)
    kind = only.get("type")
    if more or only.get("writeOnly") or field.get("writeOnly"):
        return ""
    if kind == "array":
        return "list" if only.get("items", {}).get("type") == "string" else ""
    if kind == "object":
        return "pairs" if only.get("additionalProperties", {}).get("type") == "string" else ""
    return {"string": "text", "number": "number", "integer": "number", "boolean": "flag"}.get(str(kind), "")


def _text(kind: str, given: Any) -> str | None:
    """Return a value as its control has it; None for one that it cannot hold."""
    if given is None:
        return ""
    if kind == "list":
        items = [given] if isinstance(given, str) else given
        return ", ".join(items) if all(isinstance(each, str) and "," not in each for each in items) else None
    if kind == "pairs":
        return "\n".join(f"{name} = {word}" for name, word in given.items()) if isinstance(given, dict) else None
    if kind == "flag":
        return "true" if given else "false"
    return None if given == SECRET or isinstance(given, dict | list) else str(given)


def _words(field: Schema) -> tuple[tuple[str, str], ...]:
    enums = [each["enum"] for each in _alternatives(field) if "enum" in each]
    return tuple((str(each), str(each).replace("_", " ")) for each in enums[0]) if enums else ()


def _entity(name: str) -> str:
    """The kind that a reference names: property_id, destination_ids."""
    kind = name.removesuffix("s").removesuffix("_id")
    return kind if kind in ENTITY_MODELS and name.removesuffix("s").endswith("_id") else ""


def _label(name: str) -> str:
    shown = name.replace("_ids", "s").removesuffix("_id") if _entity(name) else name
    words = re.sub(r"_s$", "_seconds", re.sub(r"_per_s$", "_per_second", shown)).replace("_", " ").capitalize()
    return re.sub(r"\b(ip|url|id)(s?)\b", lambda found: found[1].upper() + found[2], words, flags=re.IGNORECASE)
