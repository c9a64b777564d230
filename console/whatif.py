"""What a change of the rules would have done: stored payloads judged under it, counted as old status x new status.

Old is what the log says. So that nobody takes for an effect what is none, the same payloads are judged a third time under the settings as they
are, unchanged: where that differs from the log (settings were changed since, a record is gone), the payload counts as not reproduced.
"""

# ruff: noqa: S608 - only columns and views of our own are pasted into SQL here; values are parameters

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple, cast

from console import replaying
from console.apply import Entities
from console.asking import Asker
from console.listing import Accounts, Given, Question, condition
from console.lists import listed
from console.records import Records
from console.replaying import Judged
from schemas.event import Event
from streams.workspace import Workspace

Progress = Callable[[int, int], None]
SAMPLES = 50
READ_S = 60.0  # for the payloads of a range
COLUMNS = (
    "event_id, topic, partition, offset, source_id, property_id, received_at, toUnixTimestamp64Milli(received_at) AS received_ms, status, reason, "
    "message, value, currency, conversion_name, click_id, is_test"
)
STATUSES = ("ok", "discarded", "deduplicated", "error")


class Tried(NamedTuple):
    """A question of what-if, ready to be answered."""

    given: Given
    accounts: Accounts
    entities: Entities
    changes: Entities
    limit: int


class Steps:
    """How far a long answer is: payloads judged, of all that will be. They are judged four times, twice of these to see which clicks are asked for."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.done, self.total = progress, 0, 0

    def tell(self, count: int) -> None:
        """Note that so many more were judged."""
        self.done = min(self.done + count, self.total)
        self._progress(self.done, self.total)


async def answer(tried: Tried, asker: Asker, records: Records, pii_key: bytes, progress: Progress = lambda _, __: None) -> dict[str, Any]:
    """Return the matrix, the money that moved, samples of what changed, and how far the answer can be trusted."""
    steps = Steps(progress)
    sql, values = condition(listed("events"), tried.given, tried.accounts)
    order = "ORDER BY received_at DESC, event_id DESC LIMIT {limit:UInt32}"
    rows = await asker.rows(Question(f"SELECT {COLUMNS} FROM events WHERE {sql} {order}", values | {"limit": tried.limit}))
    counted = await asker.one(Question(f"SELECT count() AS total FROM events WHERE {sql}", values))
    total = counted["total"] if counted else 0
    if not rows:
        return _answer([], {}, {}, total, 0, 0)
    old = {row["event_id"]: row for row in rows}
    payloads, missing = await replaying.stored(records, rows, READ_S)
    steps.total = 4 * len(payloads)
    first_ms, last_ms = min(row["received_ms"] for row in rows), max(row["received_ms"] for row in rows)
    now = replaying.workspace_of(tried.entities)
    changed = replaying.workspace_of(tried.entities, tried.changes)
    blind, memory = await replaying.judged(payloads, changed, [], pii_key, steps.tell)
    blind_now, memory_now = await replaying.judged(payloads, now, [], pii_key, steps.tell)
    events = [_event(each.row) for each in (*blind, *blind_now)]
    questions = replaying.relatives(events, tried.accounts, first_ms)
    before = {row["event_id"]: row for question in questions for row in await asker.rows(question) if row["event_id"] not in old}
    earlier, _ = await replaying.stored(records, before.values(), READ_S)
    wanted = replaying.asked_for(memory) | replaying.asked_for(memory_now)
    steps.total += 2 * len(earlier)
    begin_ms = first_ms - max(replaying.look_back_ms(now), replaying.look_back_ms(changed))
    visits = await replaying.visits_of(asker, wanted, tried.accounts, begin_ms, last_ms + replaying.LOOK_BACK_MS)

    async def under(workspace: Workspace) -> dict[str, Judged]:
        found, _ = await replaying.judged([*earlier, *payloads], workspace, visits, pii_key, steps.tell)
        return {each.row["event_id"]: each for each in found}

    return _answer(rows, await under(now), await under(changed), total, missing, len(visits))


def _event(row: dict[str, Any]) -> Event:
    """What `relatives` asks of an event, from a row: a refund without a parent names the reference that it looked for."""
    evidence = row["evidence"] if isinstance(row["evidence"], dict) else {}
    return cast("Event", {"transaction_id": row["transaction_id"], "reference": evidence.get("reference"), "click_id": row["click_id"]})


def _answer(
    rows: list[dict[str, Any]], now: dict[str, Judged], new: dict[str, Judged], total: int, missing: int, visits: int
) -> dict[str, Any]:
    matrix, reasons, money = Counter[tuple[str, str]](), Counter[tuple[str, str]](), dict[str, dict[str, Decimal]]()
    samples: list[dict[str, Any]] = []
    changed = unlike = 0
    for row in rows:
        found, base = new.get(row["event_id"]), now.get(row["event_id"])
        if found is None or base is None:
            continue
        unlike += (base.row["status"], base.row["reason"]) != (row["status"], row["reason"])
        matrix[row["status"], found.row["status"]] += 1
        reasons[row["reason"], found.row["reason"]] += 1
        _count_money(money, row, found.row)
        if _verdict(found.row) != _verdict(base.row):
            changed += 1
            if len(samples) < SAMPLES:
                samples.append(_sample(row, base.row, found))
    return {
        "total": total,
        "judged": sum(matrix.values()),
        "is_whole": total <= len(rows),
        "missing": missing,
        "not_reproduced": unlike,
        "changed": changed,
        "visits": visits,
        "matrix": [{"old": old, "new": new_, "events": matrix[old, new_]} for old in STATUSES for new_ in STATUSES if matrix[old, new_]],
        "reasons": [{"old": old, "new": new_, "events": count} for (old, new_), count in reasons.most_common() if old != new_],
        "money": [
            {"currency": currency, **sums, "moved": sums["after"] - sums["before"]} for currency, sums in sorted(money.items())
        ],
        "samples": samples,
    }  # fmt: skip


def _verdict(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a person would call another outcome."""
    return row["status"], row["reason"], row["click_id"], row["conversion_name"], row["value"], row["currency"]


def _count_money(money: dict[str, dict[str, Decimal]], old: dict[str, Any], new: dict[str, Any]) -> None:
    """Recorded value before and after, per currency; tests are no money."""
    for row, when in ((old, "before"), (new, "after")):
        if row["status"] == "ok" and row["value"] is not None and not row["is_test"]:
            sums = money.setdefault(row["currency"] or "", {"before": Decimal(0), "after": Decimal(0)})
            sums[when] += Decimal(str(row["value"]))


def _sample(old: dict[str, Any], base: dict[str, Any], found: Judged) -> dict[str, Any]:
    new = found.row
    names = ("status", "reason", "message", "value", "currency", "conversion_name", "click_id")
    return {
        "event_id": old["event_id"],
        "source_id": old["source_id"],
        "received_at": old["received_at"],
        "old": {name: old[name] for name in names},
        "new": {name: new[name] for name in names},
        "is_reproduced": (base["status"], base["reason"]) == (old["status"], old["reason"]),
        "postbacks": [request["destination_id"] for request in found.postbacks],
    }
