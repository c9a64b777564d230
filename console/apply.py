"""From a workspace file to changes of settings: what would change, and making it so.

Declarative: the file says what shall be, the log says what is, and the difference is what gets written; an entity that is the same leaves
no trace, so the activity log shows changes and not runs. Values are stored as the file gives them (fields that are left out stay out): a
source's override counts only when it is given, and a default that we improve later reaches every workspace that never chose one.

What the file does not mention stays, unless `prune` is asked for: a first, partial file must not wipe a workspace.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from console import file_place
from schemas import workspace
from schemas.entities import ENTITY_MODELS
from streams.runtime import probes
from streams.runtime.errors import BadSettings
from streams.runtime.settings import Settings
from streams.runtime.settings_diff import HIDDEN, Difference, differences, hide_secrets
from streams.runtime.settings_feed import SettingsFeed
from streams.runtime.settings_store import Activity, Change, SettingsStore, pending

Entities = dict[tuple[str, str], dict[str, Any]]


def read(path: str) -> workspace.WorkspaceFile:
    """Return the checked workspace of a file. BadSettings names every problem with its line."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path} cannot be read: {error}.") from error
    try:
        return workspace.load(text)
    except workspace.WorkspaceRefused as error:
        problems = [f"{path}{file_place.line_of(text, problem.place)}: {problem.place}: {problem.reason}" for problem in error.problems]
        raise BadSettings("\n       ".join(problems), "`clicktrail schema workspace` prints the JSON Schema of this file.") from error


def plan(file: workspace.WorkspaceFile, current: Entities, *, is_pruning: bool) -> list[Change]:
    """Return what has to change, referred entities first, deletions last and in reverse. BadSettings for a mask with no secret behind it."""
    wanted = [
        Change(
            entity,
            entity_id,
            unmasked(model.model_dump(mode="json", exclude_unset=True), current.get((entity, entity_id)), f"{entity} {entity_id}"),
        )
        for entity, entity_id, model in file.entities()
    ]
    changes = pending(wanted, current)
    if is_pruning:
        kept = {(change.entity, change.entity_id) for change in wanted}
        order = list(ENTITY_MODELS)
        unwanted = sorted((key for key in current if key not in kept), key=lambda key: (-order.index(key[0]), key[1]))
        changes += [Change(*key, None) for key in unwanted]
    return changes


def unmasked(wanted: Any, current: Any, place: str) -> Any:
    """Return a value with what is *** taken from the value as it stands: a masked export comes back without losing a secret."""
    if HIDDEN not in str(wanted):
        return wanted
    if current is not None and hide_secrets(current) == wanted:
        return current
    if isinstance(wanted, dict):
        known = current if isinstance(current, dict) else {}
        found = {}
        for name, inner in wanted.items():
            before = known.get(name)
            found[name] = before if inner == HIDDEN and before else unmasked(inner, before, f"{place}.{name}")
        return found
    if isinstance(wanted, list):
        known_items = current if isinstance(current, list) and len(current) == len(wanted) else [None] * len(wanted)
        return [unmasked(inner, before, f"{place}[{at}]") for at, (inner, before) in enumerate(zip(wanted, known_items, strict=True))]
    if HIDDEN in str(wanted):
        raise BadSettings(f"{place} is masked ({HIDDEN}), and there is no secret yet that it could stand for.", "Write the secret itself.")
    return wanted


def described(changes: list[Change], current: Entities) -> list[dict[str, Any]]:
    """Return the changes as {action, entity, entity_id, diff}, as they will stand in the activity log."""
    found = []
    for change in changes:
        before = current.get((change.entity, change.entity_id))
        action = "created" if before is None else "deleted" if change.value is None else "updated"
        diff: list[Difference] = differences(before, change.value)
        found.append({"action": action, "entity": change.entity, "entity_id": change.entity_id, "diff": diff})
    return found


async def current_entities(settings: Settings) -> Entities:
    """Return the workspace as it stands in the log. Unavailable when Kafka does not answer."""
    await probes.require_kafka(settings.kafka)
    feed = SettingsFeed(settings)
    try:
        await feed.start()
        return dict(feed.entities)
    finally:
        await feed.stop()


async def make_so(
    settings: Settings, file: workspace.WorkspaceFile, author: str, reason: str, *, is_pruning: bool = False
) -> list[Activity]:
    """Write what differs, all of it or nothing, and return the activity rows."""
    feed = SettingsFeed(settings)
    try:
        await feed.start()
        changes = plan(file, feed.entities, is_pruning=is_pruning)
        return await SettingsStore(settings, feed).apply(changes, author, reason)
    finally:
        await feed.stop()


def export(current: Entities, *, has_secrets: bool = False) -> str:
    """Return the workspace as a file that `apply` takes: unchanged, it changes nothing, masked or not."""
    document: dict[str, list[dict[str, Any]]] = {}
    for entity, section in workspace.SECTIONS.items():
        if found := [value if has_secrets else hide_secrets(value) for (name, _), value in sorted(current.items()) if name == entity]:
            document[section] = found
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
