"""`clicktrail apply`, `export-workspace`, `schema`: the workspace as a file."""

import asyncio
from typing import Annotated, Any

import typer
from rich.text import Text

from console import context, output
from streams.runtime.errors import BadSettings, near_match

SIGNS = {"created": "+", "updated": "~", "deleted": "-"}


def _show(changes: list[dict[str, Any]]) -> None:
    """Print each change with its fields, as a diff."""
    console = output.stdout()
    for change in changes:
        action = change["action"]
        console.print(Text(f"{SIGNS[action]} {change['entity']} {change['entity_id']}", style=output.COLOURS[action]))
        for line in change["diff"] if action == "updated" else []:
            console.print(
                Text(f"    {line['path']}: {output.dumps(line['before'], is_line=True)} -> {output.dumps(line['after'], is_line=True)}")
            )


def apply(
    file: Annotated[str, typer.Option("--file", "-f", help="Workspace file, YAML or JSON; `-` reads stdin.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; exit code 1 if anything would.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete what the file does not mention.")] = False,
    author: Annotated[str, typer.Option(help="Who changes it; default: you.")] = "",
    reason: Annotated[str, typer.Option(help="Why; stands in the activity log.")] = "",
    as_json: output.AsJson = False,
) -> None:
    """Make the workspace what the file says: shows the difference, writes only that, records who and why."""
    from console import apply as workspace_apply

    wanted, settings = workspace_apply.read(file), context.load()
    current = asyncio.run(workspace_apply.current_entities(settings))
    changes = workspace_apply.described(workspace_apply.plan(wanted, current, is_pruning=prune), current)
    if changes and not dry_run:
        why = reason or f"apply {file}"
        done = asyncio.run(workspace_apply.make_so(settings, wanted, author or context.user(), why, is_pruning=prune))
        changes = [
            {name: row[name] for name in ("action", "entity", "entity_id", "diff", "activity_id", "settings_version")} for row in done
        ]
    if as_json:
        output.show_json({"dry_run": dry_run, "changes": changes})
    else:
        _show(changes)
        output.note(_summary(changes, dry_run))
    output.finding(dry_run and bool(changes))


def _summary(changes: list[dict[str, Any]], is_dry: bool) -> str:
    if not changes:
        return "No change: the workspace is what the file says."
    counts = [f"{sum(change['action'] == action for change in changes)} {action}" for action in SIGNS]
    return f"{'Would change' if is_dry else 'Changed'}: {', '.join(counts)}."


def export_workspace(
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Tokens and signing secrets in clear: keep it like a password.")
    ] = False,
    as_json: output.AsJson = False,
) -> None:
    """Print the workspace as a file for `apply`. Secrets are ***, which `apply` takes for "as it is"; a new workspace needs them in clear."""
    from console import apply as workspace_apply

    current = asyncio.run(workspace_apply.current_entities(context.load()))
    text = workspace_apply.export(current, has_secrets=with_secrets)
    if as_json:
        import yaml

        output.show_json(yaml.safe_load(text))
    else:
        print(text, end="")


def schema(
    name: Annotated[str, typer.Argument(help="Which one: workspace (the file of `apply`) or asyncapi (the topics).")] = "workspace",
    as_json: output.AsJson = False,  # noqa: ARG001 - it is JSON either way
) -> None:
    """Print a published schema, for editors, checks and generators of code."""
    from console import asyncapi
    from schemas.workspace import json_schema

    published = {"workspace": json_schema, "asyncapi": asyncapi.text}
    if name not in published:
        raise BadSettings(f"There is no schema {name!r}.", near_match(name, list(published)) or f"The schemas are: {', '.join(published)}.")
    print(published[name]())
