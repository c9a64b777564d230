"""`clicktrail tail` and `get`: rows of the event log, by filter or by name: an event's id, or the receipt of the request that brought it."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from console import context, filters, output
from console.listing import Given
from streams.runtime.errors import BadSettings, NotFound

# Rows of several partitions arrive a little out of order: each look goes back this far and leaves out what it has shown.
OVERLAP_S = 10
REMEMBERED = 50_000
BY_ID = "SELECT * FROM event_revisions WHERE event_id = {id:String} ORDER BY revision"
BY_RECEIPT = "SELECT * FROM event_revisions WHERE receipt_id = {id:String} ORDER BY partition, offset, revision LIMIT 1000"
BRIEFLY = ("event_id", "revision", "status", "reason", "message")
NAMED = 5  # ids in a sentence


def follow(ask: Any, given: Given, first: int, *, is_following: bool, every_s: float = 0.5) -> Iterator[dict[str, Any]]:
    """Yield the last `first` verdicts, then each new one as it comes. `ask(statement, parameters)` returns rows."""
    condition, values = filters.where(filters.EVENTS, given)
    where = f" AND {condition}"
    columns = (
        "event_id, revision, judged_at, source_id, type, status, reason, message, conversion_name, value, currency, click_id, match_kind"
    )
    # Only names of columns are put into the text, values are parameters: hence the noqa.
    newest = f"SELECT {columns} FROM event_revisions WHERE 1{where} ORDER BY judged_at DESC, event_id DESC LIMIT {{limit:UInt32}}"  # noqa: S608
    overlap = f"judged_at > {{since:DateTime64(3)}} - INTERVAL {OVERLAP_S} SECOND"
    since = f"SELECT {columns} FROM event_revisions WHERE {overlap}{where} ORDER BY judged_at, event_id LIMIT 10000"  # noqa: S608
    shown: deque[tuple[str, int]] = deque(maxlen=REMEMBERED)
    began = ask("SELECT now64(3) AS now", {})[0]["now"]
    rows = list(reversed(ask(newest, {**values, "limit": max(first, 1)})))
    shown.extend((row["event_id"], row["revision"]) for row in rows)
    latest = rows[-1]["judged_at"] if rows else began
    shown.extend((row["event_id"], row["revision"]) for row in ask(since, {**values, "since": latest}) if row["judged_at"] <= latest)
    yield from rows[-first:] if first else []
    while is_following:
        known = set(shown)
        for row in ask(since, {**values, "since": latest}):
            key = (row["event_id"], row["revision"])
            if key not in known:
                shown.append(key)
                yield row
            latest = max(latest, row["judged_at"])
        time.sleep(every_s)


def line(row: dict[str, Any]) -> Text:
    """Return a verdict as one line: time, mark and word, source, what it was worth, why, and its id to ask further."""
    status = row["status"]
    money = f"{output.as_text(row['value'])} {row['currency'] or ''}".strip() if row["value"] is not None else ""
    return Text.assemble(
        (f"{output.as_text(row['judged_at'])[11:23]}  ", "dim"),
        (f"{output.MARKS.get(status, ' ')} {status:<12}", output.COLOURS.get(status, "")),
        f"  {row['source_id']:<14.14}  {row['conversion_name'] or row['type'] or '':<12.12}  {money:>12}  ",
        row["message"],
        (f"  {row['event_id']}" + (f" r{row['revision']}" if row["revision"] > 1 else ""), "dim"),
    )


def tail(
    status: Annotated[str, typer.Option(help="ok, discarded, deduplicated or error.", autocompletion=filters.words_like("status"))] = "",
    view_status: Annotated[
        str, typer.Option(help="success, info or failure: Referral Rock's three words.", autocompletion=filters.words_like("view_status"))
    ] = "",
    reason: Annotated[str, typer.Option(help="A reason's code.", autocompletion=filters.words_like("reason"))] = "",
    source: Annotated[str, typer.Option(help="A source's id.")] = "",
    type_: Annotated[str, typer.Option("--type", help="The kind of source.", autocompletion=filters.words_like("type"))] = "",
    campaign: Annotated[str, typer.Option(help="A campaign's id.")] = "",
    traffic_source: Annotated[str, typer.Option(help="A traffic source's id.")] = "",
    property_: Annotated[str, typer.Option("--property", help="A property's id.")] = "",
    search: Annotated[str, typer.Option("--search", "-q", help="An id, whole, or its beginning and *.")] = "",
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many earlier rows to begin with.")] = 10,
    follow_: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for new rows.")] = True,
    style: Annotated[
        Literal["interactive", "compact", "json", ""],
        typer.Option(
            "--output", help="interactive (keys, the default on a terminal), compact (a line each, the default elsewhere) or json."
        ),
    ] = "",
    as_json: output.AsJson = False,
) -> None:
    """Show verdicts as they fall. On a terminal keys choose, explain, open, copy and resend them; any key that is none lists them."""
    from console.commands import watch
    from console.warehouse import Warehouse
    from streams.runtime import probes

    given = {
        "status": status, "view_status": view_status, "reason": reason, "source": source, "type": type_, "campaign": campaign,
        "traffic_source": traffic_source, "property": property_, "q": search,
    }  # fmt: skip
    if style == "interactive" and not watch.is_possible():
        raise BadSettings("There is no terminal to be interactive on.", "Leave --output away, or take compact or json.")
    filters.where(filters.EVENTS, given)  # a word that does not exist is said before anybody is asked
    console, settings = output.stdout(), context.load()
    warehouse = Warehouse(settings)

    def ask(statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        probes.require_clickhouse(
            settings.clickhouse
        )  # at each look: a follower that waits a minute for a stuck server looks as if all were calm
        return warehouse.rows(statement, parameters)

    try:
        if style == "interactive" or (not style and follow_ and not as_json and watch.is_possible()):
            watch.watch(settings, ask, given, last)
            return
        for row in follow(ask, given, last, is_following=follow_):
            if as_json or style == "json":
                print(output.dumps(row, is_line=True), flush=True)
            else:
                console.print(line(row))
    except KeyboardInterrupt:
        return


def find(name: str) -> list[dict[str, Any]]:
    """Return every revision of the event with this id, or of those that came with this receipt, the current one last. NotFound."""
    from console.warehouse import Warehouse

    warehouse = Warehouse(context.load())
    for statement in (BY_ID, BY_RECEIPT):
        if rows := warehouse.rows(statement, {"id": name}):
            return rows
    raise NotFound(
        f"There is no event {name}.",
        "Ids look like e1-4-1027, receipts like 019b76da3f1c41f7…; `clicktrail tail` shows the latest. What came in while Kafka was away follows.",
    )


def find_one(name: str) -> list[dict[str, Any]]:
    """Return every revision of one event. BadSettings when the receipt is that of several."""
    rows = find(name)
    ids = list(dict.fromkeys(row["event_id"] for row in rows))
    if len(ids) > 1:
        more = ", …" if len(ids) > NAMED else ""
        raise BadSettings(f"Several events came with receipt {name}.", f"Name one: {', '.join(ids[:NAMED])}{more}")
    return rows


def get(
    name: Annotated[str, typer.Argument(metavar="ID", help="An event's id, for example e1-4-1027, or the receipt_id of an answer.")],
    revisions: Annotated[bool, typer.Option("--revisions", help="Every verdict that was ever given, not only the current one.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Show everything that is known of an event; of a bulk upload's receipt, a line for each of its events."""
    rows = find(name)
    current = list({row["event_id"]: row for row in rows}.values())
    shown = rows if revisions else current
    if as_json:
        output.show_json(shown if revisions or len(current) > 1 else current[0])
    elif len(current) > 1:
        output.show_table([{name: row[name] for name in BRIEFLY} for row in shown])
    else:
        for row in shown:
            output.show_table(
                [{"field": name, "content": content(value)} for name, value in row.items() if value not in (None, "", [], {})]
            )


def content(value: Any) -> str:
    """Return a field's value as text; structures as JSON."""
    return output.dumps(value, is_line=True) if isinstance(value, list | dict | tuple) else output.as_text(value)
