"""The short form of `python -m bench fuzz`: the same mutator, some thousand payloads, and a proof that it would see a crash."""

from collections import Counter

from bench import fuzz

SEED, COUNT = 20261125, 6_000


def test_mutated_payloads_are_all_accounted_for():
    """Zero crashes; each payload has one current row; every postback that comes of it can be populated."""
    done = fuzz.work(COUNT, SEED)
    assert done["crashes"] == []
    assert sum(done["outcomes"].get(word, 0) for word in fuzz.WORDS) == COUNT
    assert done["outcomes"].keys() >= {"ok", "deduplicated", "discarded", "error", "postbacks"}, "it reaches every status"


def test_a_crash_is_seen_and_named(monkeypatch):
    """A stage that raises for one payload is found, with the payload alone."""
    story = next(each for each in fuzz.stories() if each.name == "ok-recorded")
    bad = story.seeds[0]._replace(value=b"boom")

    def broken(memory, source, value, **more):
        if value == b"boom":
            raise RecursionError
        return real(memory, source, value, **more)

    real = fuzz.Memory.payload
    monkeypatch.setattr(fuzz.Memory, "payload", broken)
    found = fuzz.culprits(story, story.workspace, [story.seeds[0], bad])
    assert [(crash["example"], crash["payload"]) for crash in found] == [("ok-recorded", "Ym9vbQ==")]
    fuzz.one_round(story, story.workspace, [story.seeds[0]], Counter())
