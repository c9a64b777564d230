"""The fold over a home, as tables: entries in, verdicts out. No stage, no state; answers are written into the entries."""

import itertools

import pytest

from streams import dedup
from streams.dedup import ASK, ASKED, DECIDED, DUPLICATE, LINKED, MISS, OK, ORPHAN, TOO_SOON, WAIT, better, fold, order_of
from streams.finality import MAX_HEALABLE, bounded, claims, final

NONE = {"tried": []}


def hit(click="K", n=0, m="click_id", t=0, model="last_click"):
    return {"click": {"id": click, "t": t, "p": "p1"}, "m": m, "n": n, "model": model, "tried": []}


def miss(*tried):
    return {"tried": list(tried or [["click_id", "never_seen", None]])}


def sale(answer=None, i="T|Purchase|T1", **more):
    entry = {"k": dedup.CONVERSION, "i": i, "n": "Purchase", "t": 1_000, "u": 1_000, "w": None}
    return entry | ({} if answer is None else {"a": answer}) | more


def rebill(i="T|Rebill|T2", **more):
    return {"k": dedup.BY_REFERENCE, "i": i, "n": "Rebill", "t": 1_000, "u": 1_000, "w": None, **more}


def refund(n="Purchase", **more):
    return {"k": dedup.TAKEN_BACK, "i": f"B|{next(_count)}", "n": n, "t": 1_000, "u": 1_000, **more}


def upsell(i="T|Upsell|T5", **more):
    return sale(hit(), **{"i": i, "n": "Upsell", "y": "T5", **more})


_count = itertools.count()


def home(*entries):
    return [{"id": f"e1-0-{at}", **entry} for at, entry in enumerate(entries)]


@pytest.mark.parametrize(
    ("entries", "verdicts"),
    [
        ([], []),
        ([sale()], [(ASK, -1)]),
        ([sale(ASKED)], [(WAIT, -1)]),
        ([sale(hit())], [(OK, -1)]),
        ([sale(miss())], [(MISS, -1)]),
        ([sale(NONE)], [(MISS, -1)]),
        # rule 2, A12: the first that finds its click is recorded, those behind are duplicates, those before are errors
        ([sale(hit()), sale()], [(OK, -1), (DUPLICATE, 0)]),
        ([sale(miss()), sale(hit()), sale(miss())], [(MISS, -1), (OK, -1), (DUPLICATE, 1)]),
        ([sale(miss()), sale(), sale()], [(MISS, -1), (ASK, -1), (WAIT, -1)]),
        # while one is out, those behind it are parked and not even asked
        ([sale(ASKED), sale(), sale(hit())], [(WAIT, -1), (WAIT, -1), (WAIT, -1)]),
        # another identity of the home does not wait
        ([sale(ASKED), sale(i="T|Lead|T1")], [(WAIT, -1), (ASK, -1)]),
        # a fraud rule's hit is no recorded conversion
        ([sale(hit(t=995), s=10), sale(hit(t=990), s=10)], [(TOO_SOON, -1), (OK, -1)]),
        # tests: resolved first, whatever else; a decision that waited comes out only when it resolves
        ([sale(hit(), test=True, d=["wrong_status", "pending", None])], [(DECIDED, -1)]),
        ([sale(miss(), test=True, d=["wrong_status", "pending", None])], [(MISS, -1)]),
        ([sale(hit(), test=True, i="x"), sale(miss(), test=True, i="x"), sale(hit(), test=True, i="x")], [(OK, -1), (MISS, -1), (DUPLICATE, 0)]),
    ],
)  # fmt: skip
def test_conversions(entries, verdicts):
    """Rule 2, A11, A12, R11."""
    assert fold(home(*entries)) == verdicts


@pytest.mark.parametrize(
    ("window", "gap", "what"),
    [(None, 10**12, DUPLICATE), (5_000, 4_999, DUPLICATE), (5_000, 5_000, DUPLICATE), (5_000, 5_001, OK), (0, 0, DUPLICATE), (0, 1, OK), (5_000, -3, DUPLICATE)],
)  # fmt: skip
def test_the_edges_of_the_window(window, gap, what):
    """A13: a window is fixed from the first recorded one, its last millisecond is in; it is the first one's window that counts."""
    first, second = sale(hit(), w=window), sale(hit(), w=7, u=1_000 + gap)
    assert fold(home(first, second))[1][0] == what


