"""`clicktrail postbacks`: what we told traffic sources, what became of it, and sending it again (C10 to C19)."""

import asyncio
from typing import Annotated, Any, cast

import typer

from console import context, filters, output
from console.warehouse import Warehouse
from streams.delivery.orders import Place
from streams.runtime.errors import BadSettings, near_match
from streams.runtime.settings import Settings

COLUMNS = (
    "postback_id", "click_id", "postback_time", "is_error", "error_message", "status_code", "postback_url", "ct", "integration_id",
    "destination_id", "kind", "state", "attempts", "next_attempt_at", "event_id",
)  # fmt: skip
SHOWN = (
    "postback_time",
    "state",
    "is_error",
    "status_code",
    "destination_id",
    "kind",
    "ct",
    "attempts",
    "error_message",
    "postback_id",
    "click_id",
)
Destination = Annotated[str, typer.Option("--destination", "-d", help="Of this destination.")]
Author = Annotated[str, typer.Option(help="Who asks; the default is you.")]
Reason = Annotated[str, typer.Option(help="Why, for the activity log.")]


def ls(
    destination: Destination = "",
    state: Annotated[str, typer.Option(help=f"{', '.join(filters.STATES)}.")] = "",
    is_failed: Annotated[bool, typer.Option("--errors", help="Only those with an error.")] = False,
    click: Annotated[str, typer.Option(help="Of this click.")] = "",
    event: Annotated[str, typer.Option(help="Of this event.")] = "",
    since: Annotated[str, typer.Option(help="Triggered from this time on: 2026-11-25, 24h, 7d.")] = "",
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="How many, the newest first.")] = 50,
    as_json: output.AsJson = False,
) -> None:
    """List postbacks with their last attempt, the newest first."""
    given = {
        "destination": destination,
        "state": state,
        "click_id": click,
        "event": event,
        "since": since,
        "is_error": "1" if is_failed else "",
    }
    rows = found(Warehouse(context.load()), given, COLUMNS, last)
    output.show(rows, as_json, columns=None if as_json else SHOWN, empty="No postback was found.")


def show(postback_id: Annotated[str, typer.Argument(metavar="ID")], as_json: output.AsJson = False) -> None:
    """Show a postback with every attempt: request, answer, duration, when it is tried again."""
    rows = Warehouse(context.load()).rows(
        "SELECT attempt, sent_at, duration_ms, state, is_error, error_message, status_code, next_attempt_at, postback_url, request, response, kind, "
        "follows, event_id, click_id, destination_id, ct, integration_id FROM postback_attempts WHERE postback_id = {id:String} ORDER BY logged_at, log_offset",
        {"id": postback_id},
    )
    if not rows:
        raise BadSettings(f"There is no postback {postback_id}.", "`clicktrail postbacks ls` lists them.")
    if as_json:
        output.show_json(rows)
        return
    output.show_table(
        [{name: row[name] for name in ("attempt", "sent_at", "duration_ms", "state", "status_code", "error_message")} for row in rows]
    )
    output.show_table([{"field": name, "content": output.as_text(value)} for name, value in rows[-1].items()])


def retry(
    postback_id: Annotated[str, typer.Argument(metavar="ID")],
    author: Author = "",
    reason: Reason = "sent again by hand",
    as_json: output.AsJson = False,
) -> None:
    """Send one postback again, whatever became of it."""
    settings = context.load()
    row = Warehouse(settings).one(
        "SELECT event_id, request_offset, state FROM postbacks WHERE postback_id = {id:String}", {"id": postback_id}
    )
    if row is None:
        raise BadSettings(f"There is no postback {postback_id}.", "`clicktrail postbacks ls` lists them.")
    _ask(settings, [Place(postback_id, row["event_id"], row["request_offset"])], author, reason, as_json)


def recover(
    destination: Destination = "",
    since: Annotated[str, typer.Option(help="Triggered from this time on: 2026-11-25, 24h, 7d.")] = "",
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only list what would be sent.")] = False,
    author: Author = "",
    reason: Reason = "recovered after failures",
    as_json: output.AsJson = False,
) -> None:
    """Send everything again that has failed for good since a time. With --dry-run, list it with its URLs."""
    if not since:
        raise BadSettings("Since when?", "For example --since 24h.")
    settings = context.load()
    rows = found(Warehouse(settings), {"destination": destination, "since": since, "state": "failed"}, (*COLUMNS, "request_offset"), None)
    if is_dry or not rows:
        listed = [
            {name: row[name] for name in ("postback_id", "destination_id", "postback_time", "error_message", "postback_url")}
            for row in rows
        ]
        output.show(listed, as_json, empty="Nothing has failed.")
        return
    _ask(settings, [Place(row["postback_id"], row["event_id"], row["request_offset"]) for row in rows], author, reason, as_json)


