"""The settings of every version: what was in force when a payload was received.

A payload is judged with exactly the settings version that its header names, so that judging it again gives the same row whatever was
changed since. So each entity keeps its history, and a look-up names a version. What a payload needs of its source is compiled once per
combination of versions in force (source, its properties) and found by one dict hit (0.1 us); compiling costs about 13 us, and 200 where a preset lies under the source.
"""

from bisect import bisect_right
from operator import itemgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from schemas.entities import ENTITY_MODELS, Property, Source
from schemas.mapping import STATUS_WORDS
from schemas.policies import AttributionPolicy, Entity
from schemas.problems import problems_of
from streams import fraud, sealed
from streams.shapes import Lookup

CACHE_LIMIT = 50_000  # (source, version) pairs that are kept ready; each is a pointer to shared rules
_VERSION = itemgetter(0)
DAY_MS = 86_400_000


class SettingsBehind(Exception):  # noqa: N818 - no failure: the caller waits for the settings and asks again
    """A payload names settings that were not applied here yet."""

    def __init__(self, version: int) -> None:
        super().__init__(f"settings version {version} is not applied yet")
        self.version = version


class SettingsRefused(ValueError):  # noqa: N818 - named for what happened
    """A stored setting is not valid; what was in force before it stays in force."""


class Policy(NamedTuple):
    """How a conversion of one source finds its click in one property; the source's overrides are in it."""

    window_ms: int | None
    model: str
    fallback_to_refs_on_unknown_click: bool
    ip_matching: bool
    min_click_to_conversion_ms: int
    gmail_aliases: bool
    ipv6_by_network: bool


class SourceRules:
    """Everything that judging a payload of one source needs, compiled from the settings in force."""

    __slots__ = (
        "account_id", "currency", "date_formats", "dedup", "default_event", "default_status", "event_memo", "events", "fraud", "lookup",
        "minor_decimals", "policies", "property_id", "read", "says_left", "source", "source_id", "status_memo", "statuses", "type", "zone",
    )  # fmt: skip

    def __init__(self, source: Source, properties: dict[str, Property]) -> None:
        """`properties`: those that exist among the ones the source may use. `self.source` has its preset's values in it."""
        source = source.settled()
        mapping = source.mapping
        home = properties.get(source.property_id)
        self.source, self.source_id, self.type, self.dedup = source, source.id, source.kind, source.dedup
        self.property_id = source.property_id
        self.account_id = home.account_id if home else "default"
        # Property id -> policy, for the properties that payloads may name (A34): they exist and are of the same account.
        self.policies = {
            p.id: _policy(source.attribution.over(p.attribution)) for p in properties.values() if p.account_id == self.account_id
        }
        self.lookup = Lookup(mapping)
        self.fraud = fraud.compiled(source.fraud)
        self.read = sealed.reader(source.auth)
        self.events = None if mapping.events is None else {word.strip().casefold(): name for word, name in mapping.events.items()}
        self.statuses = STATUS_WORDS | {word.strip().casefold(): status for word, status in mapping.statuses.items()}
        self.says_left = mapping.refund_amounts == "left"
        self.default_status, self.default_event = mapping.default_status, mapping.default_event
        self.minor_decimals = mapping.decimals if mapping.minor_units else None
        self.date_formats = tuple(mapping.date_formats)
        self.currency, self.zone = source.default_currency or "USD", ZoneInfo(source.timezone or "UTC")
        # Words as sent -> (trimmed, ours). Senders use few words, and folding case costs three calls.
        self.status_memo: dict[str, tuple[str | None, str]] = {}
        self.event_memo: dict[str, tuple[str | None, str | None]] = {}


