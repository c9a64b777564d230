"""The interactive tail without its terminal: which verdicts are there, which one is chosen, what a key does.

Kept apart from the drawing (`commands/watch.py`), so that every key is tried without a terminal. The choice follows the newest row until
somebody moves it; then it stays at its row whatever comes. While it is paused, what comes waits and is counted: nothing jumps under the eye.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

KEPT = 2_000
KEYS = "j/k move · d details · o open in the browser · c copy the id · r resend its postbacks · space pause · / search · q quit"
NAMES: Mapping[str, str] = {"down": "j", "up": "k", "\n": "d", "\r": "d", "\x03": "q", "\x04": "q"}
ACTIONS = {"d": "details", "o": "open", "c": "copy", "r": "resend"}
ERASE = ("\x7f", "\x08")
Row = dict[str, Any]


class Action(NamedTuple):
    """What the terminal has to do: open, copy, resend, details (with the chosen row), search (with its text), quit."""

    name: str
    row: Row | None = None
    text: str = ""


class Watching:
    """The state. `search` is what the rows are filtered by; `typed` what is being typed for it, None when nothing is."""

    def __init__(self, search: str = "") -> None:
        self.rows: deque[Row] = deque(maxlen=KEPT)
        self.waiting: deque[Row] = deque(maxlen=KEPT)
        self.waiting_count = 0
        self.search = search
        self.typed: str | None = None
        self.asked: Row | None = None  # whose postbacks are resent when the answer is y
        self.is_paused = False
        self.has_details = False
        self.said = ""
        self._chosen: tuple[str, int] | None = None

    def add(self, rows: Iterable[Row]) -> None:
        """Take what came: behind the others, or among the waiting."""
        for row in rows:
            (self.waiting if self.is_paused else self.rows).append(row)
            self.waiting_count += self.is_paused

    @property
    def place(self) -> int:
        """Where the chosen row stands: the last one unless another was chosen; -1 without rows."""
        found = next((at for at, row in enumerate(self.rows) if _key(row) == self._chosen), None)
        return len(self.rows) - 1 if found is None else found

    @property
    def chosen(self) -> Row | None:
        """The chosen row."""
        return self.rows[self.place] if self.rows else None

    def shown(self, height: int) -> list[tuple[Row, bool]]:
        """Return the rows that fit, and whether each is the chosen one."""
        place = self.place
        first = max(0, min(place - height // 2, len(self.rows) - height)) if self._chosen else max(0, len(self.rows) - height)
        return [(row, first + at == place) for at, row in enumerate(list(self.rows)[first : first + height])]

    def press(self, key: str) -> Action | None:
        """Return what a key asks for, None when it only moved something here."""
        self.said = ""
        if self.typed is not None:
            return self._type(key)
        if self.asked is not None:
            row, self.asked = self.asked, None
            if key == "y":
                return Action("resend", row)
            self.said = "Nothing was sent."
            return None
        return self._command(NAMES.get(key, key))

    def _command(self, key: str) -> Action | None:
        if key == "q":
            return Action("quit")
        if key in ("j", "k"):
            self._move(1 if key == "j" else -1)
        elif key == " ":
            self._pause()
        elif key == "/":
            self.typed = ""
        elif key == "escape":
            self.has_details = False
        elif key in ACTIONS:
            return self._act(ACTIONS[key])
        else:
            self.said = KEYS
        return None

    def _act(self, name: str) -> Action | None:
        if self.chosen is None:
            self.said = "There is no row yet."
            return None
        if name == "resend":
            self.asked = self.chosen
            self.said = f"Send the postbacks of {self.chosen['event_id']} again? y / n"
            return None
        if name == "details":
            self.has_details = not self.has_details
            self._chosen = _key(self.chosen)
        return Action(name, self.chosen)

    def _move(self, by: int) -> None:
        place = self.place + by
        if 0 <= place < len(self.rows):
            self._chosen = _key(self.rows[place]) if place < len(self.rows) - 1 else None  # at the end it follows again

    def _pause(self) -> None:
        self.is_paused = not self.is_paused
        if not self.is_paused:
            self.rows.extend(self.waiting)
            self.waiting.clear()
            self.waiting_count = 0

    def _type(self, key: str) -> Action | None:
        assert self.typed is not None
        if key in ("\n", "\r"):
            text, self.typed = self.typed.strip(), None
            return self._searched(text)
        if key in ("escape", "\x03"):
            self.typed = None
        elif key in ERASE:
            self.typed = self.typed[:-1]
        elif key.isprintable() and len(key) == 1:
            self.typed += key
        return None

    def _searched(self, text: str) -> Action:
        self.search, self._chosen, self.has_details = text, None, False
        self.rows.clear()
        self.waiting.clear()
        self.waiting_count = 0
        return Action("search", None, text)


def _key(row: Row) -> tuple[str, int]:
    return row["event_id"], row["revision"]
