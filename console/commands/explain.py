"""`clicktrail explain` and `timeline`: why a verdict is what it is, and all that happened to a click."""

from typing import Annotated

import typer
from rich.text import Text

from console import context, output
from console.commands.events import find_one
from streams.runtime.errors import NotFound


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
    from console import timelines
    from console.warehouse import Warehouse

    warehouse = Warehouse(context.load())
    visits, events, postbacks = [warehouse.rows(*question) for question in timelines.questions(click_id, None)]
    rows = timelines.flat(timelines.entries(visits, events, postbacks))
    if not rows:
        raise NotFound(f"Nothing is known of click {click_id}.", "Check that the tag or tracking link of its property records clicks.")
    output.show(rows, as_json)
