"""The workspace file: all settings of a workspace as one declarative document, in YAML or JSON.

`clicktrail apply` brings it in, `clicktrail export-workspace` writes it, its JSON Schema is published. References between entities are
checked here and, with the same table, when the console saves a single entity: a source whose property does not exist would turn every
payload into Unauthorized asset, hours after the typing error that caused it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from pydantic import Field, ValidationError

from schemas.destinations import Destination
from schemas.entities import (
    AffiliateNetwork,
    Campaign,
    Flow,
    Lander,
    Offer,
    Property,
    Source,
    Token,
    TrafficSource,
    User,
)
from schemas.policies import Entity
from schemas.problems import Problem, problems_of

# (entity, field, entity referred to); a field inside a list is written list.field
REFERENCES = (
    ("source", "property_id", "property"),
    ("source", "properties", "property"),
    ("campaign", "property_id", "property"),
    ("campaign", "traffic_source_id", "traffic_source"),
    ("campaign", "flow_id", "flow"),
    ("flow", "paths.lander_id", "lander"),
    ("flow", "paths.offer_id", "offer"),
    ("offer", "affiliate_network_id", "affiliate_network"),
    ("affiliate_network", "source_id", "source"),
    ("traffic_source", "destination_ids", "destination"),
    ("destination", "property_ids", "property"),
    ("destination", "traffic_source_ids", "traffic_source"),
    ("token", "user_id", "user"),
)


class WorkspaceRefused(ValueError):  # noqa: N818 - named for what happened, like a verdict
    """The workspace is not usable as it stands; `problems` has every place and reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class WorkspaceFile(Entity):
    """A workspace: lists of its entities. A list that is left out is empty."""

    properties: list[Property] = Field(default_factory=list)
    traffic_sources: list[TrafficSource] = Field(default_factory=list)
    affiliate_networks: list[AffiliateNetwork] = Field(default_factory=list)
    landers: list[Lander] = Field(default_factory=list)
    offers: list[Offer] = Field(default_factory=list)
    flows: list[Flow] = Field(default_factory=list)
    campaigns: list[Campaign] = Field(default_factory=list)
    sources: list[Source] = Field(default_factory=list)
    destinations: list[Destination] = Field(default_factory=list)
    users: list[User] = Field(default_factory=list)
    tokens: list[Token] = Field(default_factory=list)

    def entities(self) -> Iterator[tuple[str, str, Entity]]:
        """(entity name, id, model), in the order of ENTITY_MODELS."""
        for entity, section in SECTIONS.items():
            for model in getattr(self, section):
                yield entity, model.id, model


SECTIONS = {
    "property": "properties",
    "traffic_source": "traffic_sources",
    "affiliate_network": "affiliate_networks",
    "lander": "landers",
    "offer": "offers",
    "flow": "flows",
    "campaign": "campaigns",
    "source": "sources",
    "destination": "destinations",
    "user": "users",
    "token": "tokens",
}
"""Entity name -> its list in the workspace file."""


def references(entity: str, model: Entity) -> Iterator[tuple[str, str, str]]:
    """(field, entity referred to, id) for each reference that the model makes."""
    for owner, field, target in REFERENCES:
        if owner == entity:
            outer, _, inner = field.partition(".")
            value = getattr(model, outer)
            for item in value if isinstance(value, list) else [value]:
                referred = getattr(item, inner) if inner else item
                if referred is not None:
                    yield field, target, referred


def missing_references(entity: str, entity_id: str, model: Entity, exists: Callable[[str, str], bool]) -> list[Problem]:
    """A problem for each reference of the model to an entity that `exists(entity, id)` denies."""
    return [
        Problem(place=f"{entity} {entity_id}.{field}", reason=f"there is no {target} {referred!r}")
        for field, target, referred in references(entity, model)
        if not exists(target, referred)
    ]


def _doubled(file: WorkspaceFile) -> list[Problem]:
    counts = Counter((entity, entity_id) for entity, entity_id, _ in file.entities())
    return [
        Problem(place=f"{entity} {entity_id}", reason=f"this id stands {count} times in {SECTIONS[entity]}")
        for (entity, entity_id), count in counts.items()
        if count > 1
    ]


def _foreign_accounts(file: WorkspaceFile) -> list[Problem]:
    """A source may only use properties of one account (A34)."""
    accounts = {item.id: item.account_id for item in file.properties}
    return [
        Problem(place=f"source {source.id}.properties", reason=f"property {other!r} belongs to another account")
        for source in file.sources
        for other in source.properties
        if {source.property_id, other} <= accounts.keys() and accounts[other] != accounts[source.property_id]
    ]


def check(data: Any) -> WorkspaceFile:
    """The workspace in `data` (parsed YAML or JSON). WorkspaceRefused names every problem at once."""
    if not isinstance(data, dict | None):
        held = "a text" if isinstance(data, str) else "a list" if isinstance(data, list) else f"{data!r}"[:40]
        raise WorkspaceRefused(
            [Problem(place="file", reason=f"it holds {held}; a workspace is lists by their names: {', '.join(SECTIONS.values())}")]
        )
    try:
        file = WorkspaceFile.model_validate({} if data is None else data)
    except ValidationError as error:
        raise WorkspaceRefused(problems_of(error)) from error
    known = {(entity, entity_id) for entity, entity_id, _ in file.entities()}
    problems = [*_doubled(file), *_foreign_accounts(file)]
    for entity, entity_id, model in file.entities():
        problems += missing_references(entity, entity_id, model, lambda target, referred: (target, referred) in known)
    if problems:
        raise WorkspaceRefused(problems)
    return file


def load(text: str) -> WorkspaceFile:
    """The workspace in a YAML or JSON text. WorkspaceRefused names every problem with its place."""
    try:
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "text"
        raise WorkspaceRefused([Problem(place=place, reason=error.problem or "no YAML")]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WorkspaceRefused([Problem(place="text", reason=str(error) or "no YAML")]) from error
    return check(data)


def dump(file: WorkspaceFile) -> str:
    """The workspace as YAML, without the fields that have their defaults; `load` of it is equal to `file`."""
    return yaml.safe_dump(file.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)


def json_schema() -> str:
    """The JSON Schema of the workspace file, for editors and `clicktrail schema workspace`."""
    return json.dumps(WorkspaceFile.model_json_schema(), indent=2)
