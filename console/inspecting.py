"""One event with all its parts, for the inspector: made from its rows, as data that a page draws and a program reads.

Nothing is judged here: what is said of candidates and duplicates is the row's own evidence, put into words of the catalogue.
"""

import base64
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from console.explaining import decoded
from console.json_text import money
from console.spoken import spoken
from schemas.reasons import REASON_BY_CODE, SUB_REASON_BY_CODE

MOST_TREE_BYTES = 256 << 10  # of a payload that is shown as a tree
LOST = {
    "not_last_click": "another click is later, and the last click wins here",
    "not_first_click": "another click is earlier, and the first click wins here",
}
CONTENT = (("{", "json"), ("[", "json"), ("<", "xml"))


def attribution(row: dict[str, Any]) -> dict[str, Any]:
    """Return how the click was found: the candidates in order with why each lost, and what was tried in vain."""
    evidence = decoded(row["evidence"]) or {}
    click, candidates = evidence.get("click"), []
    if click:
        gap = f"{spoken(timedelta(milliseconds=evidence['age_ms']))} before the conversion" if "age_ms" in evidence else ""
        candidates.append({"click_id": click["id"], "clicked_at": _at(click.get("t")), "is_chosen": True, "outcome": "chosen", "why": gap,
                           "campaign_id": click.get("c"), "property_id": click.get("p")})  # fmt: skip
    for click_id, clicked_ms, why in evidence.get("losers") or []:
        candidates.append({"click_id": click_id, "clicked_at": _at(clicked_ms), "is_chosen": False, "outcome": why, "why": _why(why, None)})
    return {
        "match_kind": row.get("match_kind"),
        "model": evidence.get("model"),
        "age_ms": evidence.get("age_ms"),
        "parameter": evidence.get("parameter"),
        "candidates": candidates,
        "tried": [
            {"identifier": kind, "outcome": why, "detail": more, "why": _why(why, more)} for kind, why, more in evidence.get("tried") or []
        ],
    }


def duplicate(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return what makes this event a duplicate: of which one, by which key, how much later, and the fields that differ."""
    evidence = decoded(row["evidence"]) or {}
    if not row.get("duplicate_of"):
        return None
    differing = evidence.get("differing") or {}
    return {
        "of": row["duplicate_of"],
        "key": evidence.get("key"),
        "gap_ms": evidence.get("gap_ms"),
        "gap": spoken(timedelta(milliseconds=evidence.get("gap_ms") or 0)),
        "differing": [{"field": name, "original": pair[0], "this": pair[1]} for name, pair in differing.items()],
        "effect": evidence.get("effect"),
    }


def data(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return Referral Rock's Data section: the result, why it failed, and the parameters with their values, as lines (R18)."""
    reason = REASON_BY_CODE.get(row["reason"])
    sub = SUB_REASON_BY_CODE.get(row.get("sub_reason") or "")
    amount = f"{money(Decimal(str(row['value'])))} {row['currency'] or ''}".strip() if row.get("value") is not None else None
    lines = [
        ("Result", {"success": "Success", "info": "Info", "failure": "Failure"}.get(row["view_status"], row["view_status"])),
        ("Message", row["message"]),
        ("Reason", reason.title if reason else row["reason"]),
        ("Cause", sub.text if sub else None),
        ("Conversion", row.get("conversion_name")),
        ("Value", amount),
        ("Click id", row.get("click_id")),
        ("Transaction id", row.get("transaction_id")),
    ]
    facts = [{"name": name, "value": value, "is_parameter": False} for name, value in lines if value not in (None, "")]
    return facts + [{"name": name, "value": value, "is_parameter": True} for name, value in (row.get("parameters") or {}).items()]


def payload(row: dict[str, Any], raw: bytes | None) -> dict[str, Any]:
    """Return the payload: as text or base64 where it may be seen (`raw`), as a tree, and its parameters."""
    parameters = row.get("parameters") or {}
    shown: dict[str, Any] = {"sha256": row["payload_sha256"], "parameters": parameters, "text": None, "base64": None, "tree": None,
                             "kind": None, "bytes": None}  # fmt: skip
    if raw is None:
        return shown | {"is_withheld": True}
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return shown | {"is_withheld": False, "kind": "binary", "bytes": len(raw), "base64": base64.b64encode(raw).decode()}
    kind = next((kind for start, kind in CONTENT if text.lstrip().startswith(start)), "form" if "=" in text else "text")
    return shown | {"is_withheld": False, "kind": kind, "bytes": len(raw), "text": text, "tree": _tree(raw, kind)}


def revision(row: dict[str, Any]) -> dict[str, Any]:
    """Return a verdict in short."""
    names = ("revision", "status", "reason", "sub_reason", "message", "judged_at", "settings_version", "click_id", "match_kind", "value")
    return {name: row[name] for name in names}


def _tree(raw: bytes, kind: str) -> Any:
    if kind != "json" or len(raw) > MOST_TREE_BYTES:
        return None
    try:
        return orjson.loads(raw)
    except ValueError:
        return None


def _why(code: str, detail: str | None) -> str:
    sub = SUB_REASON_BY_CODE.get(code)
    text = LOST.get(code) or (sub.text if sub else code.replace("_", " "))
    return f"{text} ({detail})" if detail else text


def _at(epoch_ms: int | None) -> datetime | None:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC) if epoch_ms is not None else None
