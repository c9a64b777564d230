"""Changes of single settings: checked as the workspace file is, refused when somebody else was quicker or something still refers to it.

The value of an entity has an ETag, which is a hash of it: whoever changes it says which one was seen, and the comparison happens inside the
transaction that fences all other writers. So two people who edit the same source cannot overwrite each other without knowing, and a program
that does not care leaves the ETag out. Secrets stay where `***` comes back in their place.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
from pydantic import ValidationError

from console.apply import Entities, unmasked
from schemas.entities import ENTITY_MODELS, Source
from schemas.policies import Entity
from schemas.problems import Problem, problems_of
from schemas.workspace import missing_references, references
from streams.runtime.errors import BadSettings
from streams.runtime.settings_store import Change


class NotValid(BadSettings):
    """The value is none that can be saved; `problems` has every place and reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class InUse(BadSettings):
    """Something refers to what is to be deleted."""


class ChangedMeanwhile(BadSettings):
    """It is not the value any more that the change was made from."""


def etag(value: dict[str, Any] | None) -> str:
    """Return the tag of a value; of one that does not exist, "none"."""
    return "none" if value is None else hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:20]


def wanted(entity: str, entity_id: str, value: dict[str, Any], entities: Entities) -> dict[str, Any]:
    """Return a value as it is stored. NotValid names every problem: fields, references, the account of a source's properties."""
    given = {"id": entity_id} | value
    if given["id"] != entity_id:
        raise NotValid([Problem(place="id", reason=f"it is {entity_id} in the address and {given['id']} in the value")])
    try:
        model = ENTITY_MODELS[entity].model_validate(unmasked(given, entities.get((entity, entity_id)), f"{entity} {entity_id}"))
    except ValidationError as error:
        raise NotValid(problems_of(error)) from error
    problems = missing_references(entity, entity_id, model, lambda *key: key in entities)
    if isinstance(model, Source):
        problems += _foreign_properties(model, entities)
    if problems:
        raise NotValid(problems)
    stored: dict[str, Any] = model.model_dump(mode="json", exclude_unset=True)
    return stored


def _foreign_properties(source: Source, entities: Entities) -> list[Problem]:
    """A source may only use properties of one account (A34)."""
    accounts = {
        name: entities.get(("property", name), {}).get("account_id", "default") for name in (source.property_id, *source.properties)
    }
    return [
        Problem(place="properties", reason=f"property {name!r} belongs to another account")
        for name, account in accounts.items()
        if account != accounts[source.property_id]
    ]


def users_of(entity: str, entity_id: str, entities: Entities) -> list[str]:
    """Return who refers to an entity, as `source shop.property_id`."""
    found = []
    for (kind, name), value in entities.items():
        for field, target, referred in references(kind, _model(kind, value)):
            if (target, referred) == (entity, entity_id):
                found.append(f"{kind} {name}.{field}")
    return found


def _model(entity: str, value: dict[str, Any]) -> Entity:
    return ENTITY_MODELS[entity].model_validate(value)


def deletion(entity: str, entity_id: str, entities: Entities) -> list[Change]:
    """Return the change that deletes an entity. InUse names who refers to it."""
    if found := users_of(entity, entity_id, entities):
        raise InUse(f"{entity} {entity_id} is in use: {', '.join(found[:10])}.", "Change these first.")
    return [Change(entity, entity_id, None)]


def still(entity: str, entity_id: str, tag: str) -> Callable[[Entities], None]:
    """Return the check, made inside the transaction, that an entity is what was seen; an empty tag and * let everything pass."""

    def check(entities: Entities) -> None:
        now = entities.get((entity, entity_id))
        if tag and not (tag == "*" and now is not None) and etag(now) != tag:
            raise ChangedMeanwhile(
                f"{entity} {entity_id} is not what it was when you loaded it.", "Load it again, then make your change anew."
            )

    return check
