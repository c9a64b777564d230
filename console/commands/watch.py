"""The interactive tail: its terminal. What keys mean is in `console/watching.py`; here they are read, and what they ask for is done.

One thread asks ClickHouse and another waits for keys, because both block; the main one draws, and it alone touches the state. `c` copies by
the terminal's own sequence (OSC 52), which works over ssh, too, where a clipboard program would copy on the wrong machine.
"""

import asyncio
import base64
import contextlib
import os
import queue
import select
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from rich.console import Group
from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from console import context, output
from console.commands.events import find, follow, line
from console.listing import Given
from console.watching import KEYS, Action, Row, Watching
from streams.runtime.errors import ClicktrailError
from streams.runtime.settings import Settings

Ask = Callable[[str, dict[str, Any]], list[Row]]
ARROWS = {b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down", b"\x1b": "escape"}
TURN_S = 0.1
DETAIL_LINES = 14


def is_possible() -> bool:
    """Say whether somebody sits at a terminal that can be drawn on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class _Stopped(Exception):  # noqa: N818 - no error: the end of a thread
    """Nobody wants the rows of this search any more."""


def watch(settings: Settings, ask: Ask, given: Given, first: int) -> None:
    """Show verdicts until somebody quits."""
    coming: queue.SimpleQueue[tuple[int, Row | Exception]] = queue.SimpleQueue()
    state, searches = Watching(str(given.get("q") or "")), 0
    stop = _started(ask, given, first, coming, searches)
    with _keyboard() as keys, Live(console=output.stdout(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(_drawn(state, live.console.size.height), refresh=True)
            for action in filter(None, map(state.press, keys(TURN_S))):
                if action.name == "quit":
                    stop.set()
                    return
                if action.name == "search":
                    stop.set()
                    searches += 1
                    stop = _started(ask, {**given, "q": action.text}, max(first, 1), coming, searches)
                else:
                    _do(settings, state, action, live)
            while not coming.empty():
                number, row = coming.get()
                if isinstance(row, Exception):
                    stop.set()
                    raise row
                state.add([row] if number == searches else [])


def _started(ask: Ask, given: Given, first: int, coming: "queue.SimpleQueue[tuple[int, Row | Exception]]", number: int) -> threading.Event:
    """Follow in a thread of its own; return what ends it."""
    stop = threading.Event()

    def asked(statement: str, parameters: dict[str, Any]) -> list[Row]:
        if stop.is_set():
            raise _Stopped
        return ask(statement, parameters)

    def run() -> None:
        try:
            for row in follow(asked, given, first, is_following=True):
                coming.put((number, row))
        except _Stopped:
            return
        except ClicktrailError as error:
            coming.put((number, error))

    threading.Thread(target=run, daemon=True).start()
    return stop


@contextlib.contextmanager
def _keyboard() -> Iterator[Callable[[float], list[str]]]:
    """Give a function that returns the keys that were pressed within some seconds. The terminal is as before at the end."""
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)

    def pressed(within_s: float) -> list[str]:
        if not select.select([number], [], [], within_s)[0]:
            return []
        raw = os.read(number, 1024)
        return [ARROWS[raw]] if raw in ARROWS else list(raw.decode(errors="replace")) if raw else ["q"]  # nothing: the terminal is gone

    try:
        tty.setcbreak(number)
        yield pressed
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _do(settings: Settings, state: Watching, action: Action, live: Live) -> None:
    assert action.row is not None
    event_id = action.row["event_id"]
    address = f"{settings.console_url()}/events/{quote(event_id, safe='')}"
    if action.name == "open":
        state.said = f"Opened {address}" if webbrowser.open(address) else f"No browser here; the address is {address}"
    elif action.name == "copy":
        live.console.file.write(f"\x1b]52;c;{base64.b64encode(event_id.encode()).decode()}\a")
        live.console.file.flush()
        state.said = f"Copied {event_id} (where the terminal allows it)."
    elif action.name == "resend":
        state.said = _resent(settings, event_id)


def _resent(settings: Settings, event_id: str) -> str:
    from console.commands.postbacks import found
    from console.warehouse import Warehouse
    from streams.delivery import orders
    from streams.delivery.orders import Place

    rows = found(Warehouse(settings), {"event": event_id}, ("postback_id", "event_id", "request_offset"), None)
    if not rows:
        return f"{event_id} has no postbacks."
    places = [Place(row["postback_id"], row["event_id"], row["request_offset"]) for row in rows]
    try:
        count = asyncio.run(orders.resend(settings, places, context.user(), "sent again from the tail", lambda *_: None))
    except ClicktrailError as error:
        return f"Not sent: {error.what} {error.remedy}"
    return f"Asked for {count} again; `clicktrail postbacks ls --event {event_id}` shows what becomes of it."


def _drawn(state: Watching, height: int) -> Group:
    details = _details(state.chosen) if state.has_details and state.chosen else []
    room = max(1, height - 3 - len(details))
    rows = [_row(row, is_chosen=is_chosen) for row, is_chosen in state.shown(room)]
    waiting = f" · paused, {state.waiting_count} new" if state.is_paused else ""
    title = f"{len(state.rows)} verdicts{f' · search {state.search}' if state.search else ''}{waiting}"
    last = f"/{state.typed}" if state.typed is not None else state.said or KEYS
    blank = [Text("Waiting for verdicts …", style="dim")] if not rows else []
    return Group(Rule(title, align="left"), *rows, *blank, *details, Text(last, no_wrap=True, overflow="ellipsis", style="dim"))


def _row(row: Row, *, is_chosen: bool) -> Text:
    text = Text.assemble("▸ " if is_chosen else "  ", line(row))
    text.no_wrap, text.overflow = True, "ellipsis"
    if is_chosen:
        text.stylize("reverse")
    return text


_explained: dict[tuple[str, int], list[str]] = {}


def _details(row: Row) -> list[Any]:
    """The explanation of a row, asked once."""
    from console.explaining import explained

    key = (row["event_id"], row["revision"])
    if key not in _explained:
        whole = next((each for each in find(row["event_id"]) if each["revision"] == row["revision"]), None)
        told = explained(whole) if whole else None
        steps = [f"{number}. {step}" for number, step in enumerate(told["steps"], 1)] if told else ["This verdict is no longer there."]
        because = [f"Because {told['because']}."] if told and told["because"] else []
        _explained.clear()
        _explained[key] = [
            *steps,
            *(f"- {each}" for each in (told["evidence"] if told else [])),
            *because,
            *([f"Next: {told['remedy']}"] if told else []),
        ]
    lines = _explained[key][:DETAIL_LINES]
    return [Rule(row["event_id"], align="left"), *(Text(each, no_wrap=True, overflow="ellipsis") for each in lines)]
