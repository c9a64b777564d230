"""`clicktrail config`: what is set, to what, and by whom."""

import os
from typing import Any

from pydantic import SecretStr

from console import context, output
from streams.runtime import settings as all_settings
from streams.runtime.connections import Group, masked
from streams.runtime.settings_diff import HIDDEN


def _value(found: all_settings.Settings, path: tuple[str, ...]) -> Any:
    value: Any = found
    for part in path:
        value = getattr(value, part)
    return value


def _doc(path: tuple[str, ...]) -> str:
    fields = all_settings.Settings.model_fields
    if len(path) > 1:
        group = fields[path[0]].annotation
        assert isinstance(group, type)
        assert issubclass(group, Group)
        fields = group.model_fields
    return fields[path[-1]].description or ""


def rows(running: dict[str, str]) -> list[dict[str, str]]:
    """Return every setting as {name, value, source, meaning}; secrets are masked."""
    found = all_settings.load(running)
    listed = []
    for name, path in all_settings.names().items():
        value, source = _value(found, path), all_settings.source_of(name, running)
        if path == ("pii_key",) and value is None and found.kept_pii_key().exists():
            value, source = SecretStr("kept"), str(found.kept_pii_key())
        listed.append({"name": name, "value": _shown(value), "source": source, "meaning": _doc(path)})
    return listed


def _shown(value: Any) -> str:
    """A value as it may be read by whoever looks over a shoulder."""
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else ""
    return masked(output.as_text(value))


def show(as_json: output.AsJson = False) -> None:
    """List every setting with its value and where the value comes from (default, env, file, up, or the file that `up` made)."""
    output.show(rows(context.up_settings()), as_json)


def check(as_json: output.AsJson = False) -> None:
    """Check the settings of this process; exit code 2 names what is wrong."""
    from streams.ingest import country

    country.opened(context.load().ingest.geoip_database)
    given = sorted(name for name in os.environ if name.startswith(all_settings.PREFIX))
    if as_json:
        output.show_json({"ok": True, "set": given})
    else:
        output.note(f"Settings are good ({len(given)} set in the environment).")
