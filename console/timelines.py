"""All that happened to a click, in order: visits and clicks, conversions with the duplicates folded under their originals, postbacks.

The three questions are those of the lists, so an account's limit holds here too; they are put together here and not in SQL, because the
duplicates belong under another row and the gaps between rows follow from what is shown.
"""

# ruff: noqa: S608 - only columns and views of our own are pasted into SQL here; values are parameters

from datetime import UTC, datetime, timedelta
from typing import Any

from console.inspecting import duplicate
from console.json_text import money
from console.listing import Accounts, Question
from console.spoken import spoken

MOST = 1000  # rows of each kind
VISITS = "visit_id, kind, occurred_at, received_at, property_id, campaign_id, traffic_source_id, lander_id, offer_id, url, referrer, device_type, browser, os, country"
EVENTS = (
    "event_id, type, event_time, received_at, property_id, source_id, status, reason, message, conversion_name, value, currency, match_kind, transaction_id, "
    "duplicate_of, parent_event_id, revision, evidence"
)
POSTBACKS = "postback_id, event_id, destination_id, postback_time, is_error, error_message, status_code, postback_url, ct, state, attempts"


def questions(click_id: str, accounts: Accounts) -> list[Question]:
    """Return the questions for visits, events and postbacks of a click."""
    scope = "" if accounts is None else " AND account_id IN {accounts:Array(String)}"
    values: dict[str, object] = {"click": click_id} | ({} if accounts is None else {"accounts": list(accounts)})
    return [
        Question(f"SELECT {columns} FROM {view} WHERE click_id = {{click:String}}{scope} ORDER BY {time} LIMIT {MOST}", values)
        for columns, view, time in (
            (VISITS, "visits", "occurred_at"),
            (EVENTS, "events", "event_time, received_at"),
            (POSTBACKS, "postbacks", "postback_time"),
        )
    ]


def entries(visits: list[dict[str, Any]], events: list[dict[str, Any]], postbacks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what happened, in order: {at, since, what, id, status, detail, …, duplicates}; `since` is the gap to the entry before."""
    found = [_visit(row) for row in visits] + [_postback(row) for row in postbacks]
    by_id = {row["event_id"]: _event(row) for row in events}
    for row in events:
        original = by_id.get(row["duplicate_of"] or "")
        if original is None or original is by_id[row["event_id"]]:
            found.append(by_id[row["event_id"]])
        else:
            original["duplicates"].append(by_id[row["event_id"]] | {"duplicate": duplicate(row)})
    order = {"visit": 0, "click": 1, "lander_click": 2, "identify": 3, "event": 4, "postback": 5}
    found.sort(key=lambda entry: (entry["at"], order.get(entry["kind"], 4), entry["id"]))
    before: datetime | None = None
    for entry in found:
        entry["since"] = "" if before is None else f"+{spoken(entry['at'] - before)}"
        entry["since_ms"] = None if before is None else round((entry["at"] - before).total_seconds() * 1000)
        before = entry["at"]
    return found


def flat(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries as lines of a table, duplicates behind their originals."""
    lines = []
    for entry in found:
        lines.append({name: entry[name] for name in ("at", "since", "what", "id", "status", "detail")})
        lines += [
            {"at": each["at"], "since": f"+{each['duplicate']['gap']}", "what": f"  {each['what']}", "id": each["id"],
             "status": each["status"], "detail": each["detail"]}
            for each in entry.get("duplicates", [])
        ]  # fmt: skip
    return lines


def window(found: list[dict[str, Any]], window_ms: int | None) -> dict[str, Any] | None:
    """Return the attribution window that the click opens; None without a click. `to` None: it never closes."""
    clicks = [entry["at"] for entry in found if entry["kind"] in {"click", "visit", "lander_click"}]
    if not clicks:
        return None
    first = min(clicks)
    closes = None if window_ms is None else first + timedelta(milliseconds=window_ms)
    days = None if window_ms is None else window_ms / 86_400_000
    return {"from": first, "to": closes, "days": days}


def _visit(row: dict[str, Any]) -> dict[str, Any]:
    detail = " ".join(str(row[name]) for name in ("campaign_id", "url") if row[name])
    return {
        "at": _utc(row["occurred_at"]),
        "kind": row["kind"],
        "what": row["kind"],
        "id": row["visit_id"],
        "status": "",
        "detail": detail,
        "row": row,
    }


def _event(row: dict[str, Any]) -> dict[str, Any]:
    amount = f", {money(row['value'])} {row['currency'] or ''}".rstrip() if row["value"] is not None else ""
    return {
        "at": _utc(row["event_time"]), "kind": "event", "what": row["conversion_name"] or row["type"], "id": row["event_id"],
        "status": row["status"], "detail": f"{row['message']}{amount}", "row": {k: v for k, v in row.items() if k != "evidence"}, "duplicates": [],
    }  # fmt: skip


def _postback(row: dict[str, Any]) -> dict[str, Any]:
    said = f"{row['status_code'] or row['error_message'] or row['state']} {row['postback_url']}"
    status = "error" if row["is_error"] else "ok" if row["state"] == "delivered" else row["state"]
    return {
        "at": _utc(row["postback_time"]),
        "kind": "postback",
        "what": "postback",
        "id": row["postback_id"],
        "status": status,
        "detail": said,
        "row": row,
    }


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
