"""Why an event has its verdict, in numbered sentences: rule, what was compared, what came of it, and what to do next.

Nothing is judged again here. The sentences are the row's own trace in words, so an explanation can never disagree with the verdict; causes
and remedies are the catalogue's (`schemas/reasons.py`). The console's inspector shows the same list.
"""

from collections.abc import Callable
from typing import Any, TypedDict

import orjson

from schemas.reasons import REASON_BY_CODE, SUB_REASON_BY_CODE

JSON_COLUMNS = ("before", "after", "diff", "trace", "evidence")  # text in ClickHouse, structures for whoever reads them
PASSED, NEEDS_PARENT = "passed", "needs_parent"
Say = Callable[[dict[str, Any], str], str]  # (row, detail of the step) -> sentence


def _quoted(word: Any) -> str:
    return f'"{word}"' if word else "without a name"


def _approved(row: dict[str, Any]) -> str:
    word = row.get("original_status")
    return (
        f'Its status "{word}" means {row.get("conversion_status") or "approved"}.'
        if word
        else "It brings no status, which means approved here."
    )


def _not_approved(row: dict[str, Any], detail: str) -> str:
    if " of " in detail:  # "refunded of e1-4-2": decided beside its parent
        kind, _, parent = detail.partition(" of ")
        return f"It takes back conversion {parent}, which is {kind} and stays in the log."
    word = row.get("original_status") or detail
    return f'Its status "{word}" means {row.get("conversion_status") or "not approved"}: {detail}.'


def _under(row: dict[str, Any]) -> str:
    return f" (transaction {row['transaction_id']})" if row.get("transaction_id") else ""


# Step of the trace -> what it says when it passed, and what it says when it decided.
SENTENCES: dict[str, tuple[Say, Say]] = {
    "property": (
        lambda row, _: f"Source {row['source_id']} may report for property {row['property_id']}.",
        lambda row, detail: f"Source {row['source_id']} may not report for property {detail}.",
    ),
    "payload": (
        lambda row, _: f"The payload can be read: {len(decoded(row['parameters']) or ())} parameters.",
        lambda _, detail: f"The payload cannot be read: {detail}.",
    ),
    "test": (
        lambda row, detail: (
            f"It is test data, and it leads to a visit ({detail})."
            if row.get("is_test") and detail
            else "It is not discarded as test data."
        ),
        lambda _, detail: f"It is test data without a visit behind it{f' ({detail})' if detail else ''}.",
    ),
    "status": (lambda row, _: _approved(row), _not_approved),
    "name": (
        lambda row, _: f"Its event {_quoted(row.get('original_name'))} is tracked as {row['conversion_name']}.",
        lambda row, detail: f'The mapping of source {row["source_id"]} does not track the event type "{detail}".',
    ),
    "reference": (
        lambda _, detail: f"It is about {detail}.",
        lambda _, detail: f"The conversion that it is about was not recorded: {detail}.",
    ),
    "duplicate": (
        lambda row, detail: f"It is no duplicate: {detail}{_under(row)}.",
        lambda row, detail: f"It is a duplicate: {detail}{_under(row)}.",
    ),
    "attribution": (
        lambda _, detail: f"Its click was found by {detail}.",
        lambda _, detail: f"Its click does not count or was not found: {detail}.",
    ),
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


def sentence(row: dict[str, Any], step: Any) -> str:
    """Return one step of the trace ([step, result, detail]) as a sentence; steps that are not in the table say themselves."""
    name, result, detail = [*(str(part) for part in step), "", "", ""][:3]
    if name in SENTENCES:
        passed, decided = SENTENCES[name]
        if result == NEEDS_PARENT:
            return f"Its status means {detail}: it is about an earlier conversion."
        return (passed if result == PASSED else decided)(row, detail)
    return f"{name}: {result}{f' ({detail})' if detail else ''}."


def facts(evidence: dict[str, Any], path: str = "") -> list[str]:
    """Return the evidence as `name: value` lines, nested names with dots; empty values are left out."""
    lines = []
    for name, value in evidence.items():
        label = f"{path}{name}"
        if isinstance(value, dict):
            lines += facts(value, f"{label}.")
        elif isinstance(value, list) and value and all(isinstance(item, dict | list) for item in value):
            for number, item in enumerate(value, 1):
                parts = (
                    [f"{k} {v}" for k, v in item.items() if v is not None]
                    if isinstance(item, dict)
                    else [str(v) for v in item if v is not None]
                )
                lines.append(f"{label} {number}: {', '.join(parts)}")
        elif value not in (None, "", [], {}):
            lines.append(f"{label}: {value}")
    return lines


def notes(parameters: dict[str, Any]) -> list[str]:
    """Return what was there and could not be used: the pipeline's own notes beside the parameters, whose names stand in parentheses."""
    return [f"{name[1:-1]}: {text}" for name, text in parameters.items() if name.startswith("(") and name.endswith(")")]


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
        "steps": [sentence(row, step) for step in decoded(row["trace"]) or []],
        "evidence": facts(decoded(row["evidence"]) or {}) + notes(decoded(row["parameters"]) or {}),
        "because": sub_reason.text if sub_reason else None,
        "causes": [] if sub_reason or reason is None else list(reason.causes),
        "remedy": sub_reason.remedy if sub_reason else reason.remedy if reason else "",
    }
