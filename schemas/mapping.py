"""How a source's parameters, event names and status words translate to ours.

Every field of ours has a list of addresses (addresses.py) that are tried in order; the first value that is not empty wins. A field that
the mapping does not name keeps what its source's preset says, else the defaults below, so that a source without any mapping works with the
common names; a field that it names has exactly the listed addresses: nothing is guessed beside them (an id guessed from the wrong slot is
an Unknown click id that misleads).
"""

import re
from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.addresses import CONSTANT, NEGATION, parse
from schemas.addresses import fold as fold  # noqa: PLC0414 - names are compared as the mapping compares them, also by the ledger
from schemas.policies import Currency

APPROVED, PENDING, REJECTED = "approved", "pending", "rejected"
REVERSED, REFUNDED, CHARGEBACK = "reversed", "refunded", "chargeback"
TEST, UNKNOWN = "test", "unknown"
TAKEN_BACK = frozenset((REVERSED, REFUNDED, CHARGEBACK))  # what ends a recorded conversion, and so needs one

ConversionStatus = Literal["approved", "pending", "rejected", "reversed", "refunded", "chargeback", "test"]

_STATUS_WORDS: tuple[tuple[str, str], ...] = (
    (APPROVED, "approved confirmed sale billed paid closed locked valid success a 1"),
    (PENDING, "pending hold new extended wait open p"),
    (REJECTED, "rejected declined cancelled canceled trash fake invalid void voided d"),
    (REVERSED, "reversed"),
    (REFUNDED, "refunded"),
    (CHARGEBACK, "chargeback"),
    (TEST, "test"),
)
STATUS_WORDS = {word: status for status, words in _STATUS_WORDS for word in words.split()}
"""Sender's word, case-folded -> canonical conversion status. A source's own map goes first; any other word is `unknown`."""


def _address(text: str) -> str:
    """Check one address. ValueError names what is wrong; pydantic adds the place."""
    parse(text)
    return text


def _as_list(value: Any) -> Any:
    """`click_id: cid` in YAML means `click_id: [cid]`."""
    return [value] if isinstance(value, str) else value


def as_name_map(value: Any) -> Any:
    """A list of names where a map of names is wanted: `[Purchase, Lead]` means that these pass unchanged."""
    return {name: name for name in value} if isinstance(value, list) and all(isinstance(name, str) for name in value) else value


def _date_format(text: str) -> str:
    """Try the format: one that strptime does not know would match nothing, and one that names a part twice breaks it (re.error)."""
    if "%" not in text:
        raise ValueError(f"{text!r} is no date format; one looks like %d/%m/%Y %H:%M:%S")
    twice = next((part for part, count in Counter(re.findall(r"%[A-Za-z]", text)).items() if count > 1), None)
    if twice:
        raise ValueError(f"{text!r} is no date format: it names {twice} twice")
    try:
        datetime.strptime("", text)  # noqa: DTZ007 - no date is read
    except ValueError as error:
        if "bad directive" in str(error) or "stray %" in str(error):
            raise ValueError(f"{text!r} is no date format: {error}") from error
    except re.error as error:
        raise ValueError(f"{text!r} is no date format: it names a part twice") from error
    return text


def _some(value: dict[str, str] | None) -> dict[str, str] | None:
    if value is not None and not value:
        raise ValueError("it maps nothing, so nothing would be tracked; leave it out to track every name")
    return value


Addresses = Annotated[list[Annotated[str, AfterValidator(_address)]], BeforeValidator(_as_list), Field(min_length=1, max_length=20)]
Word = Annotated[str, Field(min_length=1, max_length=200)]

# Ours -> the names that senders commonly use, best known first. Network slots: design/3-trade.md, tables 1 and 2.
DEFAULTS: dict[str, tuple[str, ...]] = {
    "click_id": ("click_id", "cid", "sub_id", "aff_sub", "clickref", "sub1"),
    "transaction_id": ("transaction_id", "txid", "tid", "order_id", "xid"),
    "reference": ("reference", "original_transaction_id", "parent_transaction_id"),
    "event": ("event", "event_name", "conversion_name", "event_type", "type", "goal"),
    "status": ("status", "conversion_status"),
    "value": ("value", "amount", "payout", "revenue", "sum", "total", "total_price", "price"),
    "currency": ("currency", "currency_code"),
    "email": ("email", "user_email", "customer_email", "customer.email"),
    "phone": ("phone", "phone_number", "customer_phone", "customer.phone"),
    "external_id": ("external_id", "user_id", "customer_id", "customer.id"),
    "ip": ("ip", "ip_address", "user_ip", "client_ip", "customer_ip"),
    "time": ("time", "timestamp", "event_time", "ts", "date", "created_at"),
    "property": ("property_id",),
    "test": ("test", "is_test", "sandbox"),
}
FIELDS = tuple(DEFAULTS)
SAME_FOR_ALL = frozenset(("click_id", "event", "status", "value", "currency", "property", "test"))
"""Fields for which a constant makes sense (a click id: one click stands for a channel). A transaction id that all share makes them one sale."""


