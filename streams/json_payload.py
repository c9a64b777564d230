r"""A JSON payload as flat parameters, with every number exactly as it was written.

orjson reads 255 bytes in 1 us but makes a float of a 23-digit id and of 12.50, and keeps the last of keys that occur twice. So its answer is
taken when nothing of that kind can have happened: only strings, integers, booleans and nulls, and as many colons as keys. Otherwise the
standard library reads the payload again with numbers left as text (4 us), which also takes NaN, control characters and lone surrogates.

What can be read in two ways is read in one, and all of it stays visible:
- Names that occur twice, and lists of plain values: the first value that is not empty counts, and name.0, name.1, … list them all (forms and
  XML, too).
- Half a surrogate pair (`\ud800` alone) is no character: the parameter has U+FFFD in its place, the payload its bytes as they came.
- A list of one object is that object. Several objects, in a list or one behind the other, are several payloads: none of them is judged, and
  the row says where they belong. Read as one, they ended as a sale without a click id, which is true of none of them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import orjson

DEEPEST = 64  # levels; what lies deeper is named, not listed
MOST_FIELDS = 4096  # fields that are looked at, level by level, so that a long list of items cannot hide the total of an order
LONGEST_NAME = 512
TOO_DEEP = f"(nested deeper than {DEEPEST})"
SEVERAL = "objects; send them to /in/<source_id>/bulk, one per line"
MOST_COUNTED = 1_000  # objects one behind the other: counting them is reading them

_SPACE = re.compile(r"[ \t\r\n]*")
_WORDS = {None: "", True: "true", False: "false"}


def merged(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Pairs as a dict. A name that occurs again has its first value that is not empty; all are there as name.0, name.1, …"""
    found: dict[str, Any] = {}
    repeated: dict[str, list[Any]] = {}
    for name, item in pairs:
        if name in found:
            repeated.setdefault(name, [found[name]]).append(item)
        else:
            found[name] = item
    for name, items in repeated.items():
        found[name] = next((item for item in items if item), items[0])
        for number, item in enumerate(items):
            found.setdefault(f"{name}.{number}", item)
    return found


_EXACT = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, strict=False, object_pairs_hook=merged)


def read_json(value: bytes) -> dict[str, str]:
    """Parameters of a JSON object; nested names are joined by dots. ValueError says where and why it cannot be read."""
    try:
        data = orjson.loads(value)
    except orjson.JSONDecodeError:
        return flatten(_exact(value))
    if type(data) is dict:
        for name, item in data.items():
            if type(item) is str:
                continue
            if type(item) is int:
                data[name] = str(item)
            elif item is None or type(item) is bool:
                data[name] = _WORDS[item]
            else:
                break
        else:
            if value.count(58) == len(data) or _has_no_double(value, data):
                if "" in data:
                    del data[""]
                return data if len(data) <= MOST_FIELDS else dict(islice(data.items(), MOST_FIELDS))
    return flatten(_exact(value))


def _has_no_double(value: bytes, data: dict[str, str]) -> bool:
    """Whether no key can have occurred twice: each has a colon, and the others stand in names and values (unless escaped)."""
    if b"\\" in value:
        return False
    return value.count(58) == len(data) + sum(name.count(":") + item.count(":") for name, item in data.items())


def _exact(value: bytes) -> Any:
    try:
        text = value.decode(json.detect_encoding(value))
    except UnicodeError:
        text = value.decode("cp1252", "replace")
    text = text.rstrip(" \t\r\n\0")
    try:
        return _EXACT.decode(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and (count := _objects(text)):
            raise several(count) from error
        raise ValueError(f"JSON breaks at character {error.pos} of {len(text)}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error


def is_several(cause: str) -> bool:
    """Whether a payload can't be read because it is several; no other cause ends so."""
    return cause.endswith(SEVERAL)


def several(count: int) -> ValueError:
    """What is wrong with a payload that is several: where they belong."""
    return ValueError(f"this payload holds {'more than ' if count > MOST_COUNTED else ''}{min(count, MOST_COUNTED):,} {SEVERAL}")


def _objects(text: str) -> int:
    """How many objects stand one behind the other, counted to MOST_COUNTED + 1; 0 when anything else is among them."""
    count, rest = 0, 0
    while rest < len(text) and count <= MOST_COUNTED:
        try:
            item, end = _EXACT.raw_decode(text, rest)
        except (json.JSONDecodeError, RecursionError):
            return 0
        if item.__class__ is not dict:
            return 0
        count += 1
        rest = _SPACE.match(text, end).end()  # type: ignore[union-attr]  # it matches nothing, too
    return count


def _only(items: list[Any]) -> Any:
    """The one item of a list, or the list; ValueError when it is a list of objects."""
    count = sum(item.__class__ is dict for item in items)
    if count > 1:
        raise several(count)
    return items[0] if len(items) == 1 else items


def flatten(data: Any) -> dict[str, str]:
    """Leaves by their dotted paths, level by level. ValueError when there is no name at all, and when the payload is several objects."""
    if data.__class__ is list:
        data = _only(data)
    if data.__class__ not in (dict, list):
        raise ValueError("JSON holds no object")
    found: dict[str, str] = {}
    level: list[tuple[str, Any]] = [("", data)]
    for _ in range(DEEPEST):
        below: list[tuple[str, Any]] = []
        for path, item in _children(level):
            if item and item.__class__ in (dict, list):
                if len(below) < MOST_FIELDS:
                    below.append((path, item))
                if path and item.__class__ is list and not any(inner.__class__ in (dict, list) for inner in item):
                    found.setdefault(path, next((text for text in map(_text, item) if text), ""))
            elif path:
                found.setdefault(path, _text(item))
            if len(found) >= MOST_FIELDS:
                return found
        level = below
    return found | {path: TOO_DEEP for path, _ in level if path}


def _children(level: list[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for prefix, node in level:
        for name, item in node.items() if node.__class__ is dict else enumerate(node):
            path = f"{prefix}.{name}" if prefix else str(name)
            yield clean(path[:LONGEST_NAME]), item


def _text(item: Any) -> str:
    if item.__class__ is str:
        return clean(item)
    return _WORDS[item] if item is None or item.__class__ is bool else ""  # numbers are text already; what is left is empty


def clean(text: str) -> str:
    """Text without lone surrogates, which neither JSON nor ClickHouse takes back."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
