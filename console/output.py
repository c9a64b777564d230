"""How the commands answer: tables and sentences for people, JSON for programs; results on stdout, everything else on stderr.

One door for all verbs, so that `--json`, NO_COLOR, pipes and exit codes behave the same everywhere. Without a terminal, and with NO_COLOR,
no escape sequence is written (rich alone would leave bold and dim); a narrow pipe must not fold a table, so there it is as wide as it needs.
Status is never told by colour alone: the word always stands there.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from console import json_text

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]

COLOURS = {
    "ok": "green", "discarded": "bright_black", "deduplicated": "bright_black", "error": "red", "created": "green", "updated": "yellow",
    "deleted": "red", "missing": "red", "too_few": "red", "running": "green", "stopped": "bright_black", "starting": "yellow", "failed": "red",
    "proved": "green", "no_test": "red", "not_run": "yellow", "skipped": "yellow",
}  # fmt: skip
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
MARKS = {"ok": "✔", "discarded": "·", "deduplicated": "=", "error": "✘"}


class SafeConsole(Console):
    """A console that shows control characters instead of sending them: ids and words come from senders, and could drive the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with what is content (colours travel beside it) made harmless."""
        for segment in super().render(renderable, options):
            is_safe = segment.control or not CONTROL.search(segment.text)
            yield segment if is_safe else Segment(CONTROL.sub(_visible, segment.text), segment.style)


def _visible(found: re.Match[str]) -> str:
    """The picture of a control character: ESC becomes ␛."""
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "�"


def stdout() -> Console:
    """Return the console for results. A new one per use: tests and pagers exchange sys.stdout."""
    is_terminal = sys.stdout.isatty()
    return SafeConsole(
        file=sys.stdout, width=None if is_terminal else 250, highlight=False, soft_wrap=not is_terminal, color_system=colours()
    )


def stderr() -> Console:
    """Return the console for progress, hints and errors."""
    return SafeConsole(file=sys.stderr, highlight=False, soft_wrap=True, color_system=colours())


def colours() -> Literal["auto"] | None:
    """Return how rich may style what it writes: not at all where NO_COLOR is set to anything (https://no-color.org)."""
    return None if os.environ.get("NO_COLOR") else "auto"


def as_text(value: Any) -> str:
    """Return a cell's text: nothing for None, times in UTC to the millisecond, everything else as it is."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return json_text.money(value)
    return CONTROL.sub(_visible, str(value)).replace("\n", "␊")  # here, too: a table measures its cells before it renders them


def dumps(value: Any, *, is_line: bool = False) -> str:
    """Return JSON: indented for one answer, a line of its own in a stream."""
    return json_text.dump(value, is_line=is_line).decode()


def show_json(value: Any) -> None:
    """Print one JSON answer."""
    print(dumps(value))


def show_table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None, title: str | None = None) -> None:
    """Print rows as a table; the first row names the columns unless they are given."""
    names = list(columns or (rows[0] if rows else ()))
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for name in names:
        is_number = bool(rows) and all(
            isinstance(row.get(name), int | float | Decimal) and not isinstance(row.get(name), bool) for row in rows
        )
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(coloured(as_text(row.get(name))) for name in names))
    stdout().print(table)


def coloured(text: str) -> Text:
    """Return the text in the colour of its word, if it has one."""
    return Text(text, style=COLOURS.get(text, ""))


def show(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Iterable[str] | None = None, empty: str = "Nothing found.") -> None:
    """Print rows in the form that was asked for; an empty table says so on stderr."""
    if as_json:
        show_json(rows)
    elif rows:
        show_table(rows, columns)
    else:
        note(empty)


def note(text: str) -> None:
    """Print a sentence that is no result."""
    stderr().print(Text(text))


def complain(what: str, remedy: str = "") -> None:
    """Print an error: what and why, then the next step."""
    line = Text.assemble(("Error: ", "bold red"), what)
    stderr().print(line)
    if remedy:
        stderr().print(Text(f"  {remedy}"))


def finding(is_found: bool) -> None:
    """End with exit code 1 when something was found that a script must see."""
    if is_found:
        raise typer.Exit(1)


def now_text() -> str:
    """Return the time of day in UTC, for lines of a log that a person watches."""
    return datetime.now(UTC).strftime("%H:%M:%S")


Command = Callable[..., Any]
