"""Settle: what a verdict will say in its row (`row.py`), and when a later one is another.

It says what was decided, in the words of `schemas/reasons.py`, and shows why: the trace of the steps in their order, the click and the
candidates that lost, the key and the gap of a duplicate. Judging the evidence alone gives the verdict again.
"""

from decimal import Decimal
from typing import Any

from schemas import reasons
from schemas.event import Event
from schemas.mapping import UNKNOWN
from streams import dedup
from streams.dedup import Entry, Verdict
from streams.json_payload import is_several
from streams.lookups import CLICK_ID, IP

COMPARED = ("value", "currency", "click_id", "source_id", "conversion_name")  # what of a duplicate may differ from its original

Finding = dict[str, Any]
"""What differs between verdicts: reason, detail (the slot of its message), sub_reason, evidence, and the row's links."""

Step = list[str]


def sub_reason(event: Event, reason: str) -> str | None:
    """The cause behind a verdict that needed no state."""
    if reason == reasons.WRONG_STATUS:
        if event["original_status"] is None:
            return reasons.NO_STATUS
        return reasons.UNKNOWN_WORD if event["conversion_status"] == UNKNOWN else reasons.NOT_APPROVED
    if reason in (reasons.UNAUTHORIZED_ASSET, reasons.UNREADABLE_PAYLOAD):
        assert event["problem"] is not None
        return _of_problem(event, *event["problem"])
    if reason == reasons.FRAUD_RULE:
        return event["fraud"][0]
    return reasons.NO_IDENTIFIER if reason == reasons.TEST_DATA else None


def _of_problem(event: Event, reason: str, detail: str) -> str | None:
    if reason == reasons.UNREADABLE_PAYLOAD:
        return reasons.SEVERAL_OBJECTS if is_several(detail) else None
    if event["type"] == "":
        return reasons.SOURCE_MISSING
    return reasons.PROPERTY_MISSING if detail == event["property_id"] else reasons.PROPERTY_NOT_BOUND


def find(event: Event, at: int, entries: list[Entry], verdicts: list[Verdict], steps: list[Step]) -> Finding:
    """Turn one verdict of the fold into what the row will say."""
    what, target = verdicts[at]
    other = entries[target] if target >= 0 else None
    if other is not None and verdicts[target][1] >= 0 and verdicts[target][0] == dedup.OK:
        other = {**other, "a": entries[verdicts[target][1]]["a"]}  # recorded by reference itself: its click is its parent's
    finding = _FINDERS[what](event, entries[at], other, steps)
    if "y" in entries[at] and what == dedup.OK and target < 0:
        finding["parent"] = dedup.order_of(at, entries, verdicts)
    return finding


def _recorded(event: Event, entry: Entry, parent: Entry | None, steps: list[Step]) -> Finding:  # noqa: ARG001
    answer = entry["a"] if parent is None else parent["a"]
    click = answer["click"]
    kind = answer["m"] if parent is None else "event"
    age = entry["t"] - click["t"]
    return {
        "reason": reasons.RECORDED, "click_id": click["id"], "match_kind": kind, "campaign_id": click.get("c"), "traffic_source_id": click.get("s"),
        "parent": parent["id"] if parent else None, "click": click,
        "steps": [*steps, ["duplicate", "passed", "first of its identity"], ["attribution", "passed", f"{kind}: click {click['id']}, {age} ms before"]],
        "evidence": _attribution(answer) | {"age_ms": age},
    }  # fmt: skip


def _attribution(answer: dict[str, Any]) -> dict[str, Any]:
    click = answer["click"]
    if "o" in click or "d" in click:  # who owns the link is no reader's business, and the visitor's details stand in the visit
        click = {name: value for name, value in click.items() if name not in ("o", "d")}
    found: dict[str, Any] = {"click": click, "match": answer["m"], "model": answer["model"]}
    if answer.get("losers"):
        found["losers"] = answer["losers"]
    if answer.get("tried"):
        found["tried"] = answer["tried"]
    return found


