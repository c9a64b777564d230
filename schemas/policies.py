"""The policies of properties and sources, and the types that all settings share.

How a click is found, what makes a duplicate; how a sender proves who it is stands in auth.py. They stand apart from the entities because
the stages read policies and the console edits entities.
"""

import ipaddress
import re
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, SecretStr, model_validator

from schemas import outgoing
from schemas.problems import ID

SourceKind = Literal["postback", "webhook", "api_call", "integration_script", "one_click_access", "upload", "feed", "referral"]
KIND_WORDS: dict[str, str] = {
    "postback": "Postback",
    "webhook": "Webhook",
    "api_call": "API Call",
    "integration_script": "Integration Script",
    "one_click_access": "One Click Access",
    "upload": "Upload",
    "feed": "Feed",
    "referral": "Referral",
}
"""Kind of a source -> what the integration events log calls it (R02, R07)."""
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=ID)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
# Masked in repr and logs, in clear in JSON: settings.v1 must be able to give it back to the roles that check signatures.
Secret = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), return_type=str, when_used="json")]


_DOMAIN = re.compile(r"[^@\s/]+\.[^@\s/]+")


def _web_address(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")) or any(blank in text for blank in " \t\r\n"):
        raise ValueError(f"{text!r} is no web address; it starts with https:// and has no blanks")
    if "@" in text.partition("://")[2].partition("/")[0].partition("?")[0]:
        raise ValueError("an address with a user or a password in it is used by nobody; a header is the place for them (Authorization)")
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{text!r} is no time zone; one looks like Europe/Berlin") from error
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f"{text} is an address with a prefix; the network is {ipaddress.ip_network(text, strict=False)}") from error
        raise


def _domain(text: str) -> str:
    """A domain in lower case: domains have no case, and people copy them from addresses."""
    domain = text.strip().lower()
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(f"{text!r} is no domain; one looks like mailinator.com")
    return domain


def _way(text: str) -> str:
    problem = outgoing.problem_of_way(text)
    if problem:
        raise ValueError(problem)
    return text


def _currency(text: str) -> str:
    if len(text) != 3 or not (text.isascii() and text.isupper()):
        raise ValueError(f"{text!r} is no currency; one looks like USD")
    return text


Url = Annotated[str, AfterValidator(_web_address), Field(max_length=4000)]
WayUrl = Annotated[Url, AfterValidator(_way)]
Currency = Annotated[str, AfterValidator(_currency)]
TimeZone = Annotated[str, AfterValidator(_zone)]
Network = Annotated[str, AfterValidator(_network)]
Domain = Annotated[str, Field(max_length=253), AfterValidator(_domain)]
Days = Annotated[float, Field(gt=0, le=3650)]
Seconds = Annotated[float, Field(ge=0, le=315_360_000)]


class Entity(BaseModel):
    """What all settings have in common: strict, frozen, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AttributionPolicy(Entity):
    """How a property finds the click of a conversion (rules 7 and 8)."""

    window_days: Days | None = Field(default=30, description="a click older than this at event time does not count; null: no limit")
    model: Literal["last_click", "first_click"] = "last_click"
    fallback_to_refs_on_unknown_click: bool = Field(default=False, description="try e-mail, phone, external ids after an unknown click id")
    ip_matching: bool = Field(default=False, description="match by IP when neither click id nor refId is passed (lower accuracy)")
    min_click_to_conversion_s: Seconds = Field(default=0, description="fraud rule: sooner after the click than this is not counted")
    gmail_aliases: bool = Field(default=False, description="ignore dots and +tag in gmail addresses")
    ipv6_by_network: bool = Field(
        default=False, description="an IPv6 address counts as its /64: what is behind changes daily (privacy extensions)"
    )

    @model_validator(mode="after")
    def _leaves_time(self) -> Self:
        if self.window_days is not None and self.min_click_to_conversion_s >= self.window_days * 86_400:
            raise ValueError("min_click_to_conversion_s: nothing comes so late after its click and still inside window_days")
        return self


class AttributionOverrides(Entity):
    """What a source does otherwise than its property; a field that is null or absent stays as the property has it.

    gmail_aliases and ipv6_by_network are the property's alone: its clicks are indexed with them. No limit is the word "unlimited" here: null must survive a round trip through JSON, where set and unset look alike.
    """

    window_days: Days | Literal["unlimited"] | None = None
    model: Literal["last_click", "first_click"] | None = None
    fallback_to_refs_on_unknown_click: bool | None = None
    ip_matching: bool | None = None
    min_click_to_conversion_s: Seconds | None = None

    def over(self, policy: AttributionPolicy) -> AttributionPolicy:
        """The property's policy with what the source does otherwise."""
        changes = self.model_dump(exclude_none=True)
        if changes.get("window_days") == "unlimited":
            changes["window_days"] = None
        return policy.model_copy(update=changes)


class FraudPolicy(Entity):
    """Which conversions of a source don't count although nothing else is wrong with them (R11): information, referral not created.

    The property's min_click_to_conversion_s is one more such rule.
    """

    blocked_email_domains: list[Domain] = Field(
        default_factory=list,
        max_length=1000,
        description="of the customer's e-mail in clear, subdomains too; for example mailinator.com",
    )
    blocked_networks: list[Network] = Field(
        default_factory=list, max_length=1000, description="addresses or networks of the customer, as the payload passes it"
    )
    self_referral: bool = Field(
        default=False,
        description="a customer who is the member of the link: same e-mail, phone or external id as the link was made known with",
    )
    one_referral_per: Literal["email", "phone", "external_id"] | None = Field(
        default=None,
        description="one recorded conversion of each name per customer, among sources with this rule. Payloads are then kept by customer: a refund "
        "must name its customer, too, and another source's report of the same transaction is no duplicate",
    )
    daily_limit_per_link: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="referrals of one member link per day (UTC, by the time of the conversion). Counted where the link is looked up, in the "
        "order in which they come there: retries and duplicates do not count, what another fraud rule refuses does",
    )


class DedupPolicy(Entity):
    """What makes two payloads the same conversion (rules 4 and 5). Windows run from the first recorded conversion; null: for as long as it is remembered (CLICKTRAIL_RETENTION__STATE_DAYS)."""

    mode: Literal["ignore", "add_value", "edit", "create"] = Field(
        default="ignore",
        description="what a duplicate by transaction id does: nothing; its value is added to the recorded one; replaces it; or there are "
        "no duplicates: every payload is a conversion, retries and double reports, too",
    )
    transaction_window_days: Days | None = Field(default=None, description="same transaction id")
    without_transaction_id: Literal["click_and_value", "payload"] = "click_and_value"
    click_window_s: Seconds | None = Field(default=86_400, description="same click id, name, value and currency")
    payload_window_s: Seconds | None = Field(default=86_400, description="same bytes")
    attributes: list[Name] = Field(default_factory=list, max_length=10, description="parameters that also belong to the identity")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.mode != "ignore" and self.transaction_window_days is None:
            raise ValueError(f"mode {self.mode} needs transaction_window_days: a conversion can't be kept open for ever")
        return self
