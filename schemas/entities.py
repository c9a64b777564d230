"""The entities of a workspace: what people configure, checked when it is saved.

A broken setting is refused at the door with its place and reason; the stages trust what is stored. Models are strict (no "1" for 1) and
forbid unknown fields, because a misspelt setting that is silently ignored costs a day of wrong attribution. They are frozen: a change is
a new version (streams/workspace.py), never an edit of what already judged payloads.
"""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schemas import presets
from schemas.auth import Auth
from schemas.destinations import Destination
from schemas.mapping import Mapping
from schemas.permissions import Role, current_role
from schemas.policies import (
    AttributionOverrides,
    AttributionPolicy,
    Currency,
    DedupPolicy,
    Entity,
    FraudPolicy,
    Id,
    Name,
    Network,
    SourceKind,
    TimeZone,
    WayUrl,
)
from schemas.problems import EMAIL


class Property(Entity):
    """A site or app; click ids belong to it (A38)."""

    id: Id
    name: Name
    account_id: Id = "default"
    attribution: AttributionPolicy = AttributionPolicy()


def _preset(name: str) -> str:
    presets.get(name)
    return name


PresetName = Annotated[str, AfterValidator(_preset), Field(json_schema_extra={"enum": list(presets.names())})]


class Source(Entity):
    """A sender of payloads, bound to a property (A34, A39)."""

    id: Id
    name: Name
    kind: SourceKind = Field(description="may be left out where there is a preset")
    preset: PresetName | None = Field(default=None, description="a known sender: its values are the defaults of all that follows")
    property_id: Id
    properties: list[Id] = Field(default_factory=list, description="further properties that the payload may name")
    mapping: Mapping = Mapping()
    dedup: DedupPolicy = DedupPolicy()
    attribution: AttributionOverrides = AttributionOverrides()
    fraud: FraudPolicy = FraudPolicy()
    auth: Auth | None = None
    allow_ips: list[Network] = Field(default_factory=list, description="addresses or networks; empty: all")
    rate_limit_per_s: Annotated[float, Field(gt=0)] | None = None
    answer: str | None = Field(default=None, max_length=1000, description="plain text that the sender wants, for example OK")
    default_currency: Currency | None = Field(default=None, description="of amounts that name none; absent: the preset's, else USD")
    timezone: TimeZone | None = Field(default=None, description="zone of times that are sent without one; absent: the preset's, else UTC")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        return presets.completed(data)

    @model_validator(mode="after")
    def _has_what_its_preset_needs(self) -> Self:
        needed = presets.get(self.preset).needs_auth if self.preset else None
        if needed and self.auth is None:
            raise ValueError(f"auth: preset {self.preset} can't do without: {needed}")
        return self

    def settled(self) -> Self:
        """This source with its preset's values where it has none of its own: what payloads are judged with."""
        if self.preset is None:
            return self
        preset = presets.get(self.preset)
        return self.model_copy(
            update={
                "mapping": presets.laid_over(self.mapping, preset.mapping),
                "dedup": presets.over(self.dedup, preset.dedup),
                "answer": preset.answer if self.answer is None else self.answer,
                "default_currency": self.default_currency or preset.default_currency,
                "timezone": self.timezone or preset.timezone,
            }
        )


class TrafficSource(Entity):
    """Where clicks are bought, and whom postbacks tell."""

    id: Id
    name: Name
    click_id_parameter: Name | None = Field(default=None, description="its own click id in the landing URL, for example gclid")
    destination_ids: list[Id] = Field(default_factory=list, description="who is told of a conversion of its clicks; empty: all")


class AffiliateNetwork(Entity):
    """Who pays for conversions."""

    id: Id
    name: Name
    click_id_parameter: Name = Field(default="sub_id", description="the slot of its offer links that takes our click id")
    source_id: Id | None = Field(default=None, description="the source of its postbacks")


class Lander(Entity):
    """A landing page."""

    id: Id
    name: Name
    url: WayUrl


class Offer(Entity):
    """What is sold; the click id fills the network's slot of the URL."""

    id: Id
    name: Name
    url: WayUrl
    affiliate_network_id: Id | None = None


class Step(Entity):
    """One way through a flow, chosen by weight."""

    lander_id: Id | None = None
    offer_id: Id
    weight: Annotated[int, Field(ge=0, le=1000)] = 1


class Flow(Entity):
    """Which lander and offer a click gets."""

    id: Id
    name: Name
    paths: list[Step] = Field(min_length=1, max_length=100)


class Campaign(Entity):
    """A tracking link: whose clicks, from where, to where."""

    id: Id
    name: Name
    property_id: Id
    traffic_source_id: Id | None = None
    flow_id: Id | None = None


class User(Entity):
    """Who works in the workspace; the author of its changes (C08)."""

    id: Id
    name: Name
    email: Annotated[str, Field(max_length=254, pattern=EMAIL)]
    role: Annotated[Role, BeforeValidator(current_role)] = "viewer"
    account_ids: list[Id] = Field(default_factory=list, description="only the events, visits and postbacks of these accounts; empty: all")

    @model_validator(mode="before")
    @classmethod
    def _without_the_old_token(cls, value: Any) -> Any:
        """Users once had a hash of their own, which nothing ever asked for: a token is an entity now."""
        return {name: inner for name, inner in value.items() if name != "token_sha256"} if isinstance(value, dict) else value


class Token(Entity):
    """A user's key to the API. Only its hash is kept: whoever reads the settings cannot use it.

    An entity of its own, so that making and revoking one are rows of the activity log, and two at once do not overwrite each other. SHA-256
    without salt, because the token is 256 random bits: there is nothing to guess, and one hash finds it.
    """

    id: Id
    user_id: Id
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64}|\*\*\*)$", description="*** in a masked export: the stored one stays")]
    ended_sessions: list[Annotated[str, Field(pattern=r"^[0-9]+~[0-9a-f]+$")]] = Field(
        default_factory=list, max_length=1000, description="browser sessions that were logged out before their time"
    )


ENTITY_MODELS: dict[str, type[Entity]] = {
    "property": Property,
    "traffic_source": TrafficSource,
    "affiliate_network": AffiliateNetwork,
    "lander": Lander,
    "offer": Offer,
    "flow": Flow,
    "campaign": Campaign,
    "source": Source,
    "destination": Destination,
    "user": User,
    "token": Token,
}
"""Entity name -> model, in an order in which references point backwards wherever they can."""