def _duplicate(event: Event, entry: Entry, original: Entry | None, steps: list[Step]) -> Finding:
    assert original is not None
    mine, theirs = compared(event), original["x"]
    differing = {name: [theirs.get(name), mine.get(name)] for name in COMPARED if mine.get(name) != theirs.get(name)}
    gap = entry["u"] - original["u"]
    key, sub_reason = _KEYS[entry["i"][0]]
    evidence: dict[str, Any] = {"key": key, "original": original["id"], "gap_ms": gap, "differing": differing}
    if key == "transaction_id" and "value" in differing:
        evidence["is_other_amount"] = True
    return {
        "reason": reasons.DUPLICATE, "detail": original["id"], "sub": sub_reason, "duplicate_of": original["id"], "evidence": evidence,
        "steps": [*steps, ["duplicate", "decided", f"same {key} as {original['id']}, {gap} ms before"]],
    }  # fmt: skip


def _miss(event: Event, entry: Entry, _: Entry | None, steps: list[Step]) -> Finding:
    tried: list[list[str | None]] = entry["a"].get("tried") or []
    sub_reason, where = (tried[0][1], tried[0][2]) if tried else (event["click_problem"] or reasons.NO_IDENTIFIER, None)
    reason, detail = _missed(event, tried[0][0] if tried else None)
    said = "; ".join(f"{kind}: {why}{f' ({more})' if more else ''}" for kind, why, more in tried) or f"no value in {event['click_param']}"
    evidence: dict[str, Any] = {"tried": tried} if tried else {"parameter": event["click_param"]}
    if where:
        evidence["detail"] = where
    return {
        "reason": reason, "detail": detail, "sub": sub_reason, "evidence": evidence,
        "steps": [*steps, ["duplicate", "passed", "nothing recorded before"], ["attribution", "decided", said]],
    }  # fmt: skip


def _missed(event: Event, kind: str | None) -> tuple[str, str | None]:
    """(reason, detail) of a conversion that found no click, by what it was looked for with (rule 7)."""
    if event["is_test"]:
        return reasons.TEST_DATA, None
    if event["type"] == reasons.REFERRAL_KIND:  # whoever buys without a member's link is a customer, and nothing is wrong (R11)
        return reasons.INVALID_MEMBER_LINK, None
    if kind is None:
        return reasons.NO_CLICK_ID, event["click_param"]
    if kind == CLICK_ID:
        return reasons.UNKNOWN_CLICK_ID, None
    if kind == IP:
        return reasons.NO_IP_MATCH, None
    return reasons.CANT_FIND_REFID, event["ref_text"]


def _too_soon(event: Event, entry: Entry, _: Entry | None, steps: list[Step]) -> Finding:  # noqa: ARG001
    answer = entry["a"]
    age = entry["t"] - answer["click"]["t"]
    return {
        "reason": reasons.FRAUD_RULE, "detail": "min_click_to_conversion_s", "sub": reasons.TOO_SOON, "click_id": answer["click"]["id"],
        "evidence": _attribution(answer) | {"age_ms": age, "least_ms": entry["s"]},
        "steps": [*steps, ["duplicate", "passed", "first of its identity"], ["attribution", "decided", f"{age} ms after its click, at least {entry['s']}"]],
    }  # fmt: skip


def _self_referral(event: Event, entry: Entry, _: Entry | None, steps: list[Step]) -> Finding:  # noqa: ARG001
    answer = entry["a"]
    return {
        "reason": reasons.FRAUD_RULE, "detail": "self_referral", "sub": reasons.SELF_REFERRAL, "click_id": answer["click"]["id"],
        "evidence": _attribution(answer),
        "steps": [*steps, ["duplicate", "passed", "first of its identity"], ["attribution", "decided", "its customer is the owner of the link"]],
    }  # fmt: skip


def _over_limit(event: Event, entry: Entry, _: Entry | None, steps: list[Step]) -> Finding:  # noqa: ARG001
    answer = entry["a"]
    limit = answer["over"]
    return {
        "reason": reasons.FRAUD_RULE, "detail": "daily_limit_per_link", "sub": reasons.OVER_DAILY_LIMIT, "click_id": answer["click"]["id"],
        "evidence": _attribution(answer) | {"limit": limit},
        "steps": [*steps, ["duplicate", "passed", "first of its identity"], ["attribution", "decided", f"link {answer['click']['id']} had its {limit} referrals of that day"]],
    }  # fmt: skip


def _repeated(event: Event, entry: Entry, original: Entry | None, steps: list[Step]) -> Finding:  # noqa: ARG001
    assert original is not None
    gap = entry["u"] - original["u"]
    return {
        "reason": reasons.FRAUD_RULE, "detail": f"one_referral_per {entry['h']}", "sub": reasons.DUPLICATE_REFEREE,
        "duplicate_of": original["id"], "evidence": {"key": entry["h"], "original": original["id"], "gap_ms": gap},
        "steps": [*steps, ["duplicate", "decided", f"same {entry['h']} as {original['id']}, {gap} ms before"]],
    }  # fmt: skip


