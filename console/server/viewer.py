"""Who asks: a user by a token or a session, or, where `clicktrail up` runs everything on one machine, the person in front of it.

A viewer is made anew for each request from the settings as they are now, so a revoked token, a removed user and another role count from the
next click on.
"""

from typing import Literal, NamedTuple

from schemas.permissions import Action, Role, may

Way = Literal["nobody", "token", "session", "local"]


class Viewer(NamedTuple):
    """A person, or a program of theirs. `accounts` None: all of the workspace."""

    user_id: str
    name: str
    role: str
    accounts: tuple[str, ...] | None
    way: Way
    csrf: str = ""

    def may(self, action: Action) -> bool:
        """Say whether the viewer has a right."""
        return may(self.role, action)


NOBODY = Viewer("", "", "", (), "nobody")
LOCAL_ROLE: Role = "owner"


def local(user_id: str) -> Viewer:
    """Return the person in front of this machine."""
    return Viewer(user_id, user_id, LOCAL_ROLE, None, "local")
