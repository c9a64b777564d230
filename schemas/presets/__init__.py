"""Presets: what is known of a sender, so that a source names it instead of describing it.

A preset is data: `<name>.yaml` beside this file, checked against `Preset` below. A source that names one starts from its values and lays its
own over them, field by field; what a source leaves at its default is the preset's. The preset is not copied into the source when that is
saved: a sender that changes its parameters is then put right for every workspace by one line here, as with every default
(console/apply.py), and what a workspace chose itself stays.

To add a preset: write `<name>.yaml` (copy the nearest; the model's fields say what each part means), naming only parameters that the
sender's documentation names, with what it was read from; then two examples at least, `schemas/examples/preset-<name>-*.json`, a sale and
the sender's trap. Tests ask for both, check that the mapping finds all that the URL sends, and send the examples through the real thing.
"""

from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field

from schemas.mapping import Mapping
from schemas.policies import Currency, DedupPolicy, Entity, SourceKind, TimeZone

FOLDER = Path(__file__).parent
_Model = TypeVar("_Model", bound=BaseModel)


class Preset(Entity):
    """One sender."""

    title: str = Field(min_length=1)
    kind: SourceKind
    sends: str = Field(min_length=1, description="what it sends, when and how")
    link: str | None = Field(default=None, description="what to append to the sender's link so that it takes our click id")
    paste: list[str] = Field(min_length=1, description="where to enter the URL, and what else to set there")
    query: str | None = Field(default=None, description="of the postback URL, with the sender's macros; none where it sends its own body")
    mapping: Mapping = Mapping()
    auth: dict[str, str] = Field(
        default_factory=dict, description="the scheme (schemas/auth.py) without its secret, which the source gives"
    )
    needs_auth: str | None = Field(default=None, description="why a source can't do without")
    answer: str | None = None
    default_currency: Currency | None = None
    timezone: TimeZone | None = None
    dedup: DedupPolicy = DedupPolicy()
    traps: list[str] = Field(min_length=1, description="what goes wrong with this sender, and what becomes of it here")
    read_at: list[str] = Field(min_length=1, description="the documentation that this was read from")


@cache
def names() -> tuple[str, ...]:
    """The presets there are."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def get(name: str) -> Preset:
    """A preset by its name. ValueError names the nearest one when there is none of this name."""
    known = names()
    if name not in known:
        near = get_close_matches(name.casefold(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ValueError(f"there is no preset {name!r}; {hint}")
    return Preset.model_validate(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def completed(source: Any) -> Any:
    """Source settings as they came in, with what only the preset knows and no default stands for: its kind, and the scheme of its auth."""
    if not isinstance(source, dict) or source.get("preset") not in names():
        return source
    preset = get(source["preset"])
    auth = source.get("auth")
    if isinstance(auth, dict) and auth.get("kind", preset.auth.get("kind")) == preset.auth.get("kind"):
        auth = preset.auth | auth
    return {"kind": preset.kind} | source | ({"auth": auth} if auth is not None else {})


def laid_over(mine: Mapping, preset: Mapping) -> Mapping:
    """A source's mapping over its preset's: each field that the source sets goes first; status words are laid over one by one."""
    folded = {word.strip().casefold() for word in mine.statuses}
    words = {word: status for word, status in preset.statuses.items() if word.strip().casefold() not in folded}
    return over(mine, preset).model_copy(update={"statuses": words | mine.statuses})


def over(mine: _Model, preset: _Model) -> _Model:
    """Each field of mine that is not at its default, else the preset's."""
    fields = type(mine).model_fields
    update = {name: getattr(mine, name) for name in fields if getattr(mine, name) != fields[name].get_default(call_default_factory=True)}
    return preset.model_copy(update=update)
