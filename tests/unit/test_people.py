"""Users and tokens: what a change of them writes, and what is refused. No broker: changes are data."""

import re
from datetime import UTC, datetime

import pytest

from console import filters, people
from streams.runtime.errors import BadSettings
from streams.runtime.settings_diff import hide_secrets
from streams.runtime.settings_store import Change


def user(user_id, role):
    return {"id": user_id, "name": user_id.title(), "email": f"{user_id}@x.example", "role": role}


def entities(*changes):
    return {(change.entity, change.entity_id): change.value for change in changes}


PEOPLE = entities(Change("user", "ann", user("ann", "owner")), Change("user", "bob", user("bob", "viewer")))


def test_a_token_is_kept_as_a_hash_and_finds_its_user():
    token, (change,) = people.minted(PEOPLE, "bob", "laptop")
    assert re.fullmatch(r"ct_[\w-]{43}", token)
    assert token not in str(change)
    assert change.value == {"id": "laptop", "user_id": "bob", "sha256": people.hash_of(token)}
    assert hide_secrets(change.value)["sha256"] == "***"
    with_token = PEOPLE | entities(change)
    assert people.user_of(with_token, token) == PEOPLE["user", "bob"]
    assert people.user_of(with_token, token + "x") is None
    assert people.user_of(PEOPLE, token) is None
    assert people.revoked(with_token, "laptop") == [Change("token", "laptop", None)]


def test_no_two_tokens_are_alike():
    assert len({people.minted(PEOPLE, "bob", "t")[0] for _ in range(100)}) == 100


def test_a_removed_user_leaves_no_token():
    _, (change,) = people.minted(PEOPLE, "bob", "laptop")
    assert people.removed(PEOPLE | entities(change), "bob") == [Change("token", "laptop", None), Change("user", "bob", None)]


def test_users_are_listed_with_what_their_role_lets_them_see():
    _, (change,) = people.minted(PEOPLE, "ann", "laptop")
    rows = people.user_rows(PEOPLE | entities(change, Change("user", "old", user("old", "operator"))))
    assert [(row["id"], row["role"], row["may_read_pii"], row["tokens"]) for row in rows] == [
        ("ann", "owner", True, 1), ("bob", "viewer", False, 0), ("old", "editor", True, 0),
    ]  # fmt: skip


REFUSED = [
    (lambda: people.minted(PEOPLE, "nobody", "t"), "no user 'nobody'"),
    (lambda: people.minted(PEOPLE, "bob", "not an id"), "token not an id.id"),
    (lambda: people.minted(PEOPLE | entities(Change("token", "t", {})), "bob", "t"), "already"),
    (lambda: people.revoked(PEOPLE, "t"), "no token 't'"),
    (lambda: people.removed(PEOPLE, "bop"), "no user 'bop'"),
    (lambda: people.removed(PEOPLE, "ann"), "last owner"),
    (lambda: people.added(PEOPLE, user("ann", "editor")), "last owner"),
    (lambda: people.added(PEOPLE, user("cyd", "root")), "user cyd.role"),
    (lambda: people.added(PEOPLE, user("cyd", "viewer") | {"email": "nowhere"}), "user cyd.email"),
]


@pytest.mark.parametrize(("action", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_is_refused_in_a_sentence(action, said):
    with pytest.raises(BadSettings, match=re.escape(said)):
        action()


def test_the_first_user_and_the_last_one():
    assert people.added({}, user("ann", "viewer")) == [Change("user", "ann", user("ann", "viewer"))]
    assert people.removed(entities(Change("user", "ann", user("ann", "owner"))), "ann") == [Change("user", "ann", None)]


NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TIMES = [
    ("2026-11-25", "2026-11-25 00:00:00.000"),
    ("2026-11-25T10:00:00.5", "2026-11-25 10:00:00.500"),
    ("2026-11-25T10:00+02:00", "2026-11-25 08:00:00.000"),
    ("90m", "2026-11-25 10:30:00.000"),
    ("7d", "2026-11-18 12:00:00.000"),
]


@pytest.mark.parametrize(("text", "found"), TIMES)
def test_times_of_filters(text, found):
    assert filters.moment(text, NOW) == found


@pytest.mark.parametrize("text", ["yesterday", "7y", "2026-13-01", "999999w"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(BadSettings, match="is no time"):
        filters.moment(text)


def test_only_the_filters_that_are_set_count():
    found = filters.where(filters.ACTIVITY, {"entity": "", "author": "ann"})
    assert found == ("author IN {author:Array(String)}", {"author": ["ann"]})
    assert filters.where(filters.ACTIVITY, {}) == ("1", {})


@pytest.mark.parametrize(
    ("word", "found"),
    [("campaign", "campaign"), ("campaigns", "campaign"), ("affiliate_networks", "affiliate_network"), ("Source", "source")],
)
def test_an_entity_is_named_in_one_or_in_many(word, found):
    assert filters.where(filters.ACTIVITY, {"entity": word})[1] == {"entity": [found]}


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ({"entity": "campain"}, "Did you mean campaign?"),
        ({"action": "create"}, "Did you mean created?"),
        ({"autor": "ann"}, "Did you mean author?"),
    ],
)
def test_a_filter_or_a_word_that_does_not_exist_is_refused_with_the_near_one(given, near):
    """C07, C09."""
    with pytest.raises(BadSettings) as caught:
        filters.where(filters.ACTIVITY, given)
    assert caught.value.remedy == near
