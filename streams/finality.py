"""What of a home is settled for good, and what of it must stay in state (the verdicts themselves: dedup.py).

State is what a chunk writes and a restart reads, so a home shrinks as soon as it can: final verdicts need their events no longer, a home of
nothing but final ones needs only its claims. What waits for a late click stays open, and is bounded.
"""

from streams.dedup import (
    ASKED,
    BY_REFERENCE,
    CONVERSION,
    DECIDED,
    DUPLICATE,
    LINKED,
    MISS,
    OK,
    ORPHAN,
    OVER,
    REPEATED,
    SELF,
    TAKEN_BACK,
    TOO_SOON,
    Entry,
    Verdict,
    referral_of,
)

MAX_HEALABLE = 256  # entries of one open home that are kept to be judged again; a hostile sender must not grow a home without bound
MOST_OVER = 16  # conversions of a home that stay for refunds only
REVISED = ("b", "d", "s")  # what of an entry only its revisions need
ENDED = (*REVISED, "z", "f", "g")
LONE = "N"  # first letter of an identity that is one payload's alone


def final(entries: list[Entry], verdicts: list[Verdict]) -> list[bool]:
    """Which verdicts nothing can change any more: what is final needs its event no longer, a home of final entries shrinks to its claims.

    A click id names one click, so a hit by click id stands; one by e-mail, phone, external id or IP can be bettered by a click that
    comes late. A miss stands only if there was nothing to look for. Nothing is final behind an open entry of its identity, and no link to a
    parent while a conversion that might be a nearer one is open: those before the link or before that parent (one that is still to come
    is farther than any of these, so a link that was final stays final).
    """
    if len(entries) == 1:  # most homes are one conversion
        return [_stands(entries[0], verdicts[0][0])]
    opened: set[str] = set()
    finals: list[bool] = []
    for entry, (what, _) in zip(entries, verdicts, strict=True):
        identities = (entry["i"], referral_of(entry)) if "h" in entry else (entry["i"],)
        is_final = _stands(entry, what) and opened.isdisjoint(identities)
        if not is_final:
            opened.update(identities)
        finals.append(is_final)
    nearest_open = next((at for at, entry in enumerate(entries) if entry["k"] == CONVERSION and not finals[at]), len(entries))
    for at, (what, target) in enumerate(verdicts):
        if what == OK and target >= 0:
            finals[at] = finals[at] and nearest_open > max(at, target) and not any(map(_can_change, entries[at:target]))
        elif what == OK and "y" in entries[at] and "h" not in entries[at]:  # its order may heal, and be linked (dedup.order_of)
            finals[at] = finals[at] and all(finals[j] or entries[j]["k"] == TAKEN_BACK for j in range(at))
    for at, (what, target) in enumerate(verdicts):
        if what in (DUPLICATE, REPEATED):
            finals[at] = finals[at] and finals[target]
        elif what == LINKED:
            finals[at] = finals[target] and nearest_open > max(at, target)
    return finals


def _stands(entry: Entry, what: str) -> bool:
    """Whether nothing that can be learnt of an entry itself changes its verdict."""
    answer = entry.get("a")
    if what in (OK, DECIDED, TOO_SOON, SELF, OVER):
        return entry["k"] == BY_REFERENCE or (isinstance(answer, dict) and answer.get("m") == "click_id")
    if what == MISS:
        return isinstance(answer, dict) and not answer.get("tried")
    return what in (DUPLICATE, REPEATED) and not (entry.get("test") and isinstance(answer, dict) and answer.get("m") != "click_id")


def _can_change(entry: Entry) -> bool:
    """Whether a conversion may yet find a click, or a better one, by itself: a duplicate could do without its original then."""
    answer = entry.get("a")
    if not isinstance(answer, dict):
        return answer == ASKED
    return answer.get("m") != "click_id" if "click" in answer else bool(answer.get("tried"))


def claims(entries: list[Entry], verdicts: list[Verdict]) -> list[Entry]:
    """What stays of a home whose verdicts are all final: the recorded conversions, without what only revisions need.

    One that duplicates may still change (restate.py) needs its event until its window is over. After that a conversion makes no more
    duplicates, but a refund may still look for it, whenever it comes. It gets the first of its name: so the first stay, and the home of
    a click id does not grow with each of its conversions.
    """
    now_ms = max(entry["u"] for entry in entries)
    kept, count = [], 0
    for entry, (what, _) in zip(entries, verdicts, strict=True):
        if what == OK:
            is_over = is_lone(entry) or not (entry.get("w") is None or now_ms - entry["u"] <= entry["w"])
            count += is_over
            if not is_over or count <= MOST_OVER:
                gone = ENDED if is_over else REVISED
                kept.append({key: value for key, value in entry.items() if key not in gone})
                if "z" in kept[-1]:
                    kept[-1]["b"] = 1
    return kept


def is_lone(entry: Entry) -> bool:
    """Whether an entry has an identity of its own, by dedup mode `create`: it claims nothing, and only a refund looks for it."""
    return str(entry["i"]).startswith(LONE)


def bounded(entries: list[Entry], verdicts: list[Verdict], finals: list[bool]) -> list[Entry]:
    """An open home without what it needs no more: final entries that claim nothing, and the newest that would make it too large."""
    kept = [at for at, (what, _) in enumerate(verdicts) if not finals[at] or what == OK]
    while len(kept) > MAX_HEALABLE:
        newest = next(
            (
                at
                for at in reversed(kept)
                if verdicts[at][0] in (MISS, DUPLICATE, REPEATED, ORPHAN, LINKED) or (verdicts[at][0] == OK and is_lone(entries[at]))
            ),
            None,
        )
        if newest is None:
            break
        kept.remove(newest)  # its verdict stands from now on
    return [entries[at] for at in kept]
