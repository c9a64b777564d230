"""Role x permission, as one table that a person can check by reading it."""

import pytest

from schemas.entities import User
from schemas.permissions import OLD_ROLES, PERMISSIONS, ROLES, may

TABLE = {  #               viewer analyst editor owner
    "read_log":          (True,  True,  True,  True),
    "read_pii":          (False, True,  True,  True),
    "export":            (False, True,  True,  True),
    "query_sql":         (False, True,  True,  True),
    "try_rules":         (False, True,  True,  True),
    "change_settings":   (False, False, True,  True),
    "resend":            (False, False, True,  True),
    "read_secrets":      (False, False, False, True),
    "manage_users":      (False, False, False, True),
}  # fmt: skip


@pytest.mark.parametrize("action", [permission.action for permission in PERMISSIONS])
def test_who_may_what(action):
    assert tuple(may(role, action) for role in ROLES) == TABLE[action]


def test_whoever_asks_in_sql_or_exports_sees_personal_data():
    """The tables hold payloads as received: to allow one without the other would be a promise that nothing keeps."""
    for role in ROLES:
        assert may(role, "read_pii") or not (may(role, "query_sql") or may(role, "export"))


@pytest.mark.parametrize("role", ["", "root", "Owner", "admin"])
def test_a_role_that_nobody_knows_may_nothing(role):
    assert not any(may(role, permission.action) for permission in PERMISSIONS)


def test_settings_with_the_old_words_still_mean_what_they_meant():
    for old, new in OLD_ROLES.items():
        assert User.model_validate({"id": "ann", "name": "Ann", "email": "a@x.example", "role": old}).role == new
    old_token = {"id": "ann", "name": "Ann", "email": "a@x.example", "token_sha256": "0" * 64}
    assert "token_sha256" not in User.model_validate(old_token).model_dump()


def test_every_right_is_explained():
    assert all(permission.meaning for permission in PERMISSIONS)
    assert len({permission.action for permission in PERMISSIONS}) == len(PERMISSIONS)
