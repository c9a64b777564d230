"""`clicktrail presets`: the senders that are known: what to paste where, how their parameters are read, and their traps.

All of it comes from `schemas/presets/`; the URL is that of this installation's ingest, so that it can be pasted as it stands.
"""

from typing import Annotated, Any, get_args

import typer
import yaml
from rich.text import Text

from console import context, output
from schemas import presets
from schemas.auth import Auth
from schemas.mapping import FIELDS
from schemas.presets import Preset
from streams.runtime.errors import BadSettings, near_match


def ls(as_json: output.AsJson = False) -> None:
    """List the senders that are known."""
    rows = [
        {"preset": name, "sender": preset.title, "kind": preset.kind, "auth": preset.auth.get("kind", ""), "sends": preset.sends}
        for name, preset in ((name, presets.get(name)) for name in presets.names())
    ]
    output.show(rows, as_json)


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A preset, from `presets ls`.")],
    source: Annotated[str, typer.Option(help="Id of the source that uses it; default: the preset's name.")] = "",
    as_json: output.AsJson = False,
) -> None:
    """Show a preset: what to paste where, the mapping, the traps."""
    if name not in presets.names():
        near = near_match(name.casefold(), list(presets.names()))
        raise BadSettings(f"There is no preset {name!r}.", near or "`clicktrail presets ls` lists them.")
    preset = presets.get(name)
    found = described(name, preset, source or name, context.load().ingest_url())
    if as_json:
        output.show_json(found)
    else:
        _print(found)


def described(name: str, preset: Preset, source_id: str, ingest_url: str) -> dict[str, Any]:
    """Return all that a preset says, with the URL and the source as this installation would have them."""
    url = f"{ingest_url}/in/{source_id}" + (f"?{preset.query}" if preset.query else "")
    mapping = preset.mapping
    return {
        "preset": name,
        "sender": preset.title,
        "sends": preset.sends,
        "url": url,
        "link": preset.link,
        "paste": preset.paste,
        "source": source_of(name, preset, source_id),
        "mapping": {field: list(mapping.addresses(field)) for field in FIELDS if field in mapping.model_fields_set},
        "events": mapping.events,
        "statuses": words_of(mapping.statuses),
        "default_status": mapping.default_status,
        "minor_units": bool(mapping.minor_units),
        "decimals": mapping.decimals,
        "auth": preset.auth,
        "answer": preset.answer,
        "default_currency": preset.default_currency,
        "timezone": preset.timezone,
        "traps": preset.traps,
        "read_at": preset.read_at,
    }


def source_of(name: str, preset: Preset, source_id: str) -> str:
    """Return the source as it stands in a workspace file, with … for what only its owner knows."""
    source: dict[str, Any] = {"id": source_id, "name": preset.title, "preset": name, "property_id": "…"}
    if preset.auth:
        source["auth"] = dict.fromkeys(secrets_of(preset.auth), "…")
    return yaml.safe_dump({"sources": [source]}, sort_keys=False, allow_unicode=True)


def secrets_of(scheme: dict[str, str]) -> list[str]:
    """Return what a source must give so that the preset's scheme is whole."""
    models = {get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(get_args(Auth)[0])}
    fields = models[scheme["kind"]].model_fields
    return [field for field, info in fields.items() if info.is_required() and field not in scheme]


def words_of(statuses: dict[str, Any]) -> dict[str, list[str]]:
    """Return our status -> the sender's words for it."""
    found: dict[str, list[str]] = {}
    for word, status in statuses.items():
        found.setdefault(status, []).append(word)
    return found


def _print(found: dict[str, Any]) -> None:
    console = output.stdout()
    console.print(Text.assemble((found["sender"], "bold"), f"  {found['sends']}"))
    steps = [f"The URL: {found['url']}", *found["paste"]]
    if found["auth"].get("parameter"):
        steps.append(f"Where the source has auth, append &{found['auth']['parameter']}=… to the URL.")
    if found["link"]:
        steps.append(f"Append {found['link']} to the sender's link, so that it takes the click id along.")
    _list("Set up", steps)
    console.print(Text("In the workspace file", style="bold"))
    console.print(Text(found["source"].rstrip()))
    console.print(Text("Mapping", style="bold"))
    output.show_table([{"ours": field, "found in": ", ".join(addresses)} for field, addresses in found["mapping"].items()])
    _list("Words", _words(found))
    _list("Traps", found["traps"])
    _list("Read at", found["read_at"])


def _words(found: dict[str, Any]) -> list[str]:
    """What the sender's words and silences mean."""
    lines = [f"status {status}: {', '.join(words)}" for status, words in found["statuses"].items()]
    lines += [f"event {theirs}: {ours}" for theirs, ours in (found["events"] or {}).items()]
    if found["default_status"]:
        lines.append(f"no status: {found['default_status']}")
    if found["minor_units"]:
        own = ", ".join(f"{code} {count}" for code, count in found["decimals"].items())
        lines.append(f"amounts: in minor units{f', decimals by its own figures for {own}' if own else ''}")
    lines += [f"{name}: {found[key]}" for name, key in (("times without a zone", "timezone"), ("answered", "answer")) if found[key]]
    return lines


def _list(heading: str, lines: list[str]) -> None:
    console = output.stdout()
    if lines:
        console.print(Text(heading, style="bold"))
        for line in lines:
            console.print(Text(f"  - {line}"))
