"""The macros of what we send: which names there are, in every spelling of the trade, and which spelling in a template is a mistake.

Networks and traffic sources each write macros their own way (3-trade, section 3), and people paste what their network's page shows, so all
styles are understood and names are compared folded: click_id, clickId and CLICK-ID are one. A template is checked when its destination is
saved, because an unknown macro that is found out at the first sale has cost that sale.

A name in braces is always a macro, so an unknown one is refused. In the other spellings `#top#` and `[0]` are parts of addresses: there an
unknown name is refused only when it looks like one of ours misspelt, else it is text.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches

MACRO = re.compile(
    r"\$?\{\{?(?P<a>[\w.:-]+)\}?\}|\[(?P<b>[\w.:-]+)\]|#(?P<c>[\w.:-]+?)#|%(?P<d>[A-Za-z_][\w.:-]*?)%"
    r"|!!!?(?P<e>[\w.:-]+?)!!!?|--(?P<f>[A-Za-z][\w.:-]*?)--|__(?P<g>[A-Za-z][\w.:-]*?)__"
)
VARIABLE = "var:"  # {var:name}: a parameter of the click's address, else of the payload
SUBS = tuple(range(1, 31))

NAMES: dict[str, tuple[str, str]] = {
    "click_id": ("click_id", "our click id"),
    "cid": ("click_id", "our click id"),
    "subid": ("click_id", "our click id"),
    "externalid": ("external_id", "the traffic source's own click id, from the click's address"),
    "source_click_id": ("external_id", "the traffic source's own click id, from the click's address"),
    "payout": ("value", "the conversion's value"),
    "revenue": ("value", "the conversion's value"),
    "value": ("value", "the conversion's value"),
    "amount": ("value", "the conversion's value"),
    "currency": ("currency", "ISO 4217 code"),
    "transaction_id": ("transaction_id", "the sender's transaction id"),
    "txid": ("transaction_id", "the sender's transaction id"),
    "tid": ("transaction_id", "the sender's transaction id"),
    "order_id": ("transaction_id", "the sender's transaction id"),
    "event": ("ct", "the event type that is reported"),
    "event_name": ("ct", "the event type that is reported"),
    "ct": ("ct", "the event type that is reported"),
    "goal": ("ct", "the event type that is reported"),
    "conversion_name": ("conversion_name", "our name of the conversion"),
    "status": ("status", "approved, or reversed for a retraction"),
    "kind": ("kind", "conversion, restatement or retraction"),
    "timestamp": ("timestamp", "when it happened, seconds since 1970"),
    "timestamp_ms": ("timestamp_ms", "when it happened, milliseconds since 1970"),
    "time": ("time", "when it happened, ISO 8601 in UTC"),
    "ip": ("ip", "the visitor's address"),
    "ua": ("user_agent", "the visitor's browser"),
    "user_agent": ("user_agent", "the visitor's browser"),
    "country": ("country", "the visitor's country"),
    "campaign_id": ("campaign_id", "campaign of the click"),
    "campaign.id": ("campaign_id", "campaign of the click"),
    "offer_id": ("offer_id", "offer of the click"),
    "offer.id": ("offer_id", "offer of the click"),
    "lander_id": ("lander_id", "lander of the click"),
    "lander.id": ("lander_id", "lander of the click"),
    "traffic_source_id": ("traffic_source_id", "traffic source of the click"),
    "traffic_source.id": ("traffic_source_id", "traffic source of the click"),
    "property_id": ("property_id", "property of the conversion"),
    "event_id": ("event_id", "id of the event in our log"),
    "postback_id": ("postback_id", "id of the postback: the same at every try"),
    "random": ("random", "a number that differs from try to try, against caches"),
    **{f"sub{n}": (f"sub{n}", f"parameter sub{n} or sub_id{n}") for n in SUBS},
    **{f"sub_id{n}": (f"sub{n}", f"parameter sub{n} or sub_id{n}") for n in SUBS},
}
"""Macro -> (what it stands for, in words)."""


def fold(name: str) -> str:
    """A macro's name as it is compared: lower case, without `_` and `-`."""
    return name.lower().replace("_", "").replace("-", "")


WAY_NAMES = frozenset(
    ["campaignid", "campaign.name", "lander.name", "offer.name", "property.id", "device", "browser", "os", "language", "referrer"]
)
"""Folded names that only the address of a lander or offer knows: there is a click and no conversion yet."""

BY_FOLDED = {fold(name): field for name, (field, _) in NAMES.items()}


def field_of(name: str) -> str | None:
    """What a macro of this name stands for: a field, or `var:<folded name>`; None when nobody knows it."""
    folded = fold(name)
    return folded if folded.startswith(VARIABLE) and len(folded) > len(VARIABLE) else BY_FOLDED.get(folded)


def problems(template: str) -> Iterator[str]:
    """What is wrong with the macros of a template: a sentence each, with the nearest name that exists."""
    for match in MACRO.finditer(template):
        kind, name = match.lastgroup or "a", match[match.lastgroup or "a"]
        if field_of(name) is not None or (kind != "a" and name.isdigit()):
            continue
        known = nearest(name, cutoff=0.75 if kind == "a" else 0.85)
        if known is not None:
            yield f"{match[0]} is no macro. Did you mean {{{known}}}?"
        elif kind == "a":
            yield f"{match[0]} is no macro. A parameter is {{{VARIABLE}{name}}}; the others: {', '.join(shown())}"


def nearest(name: str, cutoff: float = 0.85) -> str | None:
    """The macro that is probably meant by one that is none."""
    near = get_close_matches(fold(name), BY_FOLDED, n=1, cutoff=cutoff)
    return next((known for known in NAMES if near and fold(known) == near[0]), None)


def problem_of_way(url: str) -> str | None:
    """What is wrong with the macros of a lander's or offer's address: one that looks misspelt would become nothing, click after click.

    Any other unknown name may be a parameter that an ad passes, so it is let through.
    """
    for match in MACRO.finditer(url):
        name = match["a"] or ""
        if name and not name[-1].isdigit() and field_of(name) is None and fold(name) not in WAY_NAMES and (meant := nearest(name)):
            return f"{match[0]} is no macro; did you mean {{{meant}}}? A parameter of the click's address is {{{VARIABLE}{name}}}"
    return None


def shown() -> list[str]:
    """The macros, one spelling each."""
    found: dict[str, str] = {}
    for name, (field, _) in NAMES.items():
        found.setdefault(field, name)
    return [name for field, name in found.items() if not (field.startswith("sub") and field != "sub1")]
