"""Why an event has its verdict, in numbered sentences: rule, what was compared, what came of it, and what to do next.

Nothing is judged again here. The sentences are the row's own trace in words, so an explanation can never disagree with the verdict; causes
and remedies are the catalogue's (`schemas/reasons.py`). The console's inspector shows the same list.
"""

from typing import Any, TypedDict

import orjson

from schemas.reasons import REASON_BY_CODE, SUB_REASON_BY_CODE

# Step of the trace -> the rule it stands for, in the order of judgement (1-mission, rule 6).
RULES = {
    "authorise": "May this source report for this property?",
    "read": "Can the payload be read?",
    "parse": "Can the payload be read?",
    "name": "Which conversion is it?",
    "status": "Does the sender call it approved?",
    "test": "Is it test data?",
    "event": "Is this event type tracked?",
    "duplicate": "Was this exact conversion recorded before?",
    "dedup": "Was this exact conversion recorded before?",
    "attribution": "Which click does it belong to?",
    "attribute": "Which click does it belong to?",
    "reference": "Which earlier conversion is it about?",
    "fraud": "Did it come too soon after its click?",
    "recorded": "Is it recorded?",
    "settle": "What is the verdict?",
}


class Explanation(TypedDict):
    """The answer of `explain`; `steps` are sentences in the order of judgement."""

    event_id: str
    revision: int
    status: str
    reason: str
    message: str
    steps: list[str]
    evidence: list[str]
    because: str | None
    causes: list[str]
    remedy: str


def decoded(value: Any) -> Any:
    """Return a JSON column's content; ClickHouse hands it over as text or already as a structure."""
    return orjson.loads(value) if isinstance(value, str | bytes) and value else value


def sentence(step: Any) -> str:
    """Return one step of the trace ([step, result, detail]) as a sentence."""
    name, result, detail = [*(str(part) for part in step), "", "", ""][:3]
    question = RULES.get(name, f"{name}:")
    return f"{question} {result}{f' ({detail})' if detail else ''}".strip()


def facts(evidence: dict[str, Any], path: str = "") -> list[str]:
    """Return the evidence as `name: value` lines, nested names with dots; empty values are left out."""
    lines = []
    for name, value in evidence.items():
        label = f"{path}{name}"
        if isinstance(value, dict):
            lines += facts(value, f"{label}.")
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for number, item in enumerate(value, 1):
                lines.append(f"{label} {number}: " + ", ".join(f"{k} {v}" for k, v in item.items() if v is not None))
        elif value not in (None, "", [], {}):
            lines.append(f"{label}: {value}")
    return lines


def explained(row: dict[str, Any]) -> Explanation:
    """Return the explanation of a row of the event log."""
    reason = REASON_BY_CODE.get(row["reason"])
    sub_reason = SUB_REASON_BY_CODE.get(row.get("sub_reason") or "")
    return {
        "event_id": row["event_id"],
        "revision": row["revision"],
        "status": row["status"],
        "reason": row["reason"],
        "message": row["message"],
        "steps": [sentence(step) for step in decoded(row["trace"]) or []],
        "evidence": facts(decoded(row["evidence"]) or {}),
        "because": sub_reason.text if sub_reason else None,
        "causes": [] if sub_reason or reason is None else list(reason.causes),
        "remedy": sub_reason.remedy if sub_reason else reason.remedy if reason else "",
    }
