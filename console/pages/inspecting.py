"""What the inspector shows of an event: the row in words, its payload as a tree, and what is around it.

Nothing is judged here. The sentences are those of `console/explaining.py`, the rest is the row's own evidence put into tables: which clicks
were candidates, in which order, and why each lost. Personal data is masked (`schemas/pii.py`), in the tree by the name of each leaf.
"""

import asyncio
import shlex
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import orjson

from console import listing, masking
from console.api import events
from console.explaining import decoded, explained
from console.lists import listed
from console.server.route import Ask
from schemas import pii

TABS = (
    ("payload", "Payload"), ("data", "Data"), ("trail", "Decision trail"), ("attribution", "Attribution"), ("headers", "Headers"),
    ("postbacks", "Postbacks"), ("revisions", "Revisions"),
)  # fmt: skip
MOST_POSTBACKS = 50
LONGEST_RAW = 64 << 10
MACHINE = {"payload", "trace", "evidence", "parameters", "log_partition", "log_offset", "log_topic"}


class Candidate(NamedTuple):
    """A click that could have been the one, or an identifier that was tried. `why` is empty for the winner."""

    click_id: str
    at_ms: int | None
    campaign_id: str
    by: str
    why: str
    detail: str


async def inspected(ask: Ask, event_id: str) -> dict[str, Any]:
    """Return all that the inspector draws. Refused("not_found") when there is no such event, or it is of another account."""
    postbacks = listed("postbacks")
    verdicts, sent = await asyncio.gather(
        events.revisions(ask, event_id),
        ask.context.asker.rows(listing.page(postbacks, {"event": event_id}, ask.viewer.accounts, None, MOST_POSTBACKS)),
    )
    row = verdicts[-1]
    evidence = decoded(row["evidence"]) or {}
    explanation = explained(row)
    shown = masking.row(row)
    return {
        "row": shown,
        "facts": {name: value for name, value in shown.items() if name not in MACHINE and value is not None},
        "parameters": shown["parameters"],
        "tree": tree_of(row),
        "raw": None,
        "size_bytes": len(_bytes(row["payload"])),
        "why": {**explanation, "steps": [pii.masked_text(step) for step in explanation["steps"]]},
        "evidence": [pii.masked_text(fact) for fact in explanation["evidence"]],
        "candidates": candidates(evidence),
        "match": evidence,
        "verdicts": [masking.row(verdict) for verdict in verdicts][::-1],
        "postbacks": [masking.row(postback) for postback in sent],
        "curl": curl_of(ask, shown),
        "json": {name: decoded(value) if name in events.JSON_COLUMNS else value for name, value in shown.items()},
        "sql": f"SELECT * FROM events WHERE event_id = '{sql_text(row['event_id'])}'",
        "link": f"{ask.context.settings.console_url()}/events/{row['event_id']}",
    }


def candidates(evidence: dict[str, Any]) -> list[Candidate]:
    """Return the clicks that were candidates, the winner first, then those that lost; for a miss the identifiers in the order of trying."""
    found = []
    if click := evidence.get("click"):
        lost = "it came too soon after its click" if "least_ms" in evidence else ""
        found.append(Candidate(click.get("id") or "", click.get("t"), click.get("c") or "", evidence.get("match", ""), lost, ""))
    for item in evidence.get("losers") or ():
        click_id, at_ms, why = [*item, None, None, ""][:3]
        found.append(Candidate(str(click_id or ""), at_ms, "", evidence.get("match", ""), str(why), ""))
    for item in evidence.get("tried") or ():
        kind, why, detail = [*item, "", ""][:3]
        found.append(Candidate("", None, "", str(kind), str(why), pii.masked_text(str(detail or ""))))
    return found


def tree_of(row: dict[str, Any]) -> Any:
    """Return the payload as a tree with masked leaves: JSON as it is nested, a query string or form as its pairs; None for all else."""
    raw = _bytes(row["payload"])
    try:
        return masked(orjson.loads(raw))
    except ValueError:
        pass
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=1000)
    except ValueError:
        return None
    return {name: pii.masked(name, value) for name, value in pairs}


def masked(value: Any, name: str = "") -> Any:
    """Return a structure with each text masked by the path of its name."""
    if isinstance(value, dict):
        return {key: masked(inner, f"{name}.{key}" if name else str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, name) for inner in value]
    return pii.masked(name, value) if isinstance(value, str) else value


def curl_of(ask: Ask, shown: dict[str, Any]) -> str:
    """Return a line that sends the same parameters again; what is masked on the screen is masked in it, too."""
    target = f"{ask.context.settings.ingest_url()}/in/{shown['source_id']}"
    given = {name: value for name, value in shown["parameters"].items() if not name.startswith("(")}
    if shown["type"] in {"postback", "one_click_access"}:
        return f"curl {shlex.quote(f'{target}?{urlencode(given)}')}"
    body = orjson.dumps(given).decode()
    return f"curl {shlex.quote(target)} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def sql_text(value: str) -> str:
    """Return a text as it stands between quotes in SQL."""
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _bytes(payload: Any) -> bytes:
    return payload if isinstance(payload, bytes) else str(payload or "").encode()
