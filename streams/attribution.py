"""Attribution: the home of an identifier. Clicks are indexed here, probes find the best of them, watches wait for the late ones.

State, per identifier: {"c": [clicks by time], "w": [watches], "n"?: {day: conversions counted}}. A probe that misses leaves a **watch**; a click that comes later and
fits sends the answer home then; one that does not fit may still say better why there is none (another property's, a later one), and
then the probe travels on once more with that. A probe that hits by anything but a click id leaves one, too: under an e-mail several
clicks may lie, and one that comes late may be better. So the answer that stands in the end is the one that all clicks together give, whichever came
first; an index that lags changes when a row is right, never what it says. Under a click id lies one click: its first record in the
log (visits.v1 is keyed by click id, so that order is fixed); a later visit with the same id does not move the attribution window.

Watches end with the attribution window, by the log's own time (a record's timestamp), never by a clock.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from schemas import reasons
from schemas.event import Identifier
from streams.collect import collect
from streams.lookups import CLICK_ID, Answer, Probe, identifier_key, send_probe
from streams.partition import partition_of
from streams.stage import Outputs, RecordLike, State
from streams.topology import LOOKUPS, MATCHES, VISITS

MAX_CLICKS = 50  # per identifier; the latest stay. An office's IP address has thousands
MAX_WATCHES = 200  # per identifier; the latest stay
MAX_LOSERS = 5  # named in the evidence
MAX_DAYS = 8  # whose conversions are counted, where there is a limit per day
DAY_MS = 86_400_000
UNLIMITED_WATCH_MS = 90 * DAY_MS  # without an attribution window, a late click heals for so long

Click = dict[str, Any]
Watch = dict[str, Any]


class Attribution:
    """The stage: visits fan out to their identifiers, identifiers answer probes."""

    def __init__(self, partitions: int) -> None:
        """`partitions` of lookups.v1."""
        self._partitions = partitions

    def __call__(self, records: Sequence[RecordLike], state: State, out: Outputs) -> None:
        """Judge a chunk of visits.v1 or of lookups.v1."""
        if records[0].topic == VISITS.name:
            collect(records, self._partitions, out)
            return
        for record in records:
            key = b"i:" + (record.key or b"")
            message = orjson.loads(record.value or b"")
            held = state.get(key)
            entry = orjson.loads(held) if held else {"c": [], "w": []}
            if "click" in message:
                changed = self._index(entry, message["click"], record, out)
                if "ids" in message:
                    self._pass_on(entry["c"][0], message["ids"], record.key or b"", out)
            else:
                changed = self._answer(entry, message, record.timestamp, out)
            if changed:
                state.put(key, orjson.dumps(entry))

    def _pass_on(self, click: Click, identifiers: list[Identifier], key: bytes, out: Outputs) -> None:
        """Send the click of this click id to its other identifiers."""
        account, value = key.split(b"|", 1)[0].decode(), orjson.dumps({"click": click})
        for kind, name in identifiers:
            to = identifier_key(account, kind, name)
            out.send(LOOKUPS.name, partition_of(to, self._partitions), to, value)

    def _index(self, entry: dict[str, Any], click: Click, record: RecordLike, out: Outputs) -> bool:
        is_click_id = _kind(record.key) == CLICK_ID
        if not _insert(entry["c"], click, is_click_id):
            return False
        if entry["w"]:
            waiting = [w for w in entry["w"] if w["until"] >= record.timestamp]
            entry["w"] = [w for w in waiting if not self._late(w, click, entry, is_click_id, out)]
        return True

    def _late(self, watch: Watch, click: Click, entry: dict[str, Any], is_click_id: bool, out: Outputs) -> bool:
        """Send home a click that a watch waited for; returns whether the watch is done."""
        best = watch.get("best")
        if why_not(click, watch) is not None:
            if best is None:
                self._explain_anew(watch, entry["c"], out)
            return False
        if best is not None and not _beats(click, best, watch["m"]):
            return False
        watch["best"] = click
        _send_home(watch, click, [best] if best else [], out, is_over=is_click_id and _is_over(entry, watch))
        return is_click_id

    def _explain_anew(self, watch: Watch, clicks: list[Click], out: Outputs) -> None:
        """A miss whose cause is another one, now that more clicks are known: so it does not matter which came first."""
        kind, cause, _ = watch["tried"][-1]
        why = why_missed(clicks, watch)
        if why[0] != cause:
            watch["tried"] = [*watch["tried"][:-1], [kind, *why]]
            self._travel_on({name: value for name, value in watch.items() if name != "until"}, out)

    def _answer(self, entry: dict[str, Any], question: Probe, now_ms: int, out: Outputs) -> bool:
        kind = question["q"][question["n"]][0]
        best, losers = choose(entry["c"], question)
        if best is not None:
            is_click_id = kind == CLICK_ID
            _send_home(question, best, losers, out, is_over=is_click_id and _is_over(entry, question))
            if is_click_id:
                return "l" in question
        else:
            question["tried"].append([kind, *why_missed(entry["c"], question)])
        entry["w"] = [w for w in entry["w"] if w["until"] >= now_ms and w["e"] != question["e"]][-MAX_WATCHES + 1 :]
        span = question["w"] if question["w"] is not None else UNLIMITED_WATCH_MS
        watch = {**question, "until": now_ms + span, "tried": list(question["tried"])}
        if best is not None:
            watch["best"] = best
        entry["w"].append(watch)
        if best is None:
            self._travel_on(question, out)
        return True

    def _travel_on(self, question: Probe, out: Outputs) -> None:
        """A miss goes to the next identifier of its list, or home with all the reasons."""
        if question["n"] + 1 < len(question["q"]):
            send_probe({**question, "n": question["n"] + 1}, self._partitions, out)
        else:
            _send_home(question, None, [], out)


def _is_over(entry: dict[str, Any], question: Probe) -> bool:
    """Count one more conversion of a click id's day; whether it is over the limit that its source sets (none, for most)."""
    if "l" not in question:
        return False
    counts: dict[str, int] = entry.setdefault("n", {})
    day = str(question["t"] // DAY_MS)
    counts[day] = counts.get(day, 0) + 1
    if len(counts) > MAX_DAYS:
        del counts[min(counts, key=int)]
    limit: int = question["l"]
    return counts.get(day, 0) > limit


def _kind(key: bytes | None) -> str:
    return (key or b"").split(b"|", 2)[1].decode()


def _insert(clicks: list[Click], click: Click, is_click_id: bool) -> bool:
    """Add a click in order of time; returns whether anything changed. By e-mail and the like, any order of adding gives the same list."""
    if click in clicks or (is_click_id and clicks):
        return False
    clicks.append(click)
    clicks.sort(key=_order)
    del clicks[:-MAX_CLICKS]
    return True


def _order(click: Click) -> tuple[int, str]:
    return click["t"], click["id"]


def _beats(click: Click, best: Click, model: str) -> bool:
    return _order(click) < _order(best) if model == "first_click" else _order(click) > _order(best)


def why_not(click: Click, question: Probe) -> str | None:
    """Why a click does not count for a conversion (rule 8): None if it does. At exactly click time + window it does."""
    age = question["t"] - click["t"]
    if click["p"] != question["p"]:
        return reasons.OTHER_PROPERTY
    if age < 0:
        return reasons.CLICK_LATER
    if question["w"] is not None and age > question["w"]:
        return reasons.WINDOW_EXPIRED
    return None


def choose(clicks: list[Click], question: Probe) -> tuple[Click | None, list[Any]]:
    """The best click by the property's model, and why the nearest others lost."""
    fits, losers = [], []
    for click in clicks:
        why = why_not(click, question)
        if why is None:
            fits.append(click)
        else:
            losers.append([click["id"], click["t"], why])
    if not fits:
        return None, losers[-MAX_LOSERS:]
    best = fits[0] if question["m"] == "first_click" else fits[-1]
    losers += [[click["id"], click["t"], "not_" + question["m"]] for click in fits if click is not best]
    return best, losers[-MAX_LOSERS:]


def why_missed(clicks: list[Click], question: Probe) -> tuple[str, str | None]:
    """(sub-reason, detail) of a miss: the nearest of the causes that one message hides (rule 10)."""
    by_cause: dict[str, Click] = {}
    for click in clicks:
        why = why_not(click, question)
        if why is not None and (why != reasons.CLICK_LATER or why not in by_cause):
            by_cause[why] = click  # the nearest of each: the latest, and of those behind the conversion the earliest
    if reasons.WINDOW_EXPIRED in by_cause:
        over = question["t"] - by_cause[reasons.WINDOW_EXPIRED]["t"] - question["w"]
        return reasons.WINDOW_EXPIRED, f"by {duration(over)}"
    if reasons.OTHER_PROPERTY in by_cause:
        return reasons.OTHER_PROPERTY, by_cause[reasons.OTHER_PROPERTY]["p"]
    if reasons.CLICK_LATER in by_cause:
        return reasons.CLICK_LATER, f"by {duration(by_cause[reasons.CLICK_LATER]['t'] - question['t'])}"
    return reasons.NEVER_SEEN, None


def duration(ms: int) -> str:
    """A span of time as people say it: 90 ms, 4.2 s, 3 min 20 s, 5 h 10 min, 12 d 3 h."""
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    for unit, sub, name, sub_name in ((DAY_MS, 3_600_000, "d", "h"), (3_600_000, 60_000, "h", "min"), (60_000, 1_000, "min", "s")):
        if ms >= unit:
            rest = ms % unit // sub
            return f"{ms // unit} {name}" + (f" {rest} {sub_name}" if rest else "")
    return f"{ms} ms"


def _send_home(question: Probe, click: Click | None, losers: list[Any], out: Outputs, *, is_over: bool = False) -> None:
    answer: Answer = {
        "e": question["e"], "h": question["h"], "n": question["n"], "m": question["q"][question["n"]][0], "model": question["m"],
        "tried": question["tried"],
    }  # fmt: skip
    if click is not None:
        answer["click"] = click
        answer["tried"] = question["tried"][: question["n"]]  # what was missed before it: its own late coming is no part of the verdict
    if is_over:
        answer["over"] = question["l"]
    if losers:
        answer["losers"] = losers
    if "traceparent" in question:
        answer["traceparent"] = question["traceparent"]
    out.send(MATCHES.name, question["at"], question["h"].encode(), orjson.dumps(answer))
