"""The identifier index: clicks and probes in, answers and watches out; and that the answer does not depend on which came first."""

import itertools

import orjson
import pytest

from streams import attribution
from streams.attribution import Attribution, choose, duration, why_missed, why_not
from streams.runtime.memory import MemoryState
from streams.stage import Outputs, Record
from streams.topology import LOOKUPS, MATCHES, VISITS

DAY = 86_400_000
T = 100 * DAY


def click(name="K", t=T - DAY, p="p1", **more):
    return {"id": name, "t": t, "p": p, **more}


def question(*identifiers, t=T, p="p1", window=30 * DAY, model="last_click", event="e1-0-0"):
    return {
        "e": event, "h": "acme|p1|T1", "at": 3, "t": t, "p": p, "w": window, "m": model, "a": "acme",
        "q": [list(i) for i in identifiers or (("email", "ann"),)], "n": 0, "tried": [],
    }  # fmt: skip


class Index:
    """One partition that holds every identifier: probes that travel on come back to it."""

    def __init__(self):
        self.stage = Attribution(1)
        self.state = MemoryState()
        self.count = 0

    def click(self, item, identifier=("email", "ann"), now=T):
        return self._judge("acme|{}|{}".format(*identifier), {"click": item}, now)

    def ask(self, probe, now=T):
        kind, key = probe["q"][probe["n"]]
        return self._judge(f"acme|{kind}|{key}", probe, now)

    def _judge(self, key, message, now):
        """The answers that a message leads to."""
        waiting, answers = [(key.encode(), orjson.dumps(message))], []
        while waiting:
            to, value = waiting.pop(0)
            out = Outputs()
            self.stage([Record(LOOKUPS.name, 0, self.count, now, to, value)], self.state, out)
            self.count += 1
            for topic, _, at, sent, _ in out:
                if topic == MATCHES.name:
                    answers.append(orjson.loads(sent))
                else:
                    waiting.append((at, sent))
        return answers

    def watches(self, identifier="email|ann"):
        return orjson.loads(self.state[f"i:acme|{identifier}".encode()])["w"]


def found(answers):
    return [(answer.get("click", {}).get("id"), answer["m"], answer["n"]) for answer in answers]


@pytest.mark.parametrize(
    ("age", "window", "why"),
    [
        (0, 30 * DAY, None),  # exactly at the conversion time
        (1, 30 * DAY, None),
        (-1, 30 * DAY, "click_later"),
        (-1, None, "click_later"),
        (30 * DAY, 30 * DAY, None),  # exactly click time + window is in
        (30 * DAY - 1, 30 * DAY, None),
        (30 * DAY + 1, 30 * DAY, "window_expired"),
        (3650 * DAY, None, None),
        (0, 0, None),
        (1, 0, "window_expired"),
    ],
)
def test_the_edges_of_the_window(age, window, why):
    """Rule 8, A37: to the millisecond."""
    probe = question(window=window)
    assert why_not(click(t=T - age), probe) == why
    assert why_not(click(t=T - age, p="p2"), probe) == "other_property"


@pytest.mark.parametrize(
    ("clicks", "said"),
    [
        ([], ("never_seen", None)),
        ([click(t=T - 31 * DAY)], ("window_expired", "by 1 d")),
        ([click("A", t=T - 40 * DAY), click("B", t=T - 30 * DAY - 90)], ("window_expired", "by 90 ms")),  # the nearest
        ([click(p="p2")], ("other_property", "p2")),
        ([click(t=T + 4_200)], ("click_later", "by 4.2 s")),
        ([click("A", t=T + 200_000), click("B", t=T + 9 * DAY)], ("click_later", "by 3 min 20 s")),  # the nearest
        ([click("A", p="p2"), click("B", t=T + 1)], ("other_property", "p2")),
        ([click("A", t=T - 31 * DAY), click("B", p="p2"), click("C", t=T + 1)], ("window_expired", "by 1 d")),
    ],
)
def test_why_it_was_missed(clicks, said):
    """Rule 10: one message hides several causes."""
    assert why_missed(clicks, question()) == said


def test_models_and_losers():
    """A22: the evidence names the others, and why they lost."""
    clicks = [click("A", t=1), click("B", t=T - 3), click("C", t=T - 2), click("D", t=T - 1, p="p2"), click("E", t=T + 1)]
    best, losers = choose(clicks, question())
    assert best["id"] == "C"
    assert losers == [
        ["A", 1, "window_expired"],
        ["D", T - 1, "other_property"],
        ["E", T + 1, "click_later"],
        ["B", T - 3, "not_last_click"],
    ]
    best, losers = choose(clicks, question(model="first_click"))
    assert best["id"] == "B"
    assert losers[-1] == ["C", T - 2, "not_first_click"]


def test_a_hit_by_click_id_is_final_and_leaves_no_watch():
    index = Index()
    index.click(click(), ("click_id", "K"))
    before = dict(index.state)
    assert found(index.ask(question(("click_id", "K")))) == [("K", "click_id", 0)]
    assert index.state == before


