"""`clicktrail activity`: who changed what, when and why (C06 to C09)."""

from typing import Annotated, Any

import orjson
import typer

from console import context, filters, output

JSON_COLUMNS = ("before", "after", "diff")
COLUMNS = "activity_id, changed_at, author, action, entity, entity_id, reason, before, after, diff, settings_version"


def activity(
    entity: Annotated[str, typer.Option(help="Kind of what was changed: campaign, lander, offer, flow, source …")] = "",
    entity_id: Annotated[str, typer.Option("--id", help="Its id.")] = "",
    action: Annotated[str, typer.Option(help="created, updated or deleted.")] = "",
    author: Annotated[str, typer.Option(help="Who did it.")] = "",
    since: Annotated[str, typer.Option(help="From this time on: 2026-11-25, 24h, 7d.")] = "",
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="How many, the newest first.")] = 50,
    as_json: output.AsJson = False,
) -> None:
    """Show what was changed in the workspace, by whom and why."""
    from console.warehouse import Warehouse

    given = {"entity": entity, "entity_id": entity_id, "action": action, "author": author, "from": since}
    condition, values = filters.where(filters.ACTIVITY, given)
    # Only conditions of our own stand in the text, values are parameters: hence the noqa.
    statement = f"SELECT {COLUMNS} FROM activity WHERE {condition} ORDER BY changed_at DESC, settings_version DESC LIMIT {{limit:UInt32}}"  # noqa: S608
    rows = Warehouse(context.load()).rows(statement, {**values, "limit": last})
    found = [row | {name: orjson.loads(row[name]) if row[name] else None for name in JSON_COLUMNS} for row in rows]
    output.show(found if as_json else [line(row) for row in found], as_json, empty="No change was found.")


def line(row: dict[str, Any]) -> dict[str, Any]:
    """Return a change as the columns of a table, its fields in one cell."""
    shown = {name: row[name] for name in ("changed_at", "author", "action", "entity", "entity_id", "reason")}
    fields = row["diff"] if row["action"] == "updated" else []
    return shown | {"changes": "; ".join(f"{one['path']}: {_short(one['before'])} -> {_short(one['after'])}" for one in fields)}


def _short(value: Any) -> str:
    text = output.dumps(value, is_line=True)
    return text if len(text) <= 60 else text[:57] + "…"
