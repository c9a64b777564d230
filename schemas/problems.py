"""What is wrong with a setting, in words that its author can act on: where, what, and what it may be instead.

The checks are pydantic's, and so were the words: "Extra inputs are not permitted" said of a misspelt name neither that it is none nor which
one is meant, and that is the mistake that people make. The few kinds of errors that come from people are said anew here, in one place for
the console, the workspace file and the stored settings; the rest keeps pydantic's words, which are clear where a number is too small.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

ID = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
EMAIL = r"^[^@\s]+@[^@\s]+$"
_PATTERNS = {
    ID: "{value} is no id: it has letters, digits and _ . : - only, no blanks, and begins with a letter or digit",
    EMAIL: "{value} is no e-mail address; one looks like ann@example.com",
}
_BRANCH = re.compile(r"^(constrained-|literal\[|function-|\[key\]$)")  # what pydantic calls the ways through a union: no place of a file


class Problem(BaseModel):
    """What is wrong with a setting: where, and why."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


def problems_of(error: ValidationError, place: str = "") -> list[Problem]:
    """A pydantic error as places and reasons that a person can act on."""
    found = []
    for item in error.errors(include_url=False):
        parts = [place, *(str(part) for part in item["loc"] if not _BRANCH.match(str(part)))]
        found.append(Problem(place=".".join(part for part in parts if part), reason=_reason(error.title, item)))
    return found


def _reason(model: str, item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return _no_such_name(str(item["loc"][-1]), sorted(_names_at(model, item["loc"][:-1])))
    if item["type"] == "string_pattern_mismatch":
        words = _PATTERNS.get(item["ctx"]["pattern"])
        if words:
            return words.format(value=repr(item["input"]))
    return str(item["msg"]).removeprefix("Value error, ")


def _no_such_name(name: str, names: list[str]) -> str:
    near = get_close_matches(name.lower(), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}" if names else ""
    return f"there is no such field{hint}"


def _names_at(model: str, path: tuple[int | str, ...]) -> set[str]:
    """The settings that there are at a place: the path is followed through the models, lists and maps on the way are stepped over."""
    models = {found for found in _models_below(BaseModel) if found.__name__ == model}
    for part in path:
        inner = {found for owner in models if part in owner.model_fields for found in _models_in(owner.model_fields[str(part)].annotation)}
        models = inner or models
    return {name for found in models for name in found.model_fields}


def _models_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for below in model.__subclasses__():
        yield below
        yield from _models_below(below)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