class Workspace:
    """All entities in all versions. Fill it with `apply` in log order; `version` is the highest applied, -1 before any."""

    def __init__(self) -> None:
        self.version = -1
        self._history: dict[tuple[str, str], list[tuple[int, Entity | None]]] = {}
        self._compiled: dict[tuple[str, tuple[int, ...]], SourceRules] = {}
        self._ready: dict[tuple[str, int], SourceRules | None] = {}

    def apply(self, version: int, entity: str, entity_id: str, value: dict[str, object] | None) -> None:
        """Put one change in force from `version` on; None deletes. SettingsRefused when the value is not valid.

        Versions never fall; the same version may bring several changes, and the same change again changes nothing.
        """
        if version < self.version:
            raise SettingsRefused(f"{entity} {entity_id}: version {version} comes after version {self.version}")
        self.version = version  # also when the value is refused: payloads that name this version must not wait for ever
        self._ready.clear()
        history = self._history.setdefault((entity, entity_id), [])
        model = None if value is None else _validated(entity, entity_id, value)
        if history and history[-1][0] == version:
            history.pop()
            self._compiled.clear()
        history.append((version, model))

    def get(self, entity: str, entity_id: str, version: int | None = None) -> Entity | None:
        """The entity as it stood at `version` (None: now); None when it did not exist. SettingsBehind for a later version."""
        return self._in_force(entity, entity_id, version)[1]

    def all(self, entity: str, version: int | None = None) -> dict[str, Entity]:
        """Id -> entity, for all of one kind that existed at `version` (None: now)."""
        found = {entity_id: self.get(entity, entity_id, version) for kind, entity_id in list(self._history) if kind == entity}
        return {entity_id: model for entity_id, model in sorted(found.items()) if model is not None}

    def source(self, source_id: str, version: int) -> SourceRules | None:
        """The rules of a source at `version`; None when it did not exist. SettingsBehind for a version not applied yet."""
        try:
            return self._ready[source_id, version]
        except KeyError:
            rules = self._rules(source_id, version)
        if len(self._ready) >= CACHE_LIMIT:
            self._ready.clear()
        self._ready[source_id, version] = rules
        return rules

    def _in_force(self, entity: str, entity_id: str, version: int | None) -> tuple[int, Entity | None]:
        """(version since which it stands so, entity or None)."""
        if version is None:
            version = self.version
        elif version > self.version:
            raise SettingsBehind(version)
        history = self._history.get((entity, entity_id), [])
        at = bisect_right(history, version, key=_VERSION)
        return history[at - 1] if at else (-1, None)

    def _rules(self, source_id: str, version: int) -> SourceRules | None:
        since, source = self._in_force("source", source_id, version)
        if not isinstance(source, Source):
            return None
        found = {p: self._in_force("property", p, version) for p in dict.fromkeys((source.property_id, *source.properties))}
        key = source_id, (since, *(stand[0] for stand in found.values()))
        if key not in self._compiled:
            self._compiled[key] = SourceRules(source, {p: stand[1] for p, stand in found.items() if isinstance(stand[1], Property)})
        return self._compiled[key]


def _validated(entity: str, entity_id: str, value: dict[str, object]) -> Entity:
    if entity not in ENTITY_MODELS:
        raise SettingsRefused(f"{entity} {entity_id}: there is no such kind of setting; known: {', '.join(ENTITY_MODELS)}")
    try:
        model = ENTITY_MODELS[entity].model_validate(value)
    except ValidationError as error:
        raise SettingsRefused("\n".join(map(str, problems_of(error, f"{entity} {entity_id}")))) from error
    if getattr(model, "id", entity_id) != entity_id:
        raise SettingsRefused(f"{entity} {entity_id}: its value has another id, {getattr(model, 'id', None)!r}")
    return model


def _policy(policy: AttributionPolicy) -> Policy:
    return Policy(
        window_ms=None if policy.window_days is None else int(policy.window_days * DAY_MS),
        model=policy.model,
        fallback_to_refs_on_unknown_click=policy.fallback_to_refs_on_unknown_click,
        ip_matching=policy.ip_matching,
        min_click_to_conversion_ms=int(policy.min_click_to_conversion_s * 1000),
        gmail_aliases=policy.gmail_aliases,
        ipv6_by_network=policy.ipv6_by_network,
    )