def test_a_window_does_not_slide():
    entries = home(*(sale(hit(), w=10, u=u) for u in (0, 8, 10, 11, 21, 22)))
    assert fold(entries) == [(OK, -1), (DUPLICATE, 0), (DUPLICATE, 0), (OK, -1), (DUPLICATE, 3), (OK, -1)]


@pytest.mark.parametrize(
    ("entries", "verdicts"),
    [
        ([refund()], [(ORPHAN, -1)]),
        ([sale(hit()), refund()], [(OK, -1), (LINKED, 0)]),
        ([refund(), sale(hit())], [(LINKED, 1), (OK, -1)]),  # a refund before its sale
        ([sale(miss()), refund()], [(MISS, -1), (ORPHAN, -1)]),  # a refund of an error
        ([sale(ASKED), refund()], [(WAIT, -1), (WAIT, -1)]),
        ([refund(), sale(ASKED)], [(ORPHAN, -1), (WAIT, -1)]),  # its row is there at once, and is revised
        ([sale(hit()), refund(), refund()], [(OK, -1), (LINKED, 0), (LINKED, 0)]),  # never deduplicated
        ([sale(hit()), sale(hit()), refund()], [(OK, -1), (DUPLICATE, 0), (LINKED, 0)]),
        # by name; of another name, the first before it
        ([sale(hit(), i="T|Lead|T1", n="Lead"), sale(hit()), refund(), refund("Lead"), refund("RFND")],
         [(OK, -1), (OK, -1), (LINKED, 1), (LINKED, 0), (LINKED, 0)]),
        # what is before goes before what is behind, even of the right name
        ([sale(hit(), i="T|Lead|T1", n="Lead"), refund(), sale(hit())], [(OK, -1), (LINKED, 0), (OK, -1)]),
        # a test's refund and a live one do not meet
        ([sale(hit(), test=True, i="t"), refund()], [(OK, -1), (ORPHAN, -1)]),
        ([sale(hit()), refund(test=True)], [(OK, -1), (ORPHAN, -1)]),
        # nor do a transaction id and a click id of the same text
        ([sale(hit(), i="C|Purchase|T1|1|USD", o=True), refund()], [(OK, -1), (ORPHAN, -1)]),
        ([sale(hit()), refund(o=True)], [(OK, -1), (ORPHAN, -1)]),
        ([sale(hit(), o=True), refund(o=True)], [(OK, -1), (LINKED, 0)]),
        # an order of items: by the refund's own transaction id, else the one that the reference means, else any of the order
        ([sale(hit(), i="1", y="I1"), sale(hit(), i="2", y="I2"), refund(y="I2")], [(OK, -1), (OK, -1), (LINKED, 1)]),
        ([sale(hit(), i="1", y="I1"), sale(hit(), i="2"), refund(y="R9")], [(OK, -1), (OK, -1), (LINKED, 1)]),
        ([sale(hit(), i="1", y="I1"), refund(y="R9")], [(OK, -1), (LINKED, 0)]),
    ],
)  # fmt: skip
def test_what_takes_back(entries, verdicts):
    """Rule 3, A32, A33."""
    assert fold(home(*entries)) == verdicts


