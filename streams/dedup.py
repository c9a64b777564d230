"""The verdicts of a home: a fold over its payloads in log order, with the answers known so far.

A home is everything that shares a transaction id (else a click id, else the bytes) within a property. Its *entries* are the payloads
that may be recorded, or that refer to one that was, in log order. What each of them is follows from one pass, written below as `fold`:

- per identity the first that finds its click is recorded, the ones behind it are duplicates, the ones before it are errors;
- while one is out for attribution, those behind it wait (they are *parked*), so no retry storm counts a sale twice;
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
a the answer (absent: not asked; ASKED; a hit; a miss) · r revision of the last row · v verdict of the last row · b whether the event is kept
"""

CONVERSION: Final = "c"
BY_REFERENCE: Final = "p"
TAKEN_BACK: Final = "b"

ASKED: Final = "?"

OK: Final = "ok"
DUPLICATE: Final = "dup"
MISS: Final = "miss"
TOO_SOON: Final = "soon"
DECIDED: Final = "decided"
LINKED: Final = "link"
ORPHAN: Final = "orphan"
WAIT: Final = "wait"
ASK: Final = "ask"

Verdict = tuple[str, int]
"""(what, index of the entry that it refers to, or -1)."""

MAX_HEALABLE = 256  # entries of one open home that are kept to be judged again; a hostile sender must not grow a home without bound

UNDECIDED = (WAIT, ASK)


def fold(entries: list[Entry]) -> list[Verdict]:
    """Judge all entries of a home, in log order. Of live entries at most one per identity is ASK: the one whose answer
    decides the others.
    """
    verdicts: list[Verdict] = [(WAIT, -1)] * len(entries)
    recorded: dict[str, int] = {}
    waiting: set[str] = set()
    for at, entry in enumerate(entries):
        if entry["k"] == CONVERSION:
            verdicts[at] = _conversion(entry, at, entries, recorded, waiting)
    for kind in (BY_REFERENCE, TAKEN_BACK):
        for at, entry in enumerate(entries):
            if entry["k"] == kind:
                verdicts[at] = _referring(entry, at, entries, verdicts, recorded)
    return verdicts


def _conversion(entry: Entry, at: int, entries: list[Entry], recorded: dict[str, int], waiting: set[str]) -> Verdict:
    identity = entry["i"]
    if entry.get("test"):  # whether a test resolves is judged before everything else about it (A11)
        found = _answered(entry)
        if found is not None:
            if found[0] in UNDECIDED:
                waiting.add(identity)
            return found
    first = recorded.get(identity)
    if first is not None and _in_window(entries[first], entry):
        return (DUPLICATE, first)
    if identity in waiting:
        return (WAIT, -1)
    found = _answered(entry)
    if found is None:
        recorded[identity] = at
        return (OK, -1)
    if found[0] in UNDECIDED:
        waiting.add(identity)
    return found


def _answered(entry: Entry) -> Verdict | None:
    """What attribution's answer, or its absence, makes of an entry by itself; None: it found its click and may be recorded."""
    answer = entry.get("a")
    if answer is None or answer == ASKED:
        return (ASK if answer is None else WAIT, -1)
    if "click" not in answer:
        return (MISS, -1)
    if entry.get("d"):
        return (DECIDED, -1)
    if entry.get("s") and entry["t"] - answer["click"]["t"] < entry["s"]:
        return (TOO_SOON, -1)
    return None


def _in_window(first: Entry, entry: Entry) -> bool:
    """Whether the window, fixed from the first recorded one, still covers this one (by the times of receipt)."""
    window = first.get("w")
    return window is None or entry["u"] - first["u"] <= window


def _referring(entry: Entry, at: int, entries: list[Entry], verdicts: list[Verdict], recorded: dict[str, int]) -> Verdict:
    """A payload that refers to an earlier conversion: linked to it, an orphan without it, and waiting while that is not decided."""
    is_conversion = entry["k"] == BY_REFERENCE
    if is_conversion:
        first = recorded.get(entry["i"])
        if first is not None and _in_window(entries[first], entry):
            return (DUPLICATE, first)
    parent = _parent(entry, at, entries, verdicts)
    if parent is None:
        if any(verdicts[j][0] in UNDECIDED and entries[j]["k"] == CONVERSION for j in range(at)):
            return (WAIT, -1)
        return (ORPHAN, -1)
    if is_conversion:
        recorded[entry["i"]] = at
        return (OK, parent)
    return (LINKED, parent)


def _parent(entry: Entry, at: int, entries: list[Entry], verdicts: list[Verdict]) -> int | None:
    """The recorded conversion that an entry refers to: before it in the log and of its name, else before it, else the first behind it.

    What is behind comes last, whatever its name, so that a payload still to come cannot take over a link that was made.
    """
    found = [j for j, (what, _) in enumerate(verdicts) if what == OK and j != at and entries[j].get("test") == entry.get("test")]
    if entry["k"] == BY_REFERENCE:
        found = [j for j in found if entries[j]["k"] == CONVERSION]
    before = [j for j in found if j < at]
    same = [j for j in before if entries[j]["n"] == entry["n"]]
    best = same or before or found
    return best[0] if best else None


def final(entries: list[Entry], verdicts: list[Verdict]) -> list[bool]:
    """Which verdicts nothing can change any more: what is final needs its event no longer, a home of final entries shrinks to its claims.

    A click id names one click, so a hit by click id stands; one by e-mail, phone, external id or IP can be bettered by a click that
    comes late. A miss stands only if there was nothing to look for. Nothing is final behind an open entry of its identity, and no link to a parent
    while any conversion of the home is open.
    """
    opened: set[str] = set()
    finals: list[bool] = []
    for entry, (what, _) in zip(entries, verdicts, strict=True):
        answer = entry.get("a")
        if what in (OK, DECIDED, TOO_SOON):
            own = entry["k"] == BY_REFERENCE or (isinstance(answer, dict) and answer.get("m") == "click_id")
        elif what == MISS:
            own = isinstance(answer, dict) and not answer.get("tried")
        else:
            own = what == DUPLICATE and not (entry.get("test") and isinstance(answer, dict) and answer.get("m") != "click_id")
        identity = entry["i"]
        is_final = own and identity not in opened
        if not is_final:
            opened.add(identity)
        finals.append(is_final)
    all_parents = all(done for entry, done in zip(entries, finals, strict=True) if entry["k"] == CONVERSION)
    for at, (what, target) in enumerate(verdicts):
        if what == DUPLICATE:
            finals[at] = finals[at] and finals[target]
        elif what == LINKED or (what == OK and target >= 0):
            finals[at] = all_parents  # a sale that heals late may be the better parent
    return finals


def claims(entries: list[Entry], verdicts: list[Verdict]) -> list[Entry]:
    """What stays of a home whose verdicts are all final: the recorded conversions, without what only revisions need."""
    return [
        {key: value for key, value in entry.items() if key not in ("b", "d", "s")}
        for entry, (what, _) in zip(entries, verdicts, strict=True)
        if what == OK
    ]


def bounded(entries: list[Entry], verdicts: list[Verdict], finals: list[bool]) -> list[Entry]:
    """An open home without what it needs no more: final entries that claim nothing, and the newest that would make it too large."""
    kept = [at for at, (what, _) in enumerate(verdicts) if not finals[at] or what == OK]
    while len(kept) > MAX_HEALABLE:
        newest = next((at for at in reversed(kept) if verdicts[at][0] in (MISS, DUPLICATE, ORPHAN, LINKED)), None)
        if newest is None:
            break
        kept.remove(newest)  # its verdict stands from now on
    return [entries[at] for at in kept]


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
