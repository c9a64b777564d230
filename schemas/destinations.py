"""Whom we tell about a conversion, and how: a postback URL, or a Conversion API with the form that its platform wants.

Checked when it is saved: a macro that nobody knows, a platform without its keys, a body for a GET are found here and not at the first
sale. Everything about sending has a default that is right for a traffic source; the limits are per destination, because one that is slow
must not make the others wait.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from schemas import outgoing
from schemas.mapping import as_name_map
from schemas.policies import Currency, Entity, Id, Name, Secret, Url

Corrections = Literal["send", "skip"]
HeaderName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
Text = Annotated[str, Field(min_length=1, max_length=500)]
Number = Annotated[str, Field(pattern=r"^\d{1,20}$")]
Version = Annotated[str, Field(pattern=r"^v\d{1,3}(\.\d{1,3})?$")]


class MetaAccount(Entity):
    """Meta Conversions API: POST /<version>/<pixel>/events."""

    pixel_id: Number
    access_token: Secret
    test_event_code: Text | None = Field(default=None, description="events show under Test events only")
    action_source: Literal["website", "app", "email", "phone_call", "chat", "physical_store", "system_generated", "other"] = "website"
    api_version: Version = Field(default="v24.0", description="each lives two years (developers.facebook.com, changelog)")


class GoogleAccount(Entity):
    """Google Ads API: offline and enhanced conversions, and adjustments of them. Tokens are made from the refresh token."""

    customer_id: Number
    conversion_action_id: Number
    developer_token: Secret
    client_id: Text
    client_secret: Secret
    refresh_token: Secret
    login_customer_id: Number | None = None
    token_url: Url = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
    api_version: Version = Field(default="v23", description="each lives a year (developers.google.com, sunset dates)")


class TikTokAccount(Entity):
    """TikTok Events API 2.0: POST /open_api/v1.3/event/track/."""

    pixel_code: Text
    access_token: Secret
    test_event_code: Text | None = None
    api_version: Version = "v1.3"


class WebhookAccount(Entity):
    """A JSON webhook, signed after the Standard Webhooks specification."""

    secrets: list[Secret] = Field(min_length=1, max_length=3, description="whsec_<base64>; several while a secret is being changed")


PLATFORMS = ("meta", "google", "tiktok", "webhook")
ADDRESSES = {
    "meta": "https://graph.facebook.com",
    "google": "https://googleads.googleapis.com",
    "tiktok": "https://business-api.tiktok.com",
}


class Sending(Entity):
    """The limits within which a destination is sent to."""

    timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(default=15, description="for a whole try, body included")
    connect_timeout_s: Annotated[float, Field(gt=0, le=30)] = 5
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(default=32, description="tries at once, per worker")
    rate_per_s: Annotated[float, Field(gt=0, le=100_000)] | None = Field(default=None, description="most tries in a second, per worker")
    retry_after_s: list[Annotated[float, Field(gt=0, le=604_800)]] = Field(
        default=[5, 300, 1800, 7200, 18_000, 36_000, 36_000],
        max_length=50,
        description="pauses between tries; behind the last it has failed",
    )
    pause_after_s: Annotated[float, Field(gt=0, le=2_592_000)] = Field(
        default=432_000, description="failing so long without a success pauses the destination"
    )
    follow_redirects: bool = Field(default=False, description="up to three; by default a redirect is a failure")
    expected_statuses: list[Annotated[int, Field(ge=100, le=599)]] = Field(default_factory=list, description="empty: every 2xx")
    success_contains: Text | None = Field(default=None, description="an answer without this text is an error, whatever its status")
    error_contains: list[Text] = Field(default_factory=list, max_length=20, description="an answer with one of these texts is an error")


class ValueRule(Entity):
    """What of the money is told."""

    is_sent: bool = Field(default=True, description="false: neither value nor currency")
    factor: Annotated[float, Field(gt=0, le=1000)] = Field(default=1, description="0.8 tells of 80 % of the value")
    decimals: Annotated[int, Field(ge=0, le=8)] | None = Field(default=None, description="rounded half up; absent: as it is")
    currencies: list[Currency] = Field(default_factory=list, description="others are told without a value; empty: all")


class Destination(Entity):
    """Whom we tell about a conversion."""

    id: Id
    name: Name
    account_id: Id = Field(default="default", description="only conversions of this account")
    kind: Literal["postback_url", "conversion_api"] = "postback_url"
    url: Url = Field(description="template; macros such as {click_id} are filled in. For a platform: absent, or another address of its API")
    method: Literal["GET", "POST"] = "GET"
    body: str | None = Field(default=None, max_length=20_000, description="template of a POST's body")
    headers: dict[HeaderName, Secret] = Field(default_factory=dict)
    conversion_names: Annotated[dict[Name, Name] | None, BeforeValidator(as_name_map)] = Field(
        default=None, description="our conversion name -> its event type (ct). Absent: all, under their own names. Given: only these"
    )
    property_ids: list[Id] = Field(default_factory=list, description="only conversions of these properties; empty: all")
    traffic_source_ids: list[Id] = Field(default_factory=list, description="only conversions of these traffic sources; empty: all")
    integration_id: Name | None = Field(default=None, description="the Conversion API integration, for the postback log (C18)")
    meta: MetaAccount | None = None
    google: GoogleAccount | None = None
    tiktok: TikTokAccount | None = None
    webhook: WebhookAccount | None = None
    missing: Literal["empty", "drop", "refuse"] = Field(
        default="empty", description="a macro without a value: sent empty, its query parameter left out, or the postback fails and says so"
    )
    value: ValueRule = ValueRule()
    corrections: Corrections | None = Field(
        default=None,
        description="restatements and retractions: sent or not. Absent: sent where the template names {kind} or {status}, for a webhook, and for Google",
    )
    sending: Sending = Sending()
    paused: Literal["by_hand", "after_failures"] | None = Field(default=None, description="requests are kept and not sent")
    is_enabled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _address_of_its_platform(cls, data: Any) -> Any:
        if isinstance(data, dict) and "url" not in data:
            platform = next((name for name in PLATFORMS if data.get(name)), None)
            if platform in ADDRESSES:
                return {**data, "url": ADDRESSES[platform]}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        platforms = [name for name in PLATFORMS if getattr(self, name) is not None]
        if len(platforms) > 1:
            raise ValueError(f"{' and '.join(platforms)}: a destination has one platform")
        if platforms and self.kind != "conversion_api":
            raise ValueError(f"kind: {platforms[0]} needs kind conversion_api")
        if platforms and self.body is not None:
            raise ValueError(f"body: {platforms[0]} has a form of its own")
        if self.body is not None and self.method == "GET":
            raise ValueError("body: a GET has none; set method: POST")
        places = {"url": self.url, "body": self.body or "", **{f"headers.{name}": v.get_secret_value() for name, v in self.headers.items()}}
        for place, text in places.items():
            if place.startswith("headers.") and any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
                raise ValueError(f"{place}: a header has no line breaks or control characters")
            for problem in outgoing.problems(text):
                raise ValueError(f"{place}: {problem}")
        return self

    @property
    def platform(self) -> str | None:
        """meta, google, tiktok, webhook, or None for a template."""
        return next((name for name in PLATFORMS if getattr(self, name) is not None), None)

    def takes(self, kind: str) -> bool:
        """Whether it is told of this kind of request: every destination of conversions, not every one of corrections."""
        if kind == "conversion":
            return True
        if self.corrections is not None:
            return self.corrections == "send"
        if self.platform is not None:
            return self.platform in ("webhook", "google")
        fields = {outgoing.field_of(match[match.lastgroup or 0]) for match in outgoing.MACRO.finditer(f"{self.url} {self.body or ''}")}
        return bool(fields & {"kind", "status"})
