"""The workspace as it is now: the console follows the settings as every role does, and writes them.

While Kafka is away the workspace stays as it was last seen, and what was logged in stays so: reading the log of events needs ClickHouse, not
Kafka. Until it was read for the first time nobody's token is known, and `/readyz` says so.
"""

import asyncio

from aiokafka.errors import KafkaError

from console.apply import Entities
from console.people import hash_of
from streams.runtime import logs
from streams.runtime.errors import Unavailable
from streams.runtime.settings import Settings
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Activity, Change, Check, SettingsStore
from streams.workspace import Workspace

RETRY_S = 0.5
CHANGE_S = 15.0
LOG = logs.get(__name__)


class Following:
    """Run `follow` as a task. `entities` and `workspace` are those of now, `is_read` says whether they ever were read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._feed: SettingsFeed | None = None
        self._tokens: tuple[int, dict[str, str]] = (-2, {})  # (version, hash -> token id)
        self._changing = asyncio.Lock()
        self.workspace = Workspace()
        self.entities: Entities = {}
        self.read = asyncio.Event()
        self.is_connected = False

    @property
    def version(self) -> int:
        """Return the version of the settings: the offset of the last change."""
        return self._feed.version if self._feed else -1

    async def follow(self) -> None:
        """Follow until cancelled."""
        while True:
            workspace = Workspace()  # a feed reads from the beginning, and a workspace's versions never fall
            feed = SettingsFeed(self._settings, workspace)
            try:
                await feed.start()
                assert feed.following is not None
                self._feed, self.workspace, self.entities, self.is_connected = feed, workspace, feed.entities, True
                self.read.set()
                await feed.following
            except (Unavailable, KafkaError) as error:
                LOG.warning("settings_away", error=str(error))
                await asyncio.sleep(RETRY_S)
            finally:
                self.is_connected = False
                await feed.stop()

    def token_id(self, token: str) -> str | None:
        """Return the id of a token, None when it is nobody's."""
        if self._tokens[0] != self.version:
            found = {value["sha256"]: entity_id for (entity, entity_id), value in self.entities.items() if entity == "token"}
            self._tokens = (self.version, found)
        return self._tokens[1].get(hash_of(token))

    async def change(self, changes: list[Change], author: str, reason: str, check: Check | None = None) -> list[Activity]:
        """Make all of the changes or none, each with its activity row. Unavailable when Kafka does not answer in time; what `check` raises."""
        if not self._feed or not self.is_connected:
            raise Unavailable("Kafka does not answer, so nothing can be changed.", "Try again.")
        try:
            async with self._changing, asyncio.timeout(CHANGE_S):
                return await SettingsStore(self._settings, self._feed).apply(changes, author, reason, check)
        except TimeoutError as error:
            raise Unavailable(
                f"Kafka did not take the change within {CHANGE_S:g} s.", "Look whether it was made, then try again."
            ) from error