def trial(
    destination: Annotated[str, typer.Argument(metavar="DESTINATION")],
    event: Annotated[str, typer.Option("--event", help="The event that the request is made of.")],
    kind: Annotated[str, typer.Option(help="conversion, restatement or retraction.")] = "conversion",
    is_sending: Annotated[bool, typer.Option("--send", help="Send it, marked as a test.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Show the populated request of a destination for an event, secrets masked; with --send, send it once as a test. Exit code 1 if it fails."""
    from streams.delivery import trial as trials
    from streams.delivery.message import NotSent

    settings = context.load()
    workspace = asyncio.run(_workspace(settings))
    target = destination_of(workspace, destination)
    rows = event_rows(Warehouse(settings), event)
    try:
        done = asyncio.run(trials.tried(settings, target, trials.request_of(*rows, target, workspace, kind), is_sending=is_sending))
    except NotSent as why:
        raise BadSettings(f"There is nothing to send: {why}.") from why
    answer, outcome = done.answer, done.outcome
    shown: dict[str, Any] = {"url": done.ready.url, "request": done.ready.text}
    if answer is not None and outcome is not None:
        shown |= {"outcome": outcome.verdict, "error": outcome.message, "status_code": answer.status, "duration_ms": done.duration_ms}
        shown["response"] = answer.body.decode(errors="replace")[:2000]
    if as_json:
        output.show_json(shown)
    else:
        output.show_table([{"field": name, "content": value} for name, value in shown.items() if value is not None])
    output.finding(outcome is not None and outcome.verdict != "delivered")


def pause(
    destination: Annotated[str, typer.Argument(metavar="DESTINATION")],
    author: Author = "",
    reason: Reason = "paused by hand",
    as_json: output.AsJson = False,
) -> None:
    """Send nothing to a destination until it is resumed; what is to be sent is kept."""
    _pause(destination, is_paused=True, author=author, reason=reason, as_json=as_json)


def resume(
    destination: Annotated[str, typer.Argument(metavar="DESTINATION")],
    author: Author = "",
    reason: Reason = "resumed by hand",
    as_json: output.AsJson = False,
) -> None:
    """Send to a destination again, however it was paused."""
    _pause(destination, is_paused=False, author=author, reason=reason, as_json=as_json)


def found(warehouse: Warehouse, given: dict[str, str], columns: tuple[str, ...], limit: int | None) -> list[dict[str, Any]]:
    """Return postbacks by filters, the newest first."""
    condition, values = filters.where(filters.POSTBACKS, given)
    statement = f"SELECT {', '.join(columns)} FROM postbacks WHERE {condition} ORDER BY postback_time DESC, postback_id"  # noqa: S608 - names and conditions of our own
    return warehouse.rows(statement + (" LIMIT {limit:UInt32}" if limit else ""), {**values, **({"limit": limit} if limit else {})})


def event_rows(warehouse: Warehouse, event_id: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return an event and its click, as rows. BadSettings when there is no such event, or none that could be reported."""
    event = warehouse.one("SELECT * FROM events WHERE event_id = {id:String}", {"id": event_id})
    if event is None:
        raise BadSettings(f"There is no event {event_id}.", "`clicktrail tail` shows the newest.")
    if event["conversion_name"] is None:
        raise BadSettings(f"{event_id} has no conversion name: {event['message']}.", "Take one that was recorded.")
    click = {"id": event["click_id"]}
    return event, warehouse.one("SELECT * FROM visits WHERE click_id = {id:String} ORDER BY received_at LIMIT 1", click) if click[
        "id"
    ] else None


async def _workspace(settings: Settings) -> Any:
    """Return the workspace as it stands now."""
    from streams.runtime.settings_feed import SettingsFeed
    from streams.workspace import Workspace

    workspace = Workspace()
    feed = SettingsFeed(settings, workspace)
    try:
        await feed.start()
    finally:
        await feed.stop()
    return workspace


def destination_of(workspace: Any, destination_id: str) -> Any:
    """Return a destination. BadSettings when there is none."""
    from schemas.destinations import Destination as Model

    known = workspace.all("destination")
    if destination_id not in known:
        raise BadSettings(
            f"There is no destination {destination_id!r}.", near_match(destination_id, list(known)) or f"There are: {', '.join(known)}."
        )
    return cast("Model", known[destination_id])


def _ask(settings: Settings, places: list[Place], author: str, reason: str, as_json: bool) -> None:
    from streams.delivery import orders

    def progress(done: int, total: int) -> None:
        if total > 1:
            output.stderr().print(f"{done} of {total} asked for")

    count = asyncio.run(orders.resend(settings, places, author or context.user(), reason, progress))
    if as_json:
        output.show_json({"resent": count})
    else:
        output.stdout().print(
            f"Asked for {count} again; `clicktrail postbacks ls` shows what becomes of it." if count else "Nothing to send."
        )


def _pause(destination: str, *, is_paused: bool, author: str, reason: str, as_json: bool) -> None:
    from streams.delivery import orders

    row = asyncio.run(orders.pause(context.load(), destination, "by_hand" if is_paused else None, author or context.user(), reason))
    word = "paused" if is_paused else "sending"
    if as_json:
        output.show_json({"destination_id": destination, "state": word, "changed": row is not None})
        return
    output.stdout().print(f"{destination} is {word}." if row else f"{destination} was {word} already.")
