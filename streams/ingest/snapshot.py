"""The settings as this ingest last saw them, on its disk beside the spool: what it goes by when it starts while Kafka is away.

Without them nobody can say which source a payload is for, and a restart during an outage (a deployment, a crash, a machine that comes back
before the broker does) would refuse everything. Only the current state is kept, under its version: payloads are stamped with that, and the
ledger judges them with exactly these settings. The log stays the truth; as soon as it can be read, it is what counts.

The file holds the secrets of sources, as Kafka's own files do: it is readable by its owner only. Settings of another cluster or of another
epoch are not ours, so such a file is passed over.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from streams.runtime import logs
from streams.runtime.connections import KafkaSettings
from streams.workspace import SettingsRefused, Workspace

NAME = "settings.json"
LOG = logs.get(__name__)

Entities = Mapping[tuple[str, str], Mapping[str, Any]]


class Snapshot:
    """One file; `kept` is the version that stands in it, -1 before the first."""

    def __init__(self, folder: Path, kafka: KafkaSettings) -> None:
        self.kept = -1
        self._path = folder / NAME
        self._origin = [kafka.bootstrap_servers, kafka.epoch]

    def read(self) -> Workspace | None:
        """Return the workspace of the last run, None when there is none that can be used."""
        try:
            found = orjson.loads(self._path.read_bytes())
            origin, version, entities = found["origin"], int(found["version"]), list(found["entities"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            LOG.warning("snapshot_unreadable", path=str(self._path), error=repr(error))
            return None
        if origin != self._origin:
            LOG.warning("snapshot_of_another_cluster", path=str(self._path))
            return None
        workspace = Workspace()
        for entity, entity_id, value in entities:
            try:
                workspace.apply(version, entity, entity_id, value)
            except SettingsRefused as error:  # this program is stricter than the one that wrote it
                LOG.warning("snapshot_entity_passed_over", entity=entity, entity_id=entity_id, error=str(error))
        return workspace

    def write(self, version: int, entities: Entities) -> None:
        """Keep the settings of a version; replaces the file as a whole. A disk that does not take it is logged: the payloads go on."""
        rows = [[*key, value] for key, value in entities.items()]
        fresh = self._path.with_suffix(".new")
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(file, "wb") as to:
                to.write(orjson.dumps({"origin": self._origin, "version": version, "entities": rows}))
                to.flush()
                os.fsync(to.fileno())
            fresh.replace(self._path)
        except OSError as error:
            LOG.error("snapshot_not_kept", path=str(self._path), error=repr(error))  # noqa: TRY400 - the error is in it
        self.kept = version
