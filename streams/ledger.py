"""The ledger: the home of an identity. Parse, classify, dedup, settle, fused because none of them needs re-keying.

A payload that is decided without state (more than half of the traffic: pending, rejected, not mapped, unreadable) becomes its row at
once. Any other joins its home, the home is folded anew (`dedup.py`), and what the fold changed becomes rows, probes and postback
requests. An answer from attribution is entered in its home, and the same happens.
"""

from collections.abc import Sequence

import orjson

from schemas.event import Event
from schemas.mapping import TAKEN_BACK, fold
from schemas.reasons import REFERRAL_KIND
from streams import dedup, fraud, restate, settle
from streams.classify import NEEDS_PARENT, judge, trace
from streams.dedup import Entry
from streams.finality import LONE
from streams.home import Held, Home, Homes, split
from streams.identifiers import key as identifier_key
from streams.identifiers import network
from streams.lookups import Answer, identifiers_of, probe, send_probe
from streams.parse import Parser
from streams.parse import home as home_name
from streams.postback import Postbacks
from streams.row import Rows, verdict
from streams.stage import MustWait, Outputs, RecordLike, State
from streams.take_back import take_back
from streams.topology import EVENTS, MATCHES
from streams.workspace import Policy, SettingsBehind, SourceRules, Workspace

DAY_MS = 86_400_000


class SettingsMustCome(MustWait):
    """A payload names settings that this worker has not seen yet."""

    def __init__(self, workspace: Workspace, version: int) -> None:
        super().__init__(f"settings version {version} has not come, the newest is {workspace.version}")
        self._workspace = workspace
        self._version = version

    def ready(self) -> bool:
        """Whether the settings have come."""
        return self._workspace.version >= self._version


class Ledger:
    """The stage."""

    def __init__(self, parser: Parser, workspace: Workspace, partitions: int, pii_key: bytes) -> None:
        """`partitions` of lookups.v1."""
        self._parser = parser
        self._workspace = workspace
        self._partitions = partitions
        self._pii_key = pii_key
        self._postbacks = Postbacks(workspace)
        self._homes = Homes(parser.parse)
        self._rows = Rows()
        self._at = 0  # the partition whose records are judged

    def __call__(self, records: Sequence[RecordLike], state: State, out: Outputs) -> None:
        """Judge a chunk of payloads.v1 or of matches.v1."""
        self._at = records[0].partition
        try:
            if records[0].topic == MATCHES.name:
                for record in records:
                    self._on_answer(orjson.loads(record.value or b""), state, out)
            else:
                parse = self._parser.parse
                for record in records:
                    if record.value is not None:  # else one was erased
                        self._on_event(parse(record), record, state, out)
        except SettingsBehind as behind:
            raise SettingsMustCome(self._workspace, behind.version) from behind

    def _on_event(self, event: Event, record: RecordLike, state: State, out: Outputs) -> None:
        found, steps = judge(event)
        decision = None
        if found is not None and found[0] != NEEDS_PARENT:
            decision = (*found, settle.sub_reason(event, found[0]))
            if not (event["is_test"] and _is_deferred(event)):
                told = self._rows.decided(event["type"], *decision, steps)
                self._emit(split(event), told, 1, out, value=event["value"], click_id=event["click_id"])
                return
        rules = self._rules(event)
        entry = self._entry(event, rules, rules.policies[event["property_id"]])
        if decision is not None:
            entry["d"] = decision
        home = self._homes.open(home_name(event), state)
        home.add(entry, split(event), record)
        self._judge(home, out)

    def _on_answer(self, answer: Answer, state: State, out: Outputs) -> None:
        home = self._homes.open(answer["h"], state)
        for entry in home.entries:
            if entry["id"] == answer["e"]:
                if entry.get("b") and dedup.better(answer, entry.get("a")):
                    entry["a"] = {key: answer[key] for key in ("click", "over", "m", "n", "model", "losers", "tried") if key in answer}
                    self._judge(home, out)
                return

    def _rules(self, event: Event) -> SourceRules:
        rules = self._workspace.source(event["source_id"], event["settings_version"])
        assert rules is not None, "classify has decided events of unknown sources"
        return rules

    def _entry(self, event: Event, rules: SourceRules, policy: Policy) -> Entry:
        entry: Entry = {"id": event["event_id"], "n": event["conversion_name"], "t": event["event_ms"], "u": event["received_ms"]}
        if event["conversion_status"] in TAKEN_BACK:
            entry |= {"k": dedup.TAKEN_BACK, "i": f"B|{event['event_id']}"}
        else:
            identity, window = identity_of(event, rules)
            entry |= {"k": dedup.CONVERSION, "i": identity, "w": window, "x": settle.compared(event)}
            identifiers = identifiers_of(event, policy, self._ip_key(event, policy))
            if not identifiers:
                if event["reference"] is not None:
                    entry["k"] = dedup.BY_REFERENCE
                else:
                    entry["a"] = {}
            if policy.min_click_to_conversion_ms:
                entry["s"] = policy.min_click_to_conversion_ms
            if rules.dedup.mode != "ignore":
                restate.mark(entry, event, rules.dedup.mode)
        _place(entry, event)
        if rules.fraud is not None:
            fraud.mark(entry, event, rules.fraud)
        return entry

    def _ip_key(self, event: Event, policy: Policy) -> str | None:
        if not policy.ip_matching or not event["ip"]:
            return None
        return identifier_key("ip", network(event["ip"]) if policy.ipv6_by_network else event["ip"], self._pii_key)

    def _judge(self, home: Home, out: Outputs) -> None:
        """Fold the home; write rows for what changed, ask what must be asked, keep what may change."""
        verdicts = dedup.fold(home.entries)
        settled = []
        for at, (what, _) in enumerate(verdicts):
            entry = home.entries[at]
            if what == dedup.ASK:
                self._ask(home, entry, out)
            elif what != dedup.WAIT and ("b" in entry or "r" not in entry):
                self._settle(home, at, verdicts, out)
                settled.append(at)
        if len(home.entries) > 1:
            take_back(home, settled, verdicts, self._postbacks, out)
        self._homes.close(home, verdicts)

    def _ask(self, home: Home, entry: Entry, out: Outputs) -> None:
        event, _ = home.event(entry)
        rules = self._rules(event)
        policy = rules.policies[event["property_id"]]
        question = probe(event, policy, home.name, self._at, identifiers_of(event, policy, self._ip_key(event, policy)))
        if rules.fraud is not None and rules.fraud.daily_limit and not event["is_test"]:
            question["l"] = rules.fraud.daily_limit
        if "traceparent" in event:
            question["traceparent"] = event["traceparent"]
        send_probe(question, self._partitions, out)
        entry["a"] = dedup.ASKED

    def _settle(self, home: Home, at: int, verdicts: list[dedup.Verdict], out: Outputs) -> None:
        entries = home.entries
        entry, held = entries[at], home.event(entries[at])
        event = held[0]
        finding = settle.find(event, at, entries, verdicts, trace(event))
        if "z" in entry:
            held = event, _ = restate.settled(held, finding, at, entries, verdicts)
        signature = settle.signature(finding)
        before = entry.get("v")
        if signature == before:
            return
        entry["v"] = signature
        entry["r"] = entry.get("r", 0) + 1
        is_ok = verdicts[at][0] == dedup.OK
        value = event["value"] or ("0" if is_ok else None)
        click_id = finding.get("click_id") or event["click_id"]
        self._emit(held, verdict(finding, event["type"]), entry["r"], out, identity=entry["i"], value=value, click_id=click_id)
        if is_ok and not (
            before and "y" in entry and before == settle.signature({**finding, "parent": None})
        ):  # a link is no news to anybody
            superseded = [other for other, (what, _) in zip(entries, verdicts, strict=True) if what != dedup.OK]
            self._postbacks.request(event, held[1], finding, entry, superseded, out)

    def _emit(
        self,
        held: Held,
        told: bytes,
        revision: int,
        out: Outputs,
        *,
        value: str | None,
        click_id: str | None,
        identity: str | None = None,
    ) -> None:
        event, body = held
        row = self._rows.made(event, body, told, revision, identity=identity, value=value, click_id=click_id)
        out.send(EVENTS.name, event["partition"], event["event_id"].encode(), row)


