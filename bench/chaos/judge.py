"""What a fault did to the log: rows that are lost, doubled or different. Pure; the tests show it a row of each kind.

`wanted` and `found` are rows as ClickHouse prints them (JSONEachRow), `found` with everything that a reader of the view sees, so a row
that stands there twice is seen twice. A row that nobody wanted counts as different.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

NAMED = 5  # so many differences are told in full

Brief = tuple[str, str, str | None, str | None, int | None]
"""What the oracle says of a payload: status, reason, click id, the event it duplicates or refers to, value."""


class Verdict(NamedTuple):
    """Counts, and the first differences in words."""

    wanted: int = 0
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    named: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.differing)

    def __add__(self, other: object) -> "Verdict":
        """Both together: what is wanted is the same rows, what is wrong adds up."""
        assert isinstance(other, Verdict)
        return Verdict(
            max(self.wanted, other.wanted),
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.differing + other.differing,
            (*self.named, *other.named)[: 2 * NAMED],
        )


def rows(wanted: Mapping[str, str], found: Iterable[str]) -> Verdict:
    """Compare rows as lines of JSON; `wanted` by event id."""
    seen: dict[str, list[str]] = {}
    for line in found:
        seen.setdefault(json.loads(line)["event_id"], []).append(line)
    lost = [event_id for event_id in wanted if event_id not in seen]
    differing = [event_id for event_id, lines in seen.items() if any(line != wanted.get(event_id) for line in lines)]
    named = [f"{event_id}: no row" for event_id in lost[:NAMED]]
    named += [f"{event_id}: {difference(wanted.get(event_id), seen[event_id][0])}" for event_id in differing[:NAMED]]
    doubled = sum(len(lines) - 1 for lines in seen.values())
    named += [f"{event_id}: {len(lines)} rows" for event_id, lines in seen.items() if len(lines) > 1][:NAMED]
    return Verdict(len(wanted), len(lost), doubled, len(differing), tuple(named))


def difference(wanted: str | None, found: str) -> str:
    """The columns that differ, wanted / found."""
    if wanted is None:
        return "nobody wanted it"
    a, b = json.loads(wanted), json.loads(found)
    return "; ".join(f"{name}: {a.get(name)!r} / {b.get(name)!r}" for name in sorted({*a, *b}) if a.get(name) != b.get(name))[:600]


def briefs(wanted: Mapping[str, Brief], found: Iterable[str]) -> Verdict:
    """Compare what the oracle says with rows. Lost and doubled are `rows`' business."""
    wrong = []
    for line in found:
        row = json.loads(line)
        if (want := wanted.get(row["event_id"])) is not None and (got := brief(row)) != want:
            wrong.append(f"{row['event_id']}: the oracle says {want}, the row {got}")
    return Verdict(len(wanted), differing=len(wrong), named=tuple(wrong[:NAMED]))


def brief(row: Mapping[str, Any]) -> Brief:
    """A row in the oracle's words."""
    value = row["value"]
    return (
        row["status"],
        row["reason"],
        row["click_id"],
        row["duplicate_of"] or row["parent_event_id"],
        None if value is None else int(float(value)),
    )


def counted(wanted: Iterable[str], found: Iterable[str]) -> Verdict:
    """Compare two collections of ids, each of which must be there once: postback requests, accepted payloads."""
    must, seen = set(wanted), Counter(found)
    lost, strange = sorted(must - seen.keys()), sorted(seen.keys() - must)
    doubled = [one for one, count in seen.items() if count > 1]
    named = [f"{one} is missing" for one in lost[:NAMED]] + [f"{one}: nobody wanted it" for one in strange[:NAMED]]
    named += [f"{one} is there {seen[one]} times" for one in doubled[:NAMED]]
    return Verdict(len(must), len(lost), sum(seen[one] - 1 for one in doubled), len(strange), tuple(named))


def place_of(request: Mapping[str, Any]) -> str:
    """Which conversion is reported to whom."""
    return f"{request['event_id']} to {request['destination_id']}"


def last_told(requests: Iterable[Mapping[str, Any]]) -> list[str]:
    """What each destination was told last of each conversion, as texts that can be counted."""
    told = {place_of(request): request for request in sorted(requests, key=lambda request: int(request["revision"]))}
    return [f"{place}: {request['value']} for {request['click_id']}" for place, request in told.items()]


def is_settled(request: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether it is no chance that this was requested. A conversion that turns out to be none (by a window, an edit or a fraud rule that an answer
    comes late for) may have been reported meanwhile, and is not taken back: rule 12, and tests/model says the same.
    """
    row = rows.get(request["event_id"])
    return row is not None and (row["status"] == "ok" or not row["source_id"].startswith(("brief", "edit", "refer")))