def _deferred(event: Event, entry: Entry, _: Entry | None, steps: list[Step]) -> Finding:  # noqa: ARG001
    reason, detail, sub_reason = entry["d"]
    return {
        "reason": reason, "detail": detail, "sub": sub_reason, "click_id": entry["a"]["click"]["id"], "evidence": _attribution(entry["a"]),
        "steps": [*steps[:2], ["test", "passed", f"click {entry['a']['click']['id']}"], *steps[3:]],
    }  # fmt: skip


def _linked(event: Event, entry: Entry, parent: Entry | None, steps: list[Step]) -> Finding:
    assert parent is not None
    word, cause = event["original_status"] or event["conversion_status"], reasons.TAKEN_BACK
    if "adjusts" in event:
        word, cause = f"{event['original_status'] or 'approved'}, negative amount", reasons.ADJUSTED
    evidence = {"parent": parent["id"], "gap_ms": entry["u"] - parent["u"], "share": _share(event, parent["x"])}
    return {
        "reason": reasons.WRONG_STATUS, "detail": word, "sub": cause, "parent": parent["id"], "click_id": _click_of(parent), "evidence": evidence,
        "steps": [*steps, ["status", "decided", f"{event['conversion_status']} of {parent['id']}"]],
    }  # fmt: skip


def _share(event: Event, sale: dict[str, Any]) -> str:
    """How much of a sale is taken back: all, part, more or unknown. By what each payload says itself; senders write it with and without minus,
    and 0 where they say what is left.
    """
    if event["value"] is None or sale["value"] is None or event["currency"] != sale["currency"]:
        return "unknown"
    back, whole = abs(Decimal(event["value"])), abs(Decimal(sale["value"]))
    if not back:
        return "all"
    if "says_left" in event:
        return "part" if back < whole else "all"
    return "all" if back == whole else "part" if back < whole else "more"


def _click_of(entry: Entry) -> str | None:
    answer = entry.get("a")
    return answer["click"]["id"] if isinstance(answer, dict) and "click" in answer else None


def _orphan(event: Event, entry: Entry, _: Entry | None, steps: list[Step]) -> Finding:  # noqa: ARG001
    wanted = event["reference"] or event["transaction_id"]
    if event["is_test"]:  # the sandbox's refund of a sandbox sale that was discarded: no error, test data again
        return {
            "reason": reasons.TEST_DATA, "detail": None, "sub": None, "evidence": {"reference": wanted},
            "steps": [*steps, ["test", "decided", f"no recorded test conversion {wanted}"]],
        }  # fmt: skip
    return {
        "reason": reasons.CANT_FIND_EVENT, "detail": wanted, "sub": reasons.PARENT_MISSING, "evidence": {"reference": wanted},
        "steps": [*steps, ["reference", "decided", f"no recorded conversion {wanted}"]],
    }  # fmt: skip


_FINDERS = {
    dedup.OK: _recorded, dedup.DUPLICATE: _duplicate, dedup.MISS: _miss, dedup.TOO_SOON: _too_soon, dedup.DECIDED: _deferred,
    dedup.LINKED: _linked, dedup.ORPHAN: _orphan, dedup.SELF: _self_referral, dedup.REPEATED: _repeated,
    dedup.OVER: _over_limit,
}  # fmt: skip

# First letter of an identity -> what matched, and its sub-reason.
_KEYS = {
    "T": ("transaction_id", reasons.SAME_TRANSACTION),
    "C": ("click_id, name, value, currency", reasons.SAME_CLICK_AND_VALUE),
    "P": ("payload", reasons.SAME_PAYLOAD),
}


def compared(event: Event) -> dict[str, Any]:
    """What of an event is kept to tell how a duplicate differs from it."""
    return {name: event[name] for name in COMPARED}  # type: ignore[literal-required]


def signature(finding: Finding) -> str:
    """What makes a later verdict another one: a new revision is written only when this changes."""
    get = finding.get
    said = "|".join(
        [finding["reason"], get("sub") or "", get("click_id") or "", get("match_kind") or "", get("duplicate_of") or get("parent") or ""]
    )
    return f"{said}|{finding['change']}" if "change" in finding else said
