"""What was told and is not so any more: corrections of reported conversions, worked out when a home has been folded.

Two causes. A refund, reversal or chargeback is linked to a recorded conversion: whoever was told of it hears what is left of its value, or that
it is taken back (the sum over its refunds, so that two halves make a whole). And a conversion that turns out to be none, because an
earlier payload healed whose window covers it, is taken back by itself, unless another one took over what was told.

It comes behind the fold's own requests, for the order of entries says nothing: a refund can stand before its sale in the log, and a payload that
takes over can stand behind the one that lost. What each refund did is noted at the sale (`e`), so nothing is corrected twice.
"""

from collections.abc import Iterable
from decimal import Decimal

from schemas.event import Event
from streams.dedup import LINKED, OK, Entry, Verdict
from streams.home import Home
from streams.postback import Postbacks
from streams.stage import Outputs

MOST_REFUNDS = 100  # of one sale that are told; behind them it stays as it was told last
WHOLE, LEFT = "all", "="


def take_back(home: Home, settled: Iterable[int], verdicts: list[Verdict], postbacks: Postbacks, out: Outputs) -> None:
    """Send the corrections that the entries which were settled cause. Tests were never told of."""
    for at in settled:
        entry = home.entries[at]
        what, target = verdicts[at]
        if what == LINKED:
            parent = home.entries[target]
            done = parent.setdefault("e", {}) if parent.get("p") else None
            if done is not None and entry["id"] not in done and len(done) < MOST_REFUNDS:
                event, _ = home.event(entry)
                is_first, before = not done, _left(parent)
                done[entry["id"]] = _amount(event, parent)
                if is_first or _left(parent) != before:  # a chargeback behind a refund takes back nothing more
                    postbacks.correct(event, parent, entry, _left(parent), out)
        elif what != OK and entry.get("p"):
            postbacks.correct(home.event(entry)[0], entry, entry, None, out)


def _amount(event: Event, parent: Entry) -> str:
    """How much is taken back, or behind LEFT what is left where the source says that. An amount that says nothing about the sale's takes all of
    it: 0, which means what is left whatever the source says otherwise (Impact's reversals), and a left that is no less than the sale.
    """
    value, whole = event["value"], parent["x"]["value"]
    if value is None or whole is None or not Decimal(value) or event["currency"] != parent["x"]["currency"]:
        return WHOLE
    amount = abs(Decimal(value))
    if "says_left" in event:
        return f"{LEFT}{amount:f}" if amount < abs(Decimal(whole)) else WHOLE
    return f"{amount:f}"


def _left(parent: Entry) -> str | None:
    """What is left of a sale; None: nothing."""
    amounts = parent["e"].values()
    if parent["x"]["value"] is None or WHOLE in amounts:
        return None
    left = abs(Decimal(parent["x"]["value"]))
    for amount in amounts:  # an older payload that comes late cannot raise what is left
        left = min(left, Decimal(amount[1:])) if amount.startswith(LEFT) else left - Decimal(amount)
    return f"{left:f}" if left > 0 else None
