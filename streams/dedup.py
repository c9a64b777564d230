"""The verdicts of a home: a fold over its payloads in log order, with the answers known so far.

A home is everything that shares a transaction id (else a click id, else the bytes) within a property. Its *entries* are the payloads
that may be recorded, or that refer to one that was, in log order. What each of them is follows from one pass, written below as `fold`:

- per identity the first that finds its click is recorded, the ones behind it are duplicates, the ones before it are errors;
- while one is out for attribution, those behind it wait (they are *parked*), so no retry storm counts a sale twice;
- one that has nothing but a reference finds its click through the recorded conversion that it refers to, if need be one behind it;
- a refund or reversal is linked to the recorded sale, wherever in the log that stands.

Nothing is decided incrementally. When an answer comes, early or late, the same pass runs again and what differs from the row that was
emitted becomes a new revision. So late clicks heal errors, and turn the errors behind them into duplicates, without a rule of their own,
and **the current rows do not depend on the order in which clicks, answers and payloads meet**: only on the order of the payloads in the
log. The price is that a recorded conversion can move to an earlier payload of its identity that heals later; the postback of the
conversion has then been requested already, and what goes out is a restatement. The alternative (first recorded stays recorded) made
two runs over one log differ whenever visits lagged behind payloads.
"""

from typing import Any, Final

Entry = dict[str, Any]
"""One payload of a home, as it is kept in state (short keys: it is written once or twice per conversion):

id event_id · i identity · k kind (CONVERSION, BY_REFERENCE, TAKEN_BACK) · n conversion name · t event_ms · u received_ms · w dedup window ms ·
x what a duplicate is compared with · s soonest conversion time after a click, ms · d a decision that waits for attribution (tests) ·
o whether it has no business id, so that a click id (or its bytes) made this its home · y its own transaction id, where a reference to
another one made this its home · z f g what duplicates change (restate.py) · j identifiers
of its customer, who must not be the owner of the link · h whether its home is a customer's (fraud.py: one referral each) ·
a the answer (absent: not asked; ASKED; a hit; a miss) · r revision of the last row · v verdict of the last row · b whether the event is kept ·
p what destinations were told last · e refunds that were told of (take_back.py)
"""

CONVERSION: Final = "c"
BY_REFERENCE: Final = "p"
TAKEN_BACK: Final = "b"

ASKED: Final = "?"

OK: Final = "ok"
DUPLICATE: Final = "dup"
MISS: Final = "miss"
TOO_SOON: Final = "soon"
SELF: Final = "self"
OVER: Final = "over"
REPEATED: Final = "repeat"
DECIDED: Final = "decided"
LINKED: Final = "link"
ORPHAN: Final = "orphan"
WAIT: Final = "wait"
ASK: Final = "ask"

Verdict = tuple[str, int]
"""(what, index of the entry that it refers to, or -1)."""

UNDECIDED = (WAIT, ASK)


def fold(entries: list[Entry]) -> list[Verdict]:
    """Judge all entries of a home, in log order. Of live entries at most one per identity is ASK: the one whose answer
    decides the others.
    """
    if len(entries) == 1 and entries[0]["k"] == CONVERSION:  # most homes are one conversion, and nothing else bears on it
        return [_answered(entries[0]) or (OK, -1)]
    verdicts = _in_log_order(entries)
    if (ORPHAN, -1) in verdicts:  # before an orphan nothing was recorded, so its parent is the first conversion behind all of them
        first = next((at for at, (what, _) in enumerate(verdicts) if what == OK and _is_parent(entries[at])), None)
        if first is not None:
            verdicts = _in_log_order(entries, first)
    for at, entry in enumerate(entries):
        if entry["k"] == TAKEN_BACK:
            verdicts[at] = _taken_back(entry, at, entries, verdicts)
    return verdicts


def _in_log_order(entries: list[Entry], behind: int = -1) -> list[Verdict]:
    """What may be recorded, in one pass, because each can make those behind it duplicates. `behind`: who adopts the orphans before it."""
    verdicts: list[Verdict] = [(WAIT, -1)] * len(entries)
    recorded: dict[str, int] = {}
    waiting: set[str] = set()
    for at, entry in enumerate(entries):
        if entry["k"] == CONVERSION:
            verdicts[at] = _conversion(entry, at, entries, recorded, waiting)
        elif entry["k"] == BY_REFERENCE:
            verdicts[at] = _by_reference(entry, at, entries, verdicts, recorded, waiting, behind)
    return verdicts


def _conversion(entry: Entry, at: int, entries: list[Entry], recorded: dict[str, int], waiting: set[str]) -> Verdict:
    identity = entry["i"]
    if entry.get("test"):  # whether a test resolves is judged before everything else about it (A11)
        found = _answered(entry)
        if found is not None and found[0] not in (TOO_SOON, SELF, OVER):  # it resolves, and a fraud rule goes behind duplicates as ever
            if found[0] in UNDECIDED:
                waiting.add(identity)
            return found
    first = recorded.get(identity)
    if first is not None and _in_window(entries[first], entry):
        return (DUPLICATE, first)
    referral = referral_of(entry) if "h" in entry else ""
    if referral in recorded:
        return (REPEATED, recorded[referral])
    if identity in waiting or referral in waiting:
        return (WAIT, -1)
    found = _answered(entry)
    if found is None:
        recorded[identity] = at
        if referral:
            recorded[referral] = at
        return (OK, -1)
    if found[0] in UNDECIDED:
        waiting |= {identity, referral} - {""}
    return found