class Mapping(BaseModel):
    """The conversion mapping of one source. Every part is optional."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    click_id: Addresses | None = Field(default=None, description="the parameter that carries our click id back")
    transaction_id: Addresses | None = Field(default=None, description="the business id: order, receipt, action id; never a delivery id")
    reference: Addresses | None = Field(default=None, description="the transaction id of an earlier event that this one is about")
    event: Addresses | None = Field(default=None, description="the sender's event name")
    status: Addresses | None = Field(default=None, description="the sender's status word")
    value: Addresses | None = Field(default=None, description="the amount of money")
    currency: Addresses | None = Field(default=None, description="ISO 4217 code")
    email: Addresses | None = Field(default=None, description="the visitor's e-mail, clear or as SHA-256")
    phone: Addresses | None = Field(default=None, description="the visitor's phone number, clear or as SHA-256")
    external_id: Addresses | None = Field(default=None, description="ids of the visitor elsewhere; all that are found are used")
    ip: Addresses | None = Field(default=None, description="the visitor's IP address")
    time: Addresses | None = Field(default=None, description="when the conversion happened")
    property: Addresses | None = Field(default=None, description="the id of the property, where the payload names it")
    test: Addresses | None = Field(default=None, description="a flag that marks test data; !name turns its meaning round")

    events: Annotated[dict[Word, Word] | None, BeforeValidator(as_name_map), AfterValidator(_some)] = Field(
        default=None,
        description="sender's event name -> our conversion name. Absent: every name is tracked as it is. Given: only these (A10)",
    )
    statuses: dict[Word, ConversionStatus] = Field(
        default_factory=dict, description="sender's status word -> ours; goes before the known words"
    )
    default_status: ConversionStatus | None = Field(default=None, description="a missing status means this; absent: it is not approved")
    default_event: Word | None = Field(
        default=None, description="our name for an event without a name; absent: Lead when value is 0, else Purchase"
    )
    minor_units: bool | None = Field(default=None, description="amounts are in cents (yen, fils: by currency)")
    decimals: dict[Currency, Annotated[int, Field(ge=0, le=6)]] = Field(
        default_factory=dict, description="decimals of a currency where the sender's minor units differ from ISO 4217"
    )
    refund_amounts: Literal["taken", "left"] | None = Field(
        default=None, description="what the amount of a refund says: what is taken back (absent, too), or what is left of the sale"
    )
    date_formats: list[Annotated[str, AfterValidator(_date_format)]] = Field(
        default_factory=list, max_length=10, description="strptime formats, tried before the ISO and epoch forms"
    )

    @model_validator(mode="after")
    def _words_are_unambiguous(self) -> Self:
        for place, words in (("events", self.events or {}), ("statuses", self.statuses)):
            seen: dict[str, str] = {}
            for word in words:
                other = seen.setdefault(word.strip().casefold(), word)
                if other != word:
                    raise ValueError(f"{place}: {other!r} and {word!r} are the same word, because case and blanks are ignored")
        for field in FIELDS:
            if field != "test" and any(address.startswith(NEGATION) for address in self.addresses(field)):
                raise ValueError(f"{field}: '!' (the opposite) only makes sense for the test flag")
            same = next((address for address in self.addresses(field) if address.startswith(CONSTANT)), None)
            if same is not None and field not in SAME_FOR_ALL:
                makes_sense = ", ".join(sorted(SAME_FOR_ALL))
                raise ValueError(f"{field}: {same!r} would be the same for every payload; a constant makes sense for {makes_sense}")
        return self

    def addresses(self, field: str) -> tuple[str, ...]:
        """Where to look for one of FIELDS, in order."""
        given: list[str] | None = getattr(self, field)
        return DEFAULTS[field] if given is None else tuple(given)
