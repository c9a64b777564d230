"""`clicktrail explain` and `timeline`: why a verdict is what it is, and all that happened to a click."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from console import context, output
from console.commands.events import find_one
from streams.runtime.errors import NotFound

TIMELINE = """
SELECT * FROM (
    SELECT toDateTime64(occurred_at, 3) AS at, kind AS what, visit_id AS id, '' AS status,
           concat(coalesce(campaign_id, ''), if(coalesce(url, '') = '', '', concat(' ', coalesce(url, '')))) AS detail
    FROM visits WHERE click_id = {click:String}
    UNION ALL
    SELECT toDateTime64(event_time, 3), coalesce(conversion_name, type), event_id, toString(status),
           concat(message, if(value IS NULL, '', concat(', ', toString(value), ' ', coalesce(currency, ''))))
    FROM events WHERE click_id = {click:String}
    UNION ALL
    SELECT toDateTime64(postback_time, 3), 'postback', postback_id, if(is_error = 1, 'error', 'ok'), concat(toString(status_code), ' ', postback_url)
    FROM postbacks WHERE click_id = {click:String}
) ORDER BY at, what DESC
"""


def explain(
    name: Annotated[str, typer.Argument(metavar="ID", help="An event's id, for example e1-4-1027, or the receipt_id of an answer.")],
    as_json: output.AsJson = False,
) -> None:
    """Say why an event has its verdict: each rule, what it compared, and what to do next."""
    from console.explaining import explained

    rows = find_one(name)
    found = explained(rows[-1])
    if as_json:
        output.show_json(found)
        return
    console, status = output.stdout(), found["status"]
    colour = output.COLOURS.get(status, "")
    console.print(
        Text.assemble((f"{output.MARKS.get(status, '')} {status}", colour), f"  {found['message']}", (f"  {rows[-1]['event_id']}", "dim"))
    )
    for number, step in enumerate(found["steps"], 1):
        console.print(Text(f"  {number}. {step}"))
    for heading, lines in (("Evidence", found["evidence"]), ("Common causes", found["causes"])):
        if lines:
            console.print(Text(heading, style="bold"))
            for line in lines:
                console.print(Text(f"  - {line}"))
    if found["because"]:
        console.print(Text.assemble(("Because ", "bold"), f"{found['because']}."))
    console.print(Text.assemble(("Next ", "bold"), found["remedy"]))
    for earlier in rows[:-1]:
        console.print(Text(f"Earlier (revision {earlier['revision']}): {earlier['status']}, {earlier['message']}", style="dim"))


def timeline(click_id: Annotated[str, typer.Argument(metavar="CLICK", help="A click id.")], as_json: output.AsJson = False) -> None:
    """Show all that happened to a click: visits, clicks, conversions, postbacks, with the time between them."""
    from console.warehouse import Warehouse

    rows = with_gaps(Warehouse(context.load()).rows(TIMELINE, {"click": click_id}))
    if not rows:
        raise NotFound(f"Nothing is known of click {click_id}.", "Check that the tag or tracking link of its property records clicks.")
    output.show(rows, as_json)


def with_gaps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with the time since the one before, as a person says it."""
    found = []
    before: datetime | None = None
    for row in rows:
        found.append(
            {"at": row["at"], "since": "" if before is None else f"+{spoken(row['at'] - before)}", **{k: row[k] for k in row if k != "at"}}
        )
        before = row["at"]
    return found


def spoken(gap: timedelta) -> str:
    """Return a duration in its two largest units: 3d 4h, 12m 5s, 0.412s."""
    seconds = gap.total_seconds()
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    parts = []
    for unit, size in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{int(count)}{unit}")
    return " ".join(parts[:2])