def test_the_first_record_of_a_click_id_is_the_click():
    """A later visit with the same id does not move the attribution window."""
    index = Index()
    index.click(click("K", t=T - 40 * DAY), ("click_id", "K"))
    index.click(click("K", t=T - DAY), ("click_id", "K"))
    [answer] = index.ask(question(("click_id", "K")))
    assert answer["tried"] == [["click_id", "window_expired", "by 10 d"]]


def test_a_probe_travels_on_until_one_knows():
    """A23: e-mail, phone, external ids; what was tried before is told."""
    index = Index()
    index.click(click(), ("external_id", "x"))
    [answer] = index.ask(question(("email", "ann"), ("phone", "1"), ("external_id", "x")))
    assert found([answer]) == [("K", "external_id", 2)]
    assert answer["tried"] == [["email", "never_seen", None], ["phone", "never_seen", None]]
    [answer] = index.ask(question(("email", "eve"), ("phone", "2"), event="e1-0-1"))
    assert "click" not in answer
    assert answer["tried"] == [["email", "never_seen", None], ["phone", "never_seen", None]]


def test_a_late_click_is_sent_home_once():
    index = Index()
    index.ask(question(("click_id", "K")))
    assert found(index.click(click(), ("click_id", "K"))) == [("K", "click_id", 0)]
    assert index.click(click(t=T - 2), ("click_id", "K")) == []
    assert index.watches("click_id|K") == []


@pytest.mark.parametrize(("model", "sent"), [("last_click", ["B", "C"]), ("first_click", ["B", "A"])])
def test_late_clicks_only_better_it(model, sent):
    """Under an e-mail several clicks may lie, and one that comes late may be better."""
    index = Index()
    index.ask(question(model=model))
    late = [click("B", t=T - 20), click("A", t=T - 30), click("C", t=T - 10), click("D", t=T + 1), click("E", p="p2")]
    assert [answer["click"]["id"] for item in late for answer in index.click(item)] == sent


def test_a_better_identifier_betters_a_hit():
    index = Index()
    index.click(click("P"), ("phone", "1"))
    assert found(index.ask(question(("email", "ann"), ("phone", "1")))) == [("P", "phone", 1)]
    assert found(index.click(click("E"))) == [("E", "email", 0)]


def test_a_late_click_that_does_not_fit_says_why():
    """Rule 10, whatever came first; the probe goes the rest of its way again with the cause that is known now."""
    index = Index()
    index.ask(question(("email", "ann"), ("phone", "1")))
    [answer] = index.click(click(p="p2"))
    assert answer["tried"] == [["email", "other_property", "p2"], ["phone", "never_seen", None]]
    assert index.click(click("L", p="p2", t=T - 7)) == [], "the same cause again is nothing new"
    [answer] = index.click(click(t=T - 31 * DAY), ("phone", "1"))
    assert answer["tried"] == [["email", "other_property", "p2"], ["phone", "window_expired", "by 1 d"]]
    assert [len(index.watches(key)) for key in ("email|ann", "phone|1")] == [1, 1], "one watch per event, however often it came by"
    assert found(index.click(click("H"))) == [("H", "email", 0)]


def test_watches_end_with_the_window_by_the_time_of_the_log():
    index = Index()
    index.ask(question(window=DAY), now=T)
    assert index.click(click("A", t=T - 1), now=T + DAY + 1) == []
    index = Index()
    index.ask(question(window=DAY), now=T)
    assert found(index.click(click("A", t=T - 1), now=T + DAY)) == [("A", "email", 0)]
    index.ask(question(event="e1-0-7", window=None), now=T)
    assert index.watches()[-1]["until"] == T + attribution.UNLIMITED_WATCH_MS


def test_clicks_of_an_identifier_are_bounded():
    """An office's address has thousands; the latest stay."""
    index = Index()
    for n in range(attribution.MAX_CLICKS + 10):
        index.click(click(f"K{n:03}", t=T - 1000 + n))
    clicks = orjson.loads(index.state[b"i:acme|email|ann"])["c"]
    assert len(clicks) == attribution.MAX_CLICKS
    assert (clicks[0]["id"], clicks[-1]["id"]) == ("K010", "K059")
    [answer] = index.ask(question())
    assert answer["click"]["id"] == "K059"
    assert len(answer["losers"]) == attribution.MAX_LOSERS


def test_watches_of_an_identifier_are_bounded():
    """A sender that invents conversions of one e-mail; the latest stay."""
    index = Index()
    for n in range(attribution.MAX_WATCHES + 5):
        index.ask(question(event=f"e1-0-{n}"))
    assert [watch["e"] for watch in index.watches()][:1] == ["e1-0-5"]
    assert len(index.click(click())) == attribution.MAX_WATCHES


