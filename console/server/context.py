"""What every handler has at hand: the settings, ClickHouse, the workspace as it is now, and who is logged in."""

from dataclasses import dataclass

from console.asking import Asker
from console.server.following import Following
from console.server.limits import Limits
from console.server.sessions import Sessions
from streams.runtime.settings import Settings


@dataclass(frozen=True)
class Context:
    """The running console. `local_user`: who the person in front of the machine is, empty where a login is required."""

    settings: Settings
    asker: Asker
    following: Following
    sessions: Sessions
    limits: Limits
    local_user: str = ""
