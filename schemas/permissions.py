"""Who may do what: one table, role x permission. The console and the API ask `may`; nothing else knows what a role means.

The roles were viewer, analyst, operator and admin; they are viewer, analyst, editor and owner now, because those are the words of the product
pages' multi-user support, and because "operator" said who runs the machine, which no page of the console is about: its right, to send again
and to retry, belongs to whoever edits destinations. Settings that were written with the old words still mean what they meant (OLD_ROLES).

Each role may all that the one before it may: people are promoted, and a right that gets lost by a promotion is a support case. Personal data
begins with the analyst, as SQL does: the tables hold payloads as received, so whoever asks in SQL sees e-mail addresses, and a rule that says
otherwise would only hide it. A viewer gets masks (`pii.py`) and no export, which would be a copy that no later change of a role takes back.
"""

from typing import Final, Literal, NamedTuple, get_args

Role = Literal["viewer", "analyst", "editor", "owner"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)  # from the least to the most
OLD_ROLES: Final = {"operator": "editor", "admin": "owner"}

Action = Literal["read_log", "read_pii", "export", "query_sql", "try_rules", "change_settings", "resend", "read_secrets", "manage_users"]


class Permission(NamedTuple):
    """One right: what it allows, and the least role that has it."""

    action: Action
    least: Role
    meaning: str


PERMISSIONS: Final = (
    Permission("read_log", "viewer", "every list and detail, personal data masked"),
    Permission("read_pii", "analyst", "e-mail, phone, names and payloads in clear; each reveal is an activity row"),
    Permission("export", "analyst", "take lists away as files"),
    Permission("query_sql", "analyst", "ask in SQL, which reads the tables as they are"),
    Permission("try_rules", "analyst", "the mapping tester and what-if: payloads judged under other rules, nothing is written"),
    Permission("change_settings", "editor", "properties, sources and mappings, campaigns, flows, destinations"),
    Permission("resend", "editor", "send a postback again, retry a dead letter"),
    Permission("read_secrets", "owner", "tokens and signing secrets of sources and destinations"),
    Permission("manage_users", "owner", "users, their roles and their tokens"),
)
_LEAST: Final = {permission.action: ROLES.index(permission.least) for permission in PERMISSIONS}


def may(role: str, action: Action) -> bool:
    """Say whether a role has a right. A role that nobody knows has none."""
    return role in ROLES and ROLES.index(role) >= _LEAST[action]


def current_role(word: object) -> object:
    """Return a role's word of today for one of before; anything else as it is."""
    return OLD_ROLES.get(word, word) if isinstance(word, str) else word