def test_an_answer_goes_to_the_partition_that_asked():
    out = Outputs()
    Attribution(1)([Record(LOOKUPS.name, 0, 0, T, b"acme|email|ann", orjson.dumps(question()))], MemoryState(), out)
    [(topic, partition, key, _, headers)] = list(out)
    assert (topic, partition, key, headers) == (MATCHES.name, 3, b"acme|p1|T1", [])


CLICKS = [
    (click("A", t=T - 5), ("email", "ann")),
    (click("B", t=T - 5), ("email", "ann")),
    (click("C", t=T - 40 * DAY), ("click_id", "C")),
    (click("D", t=T - 9, p="p2"), ("email", "ann")),
    (click("E", t=T + 9), ("phone", "1")),
    (click("F", t=T - 7), ("phone", "1")),
]
PROBE = question(("click_id", "C"), ("email", "ann"), ("phone", "1"))


@pytest.mark.parametrize("chosen", itertools.chain(itertools.combinations(range(6), 2), itertools.combinations(range(6), 3)))
@pytest.mark.parametrize("model", ["last_click", "first_click"])
def test_any_order_of_clicks_and_probe_ends_in_the_same_answer(chosen, model):
    """The click or the causes that stand in the end are those that all clicks together give."""
    ends = set()
    for order in itertools.permutations([*chosen, None]):
        index, best = Index(), None
        for at in order:
            said = index.ask({**PROBE, "m": model, "tried": []}) if at is None else index.click(*CLICKS[at])
            for answer in said:
                best = answer if better(answer, best) else best
        causes = None if "click" in best else tuple(cause for _, cause, _ in best["tried"])
        ends.add((best.get("click", {}).get("id"), best["n"] if "click" in best else None, causes))
    assert len(ends) == 1, ends


def better(answer, best):
    from streams.dedup import better as rule

    return rule(answer, best)


@pytest.mark.parametrize(
    ("ms", "said"),
    [(0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (59_940, "59.9 s"), (60_000, "1 min"), (200_000, "3 min 20 s"), (3_600_000, "1 h"),
     (18_600_000, "5 h 10 min"), (DAY, "1 d"), (12 * DAY + 3 * 3_600_000, "12 d 3 h")],
)  # fmt: skip
def test_spans_of_time(ms, said):
    assert duration(ms) == said


def visit(**more):
    return {
        "visit_id": "v1", "click_id": "K", "occurred_ms": T, "property_id": "p1", "account_id": "acme", "identifiers": [], "campaign_id": None,
        "traffic_source_id": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "keys", "summary"),
    [
        ({}, ["acme|click_id|K"], {"id": "K", "t": T, "p": "p1"}),
        ({"click_id": None}, ["acme|click_id|v1"], {"id": "v1", "t": T, "p": "p1"}),  # rule 11: an ok row always has a click id
        ({"identifiers": [["email", "a"], ["ip", "b"]]}, ["acme|click_id|K", "acme|email|a", "acme|ip|b"], {"id": "K", "t": T, "p": "p1"}),
        ({"campaign_id": "c1", "traffic_source_id": "s1"}, ["acme|click_id|K"], {"id": "K", "t": T, "p": "p1", "c": "c1", "s": "s1"}),
        ({"account_id": "rival"}, ["rival|click_id|K"], {"id": "K", "t": T, "p": "p1"}),
        ({"click_id": "a|b"}, ["acme|click_id|a|b"], {"id": "a|b", "t": T, "p": "p1"}),
    ],
)
def test_a_visit_goes_to_its_click_and_on_to_its_identifiers(changes, keys, summary):
    """C03, A22: where a conversion will look for it."""
    stage, first, passed_on = Attribution(4), Outputs(), Outputs()
    stage([Record(VISITS.name, 0, 0, T, b"K", orjson.dumps(visit(**changes)))], MemoryState(), first)
    [(topic, partition, key, value, _)] = first
    stage([Record(topic, partition, 0, T, key, value)], MemoryState(), passed_on)
    assert [key.decode(), *sorted(to.decode() for _, _, to, _, _ in passed_on)] == keys
    assert orjson.loads(value)["click"] == summary
    assert all(orjson.loads(said) == {"click": summary} for _, _, _, said, _ in passed_on)
    assert {topic, *(to for to, *_ in passed_on)} == {LOOKUPS.name}


def test_what_is_collected_later_is_found_by_the_click():
    """Rule 8: the form was filled in later; the window runs from the click, and so does the campaign."""
    stage, state, out = Attribution(4), MemoryState(), Outputs()
    for at, message in enumerate(({"click": click("K", t=T)}, {"click": click("K", t=T + 9 * DAY), "ids": [["email", "a"]]})):
        stage([Record(LOOKUPS.name, 0, at, T, b"acme|click_id|K", orjson.dumps(message))], state, out)
    [(_, _, key, value, _)] = out
    assert (key, orjson.loads(value)) == (b"acme|email|a", {"click": click("K", t=T)})