@pytest.mark.parametrize(
    ("entries", "verdicts"),
    [
        ([rebill()], [(ORPHAN, -1)]),
        ([sale(hit()), rebill()], [(OK, -1), (OK, 0)]),
        ([sale(hit()), rebill(), rebill()], [(OK, -1), (OK, 0), (DUPLICATE, 1)]),
        ([sale(hit()), rebill(), refund("Rebill"), refund()], [(OK, -1), (OK, 0), (LINKED, 1), (LINKED, 0)]),
        ([sale(ASKED), rebill(), rebill()], [(WAIT, -1), (WAIT, -1), (WAIT, -1)]),
        # it may come first, and then it is recorded in its own place: what is behind it is a duplicate
        ([rebill(), rebill(), sale(hit())], [(OK, 2), (DUPLICATE, 0), (OK, -1)]),
        ([rebill(), sale(miss(), i="T|Rebill|T2"), sale(hit())], [(OK, 2), (DUPLICATE, 0), (OK, -1)]),
        ([rebill(), sale(hit()), sale(hit(), i="T|Rebill|T2")], [(OK, 1), (OK, -1), (DUPLICATE, 0)]),
        ([sale(hit()), rebill(), sale(hit(), i="T|Rebill|T2")], [(OK, -1), (OK, 0), (DUPLICATE, 1)]),
        # nobody is his own parent, and what was recorded behind it stays so
        ([rebill(), sale(hit(), i="T|Rebill|T2")], [(ORPHAN, -1), (OK, -1)]),
        ([rebill(), sale(hit(), i="T|Rebill|T2"), sale(hit())], [(ORPHAN, -1), (OK, -1), (OK, -1)]),
        # no parent: a test, a conversion of a click id of the same text, another rebill
        ([sale(hit(), test=True), rebill()], [(OK, -1), (ORPHAN, -1)]),
        ([sale(hit(), o=True), rebill()], [(OK, -1), (ORPHAN, -1)]),
        ([rebill(), rebill("T|Rebill|T3")], [(ORPHAN, -1), (ORPHAN, -1)]),
        ([rebill(), rebill("T|Rebill|T3"), sale(hit())], [(OK, 2), (OK, 2), (OK, -1)]),
    ],
)  # fmt: skip
def test_what_is_known_by_reference(entries, verdicts):
    """Rule 7, A32: an event reference only. Rule 2: in log order with all others."""
    assert fold(home(*entries)) == verdicts


@pytest.mark.parametrize(
    ("entries", "order"),
    [
        ([sale(hit()), upsell()], "e1-0-0"),
        ([upsell()], None),
        ([sale(miss()), upsell()], None),
        ([sale(miss()), sale(hit()), upsell()], "e1-0-1"),
        ([sale(hit(), i="T|Lead|T1", n="Lead"), sale(hit()), upsell()], "e1-0-0"),  # the first of the order
        ([upsell(i="T|Upsell|T4", y="T4"), upsell()], None),  # of each other they are not
        ([sale(hit(), test=True), upsell()], None),
        ([sale(hit(), o=True), upsell()], None),
        ([sale(hit(), h="email", y="T1"), upsell(h="email")], None),  # a customer's home is no order
    ],
)
def test_the_order_of_a_rebill_or_upsell(entries, order):
    """It is a conversion by its own click; the order that it names is a link, if it is there already."""
    entries = home(*entries)
    assert order_of(len(entries) - 1, entries, fold(entries)) == order


@pytest.mark.parametrize(
    ("entries", "finals"),
    [
        ([sale(hit())], [True]),  # a click id names one click
        ([sale(hit(m="email"))], [False]),  # a better click may come late
        ([sale(miss())], [False]),
        ([sale(NONE)], [True]),  # there was nothing to look for
        ([sale(ASKED)], [False]),
        ([sale(hit()), sale()], [True, True]),
        ([sale(hit(m="email")), sale()], [False, False]),
        ([sale(miss()), sale(hit())], [False, False]),  # it may yet become a duplicate
        ([sale(miss(), i="x"), sale(hit())], [False, True]),
        ([refund()], [False]),
        ([sale(hit()), refund()], [True, True]),
        ([sale(miss(), i="x"), sale(hit()), refund()], [False, True, False]),  # the one that heals may be nearer
        ([sale(hit()), refund(), sale(ASKED, i="x")], [True, True, False]),  # what comes behind is farther
        ([refund(), sale(miss(), i="x"), sale(hit())], [False, False, True]),
        ([sale(hit()), rebill(), sale(ASKED, i="x")], [True, True, False]),
        ([sale(hit()), rebill(), refund("Rebill")], [True, True, True]),
        ([sale(hit(m="email")), rebill(), rebill(), refund()], [False, False, False, False]),
        ([rebill(), sale(hit(), i="T|Rebill|T2")], [False, False]),
        ([sale(hit()), upsell()], [True, True]),
        ([sale(miss()), upsell(), upsell()], [False, False, False]),
        ([upsell(), sale(miss())], [True, False]),
        ([sale(hit(t=995), s=10)], [True]),
        ([sale(hit(), test=True, d=["x", None, None])], [True]),
    ],
)
def test_what_is_final(entries, finals):
    """What nothing can change any more needs its event no longer."""
    entries = home(*entries)
    assert final(entries, fold(entries)) == finals