def referral_of(entry: Entry) -> str:
    """What the home of a customer records once: a conversion of this name. No identity begins like it."""
    return f"R{'.test' if entry.get('test') else ''}|{entry['n']}"


def _answered(entry: Entry) -> Verdict | None:
    """What attribution's answer, or its absence, makes of an entry by itself; None: it found its click and may be recorded."""
    answer = entry.get("a")
    if answer is None or answer == ASKED:
        return (ASK if answer is None else WAIT, -1)
    if "click" not in answer:
        return (MISS, -1)
    if entry.get("d"):
        return (DECIDED, -1)
    return _refused(entry, answer)


def _refused(entry: Entry, answer: dict[str, Any]) -> Verdict | None:
    """The fraud rule that a conversion breaks together with its click."""
    if entry.get("s") and entry["t"] - answer["click"]["t"] < entry["s"]:
        return (TOO_SOON, -1)
    if "j" in entry and any(list(one) in answer["click"].get("o", ()) for one in entry["j"]):
        return (SELF, -1)
    return (OVER, -1) if "over" in answer else None


def _in_window(first: Entry, entry: Entry) -> bool:
    """Whether the window, fixed from the first recorded one, still covers this one (by the times of receipt)."""
    window = first.get("w")
    return window is None or entry["u"] - first["u"] <= window


def _by_reference(
    entry: Entry, at: int, entries: list[Entry], verdicts: list[Verdict], recorded: dict[str, int], waiting: set[str], behind: int
) -> Verdict:
    """A conversion that is known by an earlier one: recorded with it, an orphan without it, and waiting while that is not decided."""
    identity = entry["i"]
    first = recorded.get(identity)
    if first is not None and _in_window(entries[first], entry):
        return (DUPLICATE, first)
    if identity in waiting:
        return (WAIT, -1)
    found = [j for j in range(at) if verdicts[j][0] == OK and _is_parent(entries[j])]
    if not found:
        if any(verdicts[j][0] in UNDECIDED and entries[j]["k"] == CONVERSION for j in range(at)):
            waiting.add(identity)
            return (WAIT, -1)
        # One behind it of its own identity can't be its parent: nobody is his own.
        if behind < at or entries[behind]["i"] == identity:
            return (ORPHAN, -1)
        found = [behind]
    recorded[identity] = at
    return (OK, min(found, key=lambda j: _distance(entry, at, entries[j], j)))


def order_of(at: int, entries: list[Entry], verdicts: list[Verdict]) -> str | None:
    """The event id of the recorded sale that a conversion with a click of its own names as its order (a rebill, an upsell): a link, no more."""
    if "h" in entries[at]:
        return None
    return next(
        (entry["id"] for j, entry in enumerate(entries[:at]) if verdicts[j][0] == OK and _is_parent(entry) and "y" not in entry), None
    )


def _is_parent(entry: Entry) -> bool:
    """Whether an entry can be what a reference means: a live conversion with a business id and a click of its own."""
    return entry["k"] == CONVERSION and not entry.get("test") and not entry.get("o")


def _taken_back(entry: Entry, at: int, entries: list[Entry], verdicts: list[Verdict]) -> Verdict:
    """A refund, reversal or chargeback: linked to the recorded conversion that it ends, an orphan without one."""
    is_test, is_own = entry.get("test"), entry.get("o")
    # The same text can be the transaction id of one payload and the click id of another: only like is linked to like.
    found = [
        j for j, (what, _) in enumerate(verdicts) if what == OK and entries[j].get("test") == is_test and entries[j].get("o") == is_own
    ]
    undecided = [j for j, (what, _) in enumerate(verdicts) if what in UNDECIDED and entries[j]["k"] == CONVERSION]
    if "h" in entry:  # all of a customer are here: only what is about the same transaction is its sale
        found, undecided = ([j for j in some if entries[j].get("y") == entry["y"]] for some in (found, undecided))
    if found:
        best = min(found, key=lambda j: _distance(entry, at, entries[j], j))
        reach = _distance(entry, at, entries[best], best)
        # Of two sales that are out, either answer may come first: waiting for the nearer one saves a revision that depends on that.
        is_early = any(_distance(entry, at, entries[j], j) < reach for j in undecided)
        return (WAIT, -1) if is_early else (LINKED, best)
    if any(j < at for j in undecided):
        return (WAIT, -1)
    return (ORPHAN, -1)


def _distance(entry: Entry, at: int, other: Entry, j: int) -> tuple[bool, int, bool, int]:
    """How near a recorded conversion is to what an entry refers to: before it in the log, of its own transaction id, of its name, first.

    What is behind comes last, whatever its name, so that a payload still to come cannot take over a link that was made.
    """
    if j > at:
        return (True, 0, False, j)
    mine, its = entry.get("y"), other.get("y")
    return (False, 0 if its == mine else 1 if its is None else 2, other["n"] != entry["n"], j)


def better(new: dict[str, Any], old: object) -> bool:
    """Whether an answer beats the one at hand: any hit beats a miss; the identifier earlier in the list; then the property's model."""
    if not isinstance(old, dict) or "click" not in old:
        return True
    if "click" not in new:
        return False
    if new["n"] != old["n"]:
        return bool(new["n"] < old["n"])
    new_key, old_key = (new["click"]["t"], new["click"]["id"]), (old["click"]["t"], old["click"]["id"])
    return new_key < old_key if new.get("model") == "first_click" else new_key > old_key
