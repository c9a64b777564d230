"""Duplicates that change what was recorded: the dedup modes `add_value` and `edit`.

A duplicate stays a duplicate, a row that counts nowhere; what it changes is the value of its original, which gets a new revision and is
restated to whoever was told. The value is computed from the payloads in log order each time the home is folded, never kept as a running
sum: so it cannot depend on when an answer came, and the row can name every payload that made it.

Three rules keep money from being counted twice. The same bytes again are a retry and change nothing (a sender that means more must
send something else in them). Only payloads of the original's own source change it: another source's report of the sale is not more of it.
The mode is fixed with the original, as its window is. Both modes need a transaction id and a window, because a conversion that may change
keeps its event in state: one kilobyte each, for as long as the window lasts.
"""

from decimal import Decimal
from typing import Any, NamedTuple

from schemas.event import Event
from streams.dedup import DUPLICATE, OK, Entry, Verdict
from streams.money import amount

ADD_VALUE, EDIT = "add_value", "edit"
MOST_CHANGES = 100  # duplicates that may change one conversion; those behind are only duplicates

ADDED, REPLACED = "added", "replaced"
RETRY, OTHER_CURRENCY, NO_AMOUNT, TOO_MANY, NOT_ITS_SOURCE = "retry", "other_currency", "no_amount", "too_many", "not_its_source"
EFFECTS = (ADDED, REPLACED, RETRY, OTHER_CURRENCY, NO_AMOUNT, TOO_MANY, NOT_ITS_SOURCE)
"""What a duplicate did to its original: in its evidence as `effect`."""

Finding = dict[str, Any]
Held = tuple[Event, bytes]
Change = tuple[str, str, str | None, str | None]
"""(event id, fingerprint, value, currency) of a duplicate that changed its original; as a list where it lies in state."""


class Restated(NamedTuple):
    """What an original is worth with its duplicates, and which of them made it so."""

    value: str
    currency: str | None
    by: list[str]


def mark(entry: Entry, event: Event, mode: str) -> None:
    """Note on an entry that duplicates change it or that it changes its original: z mode, f fingerprint of its bytes."""
    if mode in (ADD_VALUE, EDIT) and event["transaction_id"] is not None:
        entry["z"] = mode
        entry["f"] = event["fingerprint"][:16]


def restated(at: int, entries: list[Entry], verdicts: list[Verdict]) -> Restated | None:
    """The value of a recorded conversion when its duplicates make it another than its own."""
    changes, _ = _walk(at, entries, verdicts)
    if not changes:
        return None
    original = entries[at]
    own, currency = original["x"]["value"] or "0", original["x"]["currency"]
    if original["z"] == EDIT:
        value, currency = changes[-1][2], changes[-1][3]
    else:
        value = amount(f"{sum((Decimal(change[2] or 0) for change in changes), Decimal(own)):f}")
    if value is None or (value, currency) == (own, original["x"]["currency"]):
        return None
    return Restated(value, currency, [change[0] for change in changes])


def settled(held: Held, finding: Finding, at: int, entries: list[Entry], verdicts: list[Verdict]) -> Held:
    """Put into a finding what duplicates changed; returns the event with the value that it has now. What the row says is a revision."""
    event, body = held
    what, original = verdicts[at]
    if what == OK and (new := restated(at, entries, verdicts)):
        finding["change"] = f"{new.value} {new.currency}"
        finding["evidence"] = finding["evidence"] | {
            "restated": {"mode": entries[at]["z"], "own_value": event["value"], "own_currency": event["currency"], "by": new.by}
        }
        return {**event, "value": new.value, "currency": new.currency}, body
    if what == DUPLICATE and "z" in entries[original]:
        finding["change"] = effect = _walk(original, entries, verdicts)[1][at]
        finding["evidence"] = finding["evidence"] | {"effect": effect}
    return held


def absorb(entries: list[Entry], verdicts: list[Verdict], finals: list[bool]) -> None:
    """Write down at the originals what duplicates changed that are about to leave the home (g: their changes, in log order).

    Finality is a prefix of each identity, so those that leave stand before those that stay.
    """
    for at, original in enumerate(entries):
        if "z" in original and verdicts[at][0] == OK:
            changes, effects = _walk(at, entries, verdicts)
            leaving = {entries[j]["id"] for j in effects if finals[j]}
            held = {change[0] for change in original.get("g", ())}
            kept = [list(change) for change in changes if change[0] in leaving or change[0] in held]
            if kept:
                original["g"] = kept


def _walk(at: int, entries: list[Entry], verdicts: list[Verdict]) -> tuple[list[Change], dict[int, str]]:
    """(the changes to an original in log order, what each duplicate in the home did)."""
    original = entries[at]
    changes: list[Change] = [(name, digest, value, currency) for name, digest, value, currency in original.get("g", ())]
    seen = {original["f"], *(change[1] for change in changes)}
    effects: dict[int, str] = {}
    for j, (what, target) in enumerate(verdicts):
        if what == DUPLICATE and target == at:
            effects[j] = _effect(original, entries[j], seen, len(changes))
            if effects[j] in (ADDED, REPLACED):
                duplicate = entries[j]
                seen.add(duplicate["f"])
                changes.append((duplicate["id"], duplicate["f"], duplicate["x"]["value"], duplicate["x"]["currency"]))
    return changes, effects


def _effect(original: Entry, duplicate: Entry, seen: set[str], count: int) -> str:
    mine, its = duplicate["x"], original["x"]
    if duplicate.get("z") != original["z"] or mine["source_id"] != its["source_id"]:
        return NOT_ITS_SOURCE
    if duplicate["f"] in seen:
        return RETRY
    if mine["value"] is None:
        return NO_AMOUNT
    if original["z"] == ADD_VALUE and mine["currency"] != its["currency"]:
        return OTHER_CURRENCY
    if count >= MOST_CHANGES:
        return TOO_MANY
    return ADDED if original["z"] == ADD_VALUE else REPLACED