def test_what_is_final_stays_as_it_is():
    """Whatever answers come and whatever payloads follow: exhaustively over small homes. Else its row could not be revised."""
    kinds = [sale(), sale(i="T|Lead|T1", n="Lead"), rebill(), sale(i="T|Rebill|T2", n="Rebill"), refund(), refund("Rebill")]
    kinds += [sale(i="T|Upsell|T5", n="Upsell", y="T5")]
    answers = [hit(), hit(m="email"), miss(), NONE]
    now = [kind | extra for kind in kinds for extra in ([{}] if kind["k"] != dedup.CONVERSION else [{"a": a} for a in answers])]
    checked = 0
    for entries in itertools.product(now, repeat=3):
        before = home(*entries)
        verdicts = fold(before)
        finals = final(before, verdicts)
        if not any(finals):
            continue
        for later in late_forms(before):
            after = fold(later)
            checked += 1
            for at, is_final in enumerate(finals):
                assert not is_final or after[at] == verdicts[at], (before, later, at)
                if is_final and verdicts[at] == (OK, -1) and "y" in before[at]:
                    assert order_of(at, later, after) == order_of(at, before, verdicts), (before, later, at)
    assert checked > 5_000


def late_forms(entries):
    """The home with each miss healed, and with one more payload of each kind behind it."""
    for at, entry in enumerate(entries):
        if entry.get("a", {}).get("tried"):
            yield [*entries[:at], entry | {"a": hit()}, *entries[at + 1 :]]
    for more in (sale(hit()), sale(ASKED, i="T|Lead|T1", n="Lead"), rebill(), sale(hit(), i="T|Rebill|T2", n="Rebill")):
        yield [*entries, {"id": "e1-0-9", **more}]


def test_at_most_one_of_an_identity_is_asked_and_at_most_one_is_recorded():
    """Without windows: exhaustively over small homes."""
    kinds = [sale(), sale(ASKED), sale(hit()), sale(miss()), rebill("T|Purchase|T1"), sale(hit(), i="x"), refund()]
    for entries in itertools.product(kinds, repeat=4):
        verdicts = fold(home(*entries))
        for what in (ASK, OK):
            named = [entry["i"] for entry, (verdict, _) in zip(entries, verdicts, strict=True) if verdict == what]
            assert len(named) == len(set(named)), (what, entries)
        assert all(target < at for at, (what, target) in enumerate(verdicts) if what == DUPLICATE), "a duplicate of a later one"


def test_claims_are_the_recorded_ones_without_what_only_revisions_need():
    entries = home(sale(hit(), b=1, s=5, d=None), sale(b=1), refund())
    assert claims(entries, fold(entries)) == [{"id": "e1-0-0", **sale(hit())}]


@pytest.mark.parametrize("extra", [0, 1, 3])
def test_an_open_home_is_bounded(extra):
    """A hostile sender: the newest misses stand from now on; what claims or waits stays."""
    entries = home(*[sale(miss())] * (MAX_HEALABLE + extra), sale(hit(), i="x"), sale(ASKED, i="y"))
    verdicts = fold(entries)
    kept = bounded(entries, verdicts, final(entries, verdicts))
    assert len(kept) == MAX_HEALABLE
    assert kept[: MAX_HEALABLE - 2] == entries[: MAX_HEALABLE - 2]
    assert kept[-2:] == entries[-2:]


def test_what_waits_is_never_dropped():
    entries = home(*[sale(ASKED)] * (MAX_HEALABLE + 5))
    verdicts = fold(entries)
    assert bounded(entries, verdicts, final(entries, verdicts)) == entries


@pytest.mark.parametrize(
    ("new", "old", "is_better"),
    [
        (hit(), None, True),
        (miss(), ASKED, True),
        (miss(["click_id", "other_property", "p2"]), miss(), True),  # a cause that is known better
        (miss(), hit(), False),
        (hit(), miss(), True),
        (hit(n=1, m="phone"), hit(n=0, m="email"), False),
        (hit(n=0, m="email"), hit(n=1, m="phone"), True),
        (hit("B", t=5), hit("A", t=4), True),
        (hit("A", t=4), hit("B", t=5), False),
        (hit("B", t=4), hit("A", t=4), True),  # the same moment: by id, so that the order of arrival does not matter
        (hit("A", t=4), hit("A", t=4), False),
        (hit("A", t=4, model="first_click"), hit("B", t=5), True),
        (hit("B", t=5, model="first_click"), hit("A", t=4), False),
    ],
)
def test_which_answer_is_better(new, old, is_better):
    assert better(new, old) is is_better