def _place(entry: Entry, event: Event) -> None:
    """Note what of its home an entry is about: test or live, a business id of its own or none."""
    if event["is_test"]:
        entry["test"] = True
    if event["reference"] is None:
        if event["transaction_id"] is None:
            entry["o"] = True
    elif event["transaction_id"] != event["reference"] and (event["transaction_id"] or entry["k"] != dedup.TAKEN_BACK):
        entry["y"] = event["transaction_id"] or ""


def _is_deferred(event: Event) -> bool:
    """Whether a test has something to be looked up by: then its decision waits for that (A11: only tests that resolve are more than that)."""
    return event["problem"] is None and (event["click_id"] is not None or bool(event["refs"]))


def identity_of(event: Event, rules: SourceRules) -> tuple[str, int | None]:
    """(identity, dedup window in ms) within its home (rules 4 and 5): by transaction id, else click and value, else the bytes; in mode
    `create`, its own. A member's link is the click id of many customers and makes nobody's referral a duplicate of another's.

    Tests have identities of their own: a recorded test never makes a live conversion a duplicate. The mark stands in the first part,
    which senders do not write, and their `|` is escaped: no value can make one identity look like another.
    """
    policy = rules.dedup
    test = ".test" if event["is_test"] else ""
    if policy.mode == "create":
        return f"{LONE}{test}|{event['event_id']}", _window(policy.transaction_window_days)
    conversion = _part(str(event["conversion_name"]))
    if event["transaction_id"] is not None:
        extra = "".join(f"|{_part(_attribute(event['parameters'], name))}" for name in policy.attributes) if policy.attributes else ""
        return f"T{test}|{conversion}|{_part(event['transaction_id'])}{extra}", _window(policy.transaction_window_days)
    if event["click_id"] is not None and policy.without_transaction_id == "click_and_value" and event["type"] != REFERRAL_KIND:
        return f"C{test}|{conversion}|{_part(event['click_id'])}|{event['value']}|{event['currency']}", _ms(policy.click_window_s)
    return f"P{test}|{event['fingerprint']}", _ms(policy.payload_window_s)


def _attribute(parameters: dict[str, str], name: str) -> str:
    """A parameter by its name, which is compared as the mapping compares names: a look-alike taken for absent would merge two sales."""
    if name in parameters:
        return parameters[name]
    wanted = fold(name)
    return next((value for given, value in parameters.items() if fold(given) == wanted), "")


def _part(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|") if "|" in text or "\\" in text else text


def _window(days: float | None) -> int | None:
    return None if days is None else int(days * DAY_MS)


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)
