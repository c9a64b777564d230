"""What every handler has at hand: the settings, ClickHouse, the workspace as it is now, and who is logged in."""

from dataclasses import dataclass

from console.asking import Asker
from console.pipe import Pipe
from console.records import Records
from console.server.audit import Audit
from console.server.census import Census
from console.server.following import Following
from console.server.jobs import Jobs
from console.server.limits import Limits
from console.server.sessions import Sessions
from console.server.tail import Tail
from console.sql import SqlDesk
from streams.runtime.settings import Settings


@dataclass(frozen=True)
class Context:
    """The running console. `local_user`: who the person in front of the machine is, empty where a login is required."""

    settings: Settings
    asker: Asker
    following: Following
    sessions: Sessions
    limits: Limits
    audit: Audit
    records: Records
    desk: SqlDesk
    tail: Tail
    pipe: Pipe
    jobs: Jobs
    census: Census
    local_user: str = ""

    async def close(self) -> None:
        """Close every connection."""
        for part in (self.jobs, self.tail, self.pipe, self.records, self.audit, self.desk, self.asker):
            await part.close()
