"""The interactive tail: what every key does, without a terminal; what shells complete."""

import subprocess
import sys

import pytest

from console import cli
from console.watching import KEYS, Watching
from tests import command_line


def rows(*ids):
    return [{"event_id": event_id, "revision": 1} for event_id in ids]


@pytest.fixture
def state():
    made = Watching()
    made.add(rows("a", "b", "c"))
    return made


def test_the_choice_follows_the_newest_until_it_is_moved_and_again_at_the_end(state):
    assert state.chosen["event_id"] == "c"
    assert state.press("k") is None
    assert state.chosen["event_id"] == "b"
    state.add(rows("d"))
    assert state.chosen["event_id"] == "b"
    state.press("j")
    state.press("down")
    assert state.chosen["event_id"] == "d"
    state.add(rows("e"))
    assert state.chosen["event_id"] == "e"


def test_only_what_fits_is_shown_with_the_choice_in_it(state):
    state.add(rows(*map(str, range(50))))
    assert [(row["event_id"], is_chosen) for row, is_chosen in state.shown(2)] == [("48", False), ("49", True)]
    for _ in range(30):
        state.press("up")
    shown = state.shown(5)
    assert len(shown) == 5
    assert [row["event_id"] for row, is_chosen in shown if is_chosen] == ["19"]


def test_paused_rows_wait_and_are_counted(state):
    state.press(" ")
    state.add(rows("d", "e"))
    assert (len(state.rows), state.waiting_count) == (3, 2)
    state.press(" ")
    assert ([row["event_id"] for row in state.rows][-2:], state.waiting_count) == (["d", "e"], 0)


def test_keys_ask_for_what_they_say(state):
    assert [state.press(key).name for key in ("o", "c", "d")] == ["open", "copy", "details"]
    assert state.has_details
    state.press("escape")
    assert not state.has_details
    assert state.press("q").name == "quit"
    assert state.press("\x03").name == "quit"
    state.press("x")
    assert state.said == KEYS


def test_nothing_is_sent_again_without_a_yes(state):
    assert state.press("r") is None
    assert "y / n" in state.said
    assert state.press("n") is None
    assert state.said == "Nothing was sent."
    state.press("r")
    assert state.press("y").row["event_id"] == "c"


def test_a_search_is_typed_corrected_and_left(state):
    for key in "/e1x":
        state.press(key)
    state.press("\x7f")
    assert state.typed == "e1"
    action = state.press("\r")
    assert (action.name, action.text, state.search, len(state.rows)) == ("search", "e1", "e1", 0)
    state.press("/")
    state.press("q")
    assert (state.press("escape"), state.typed, state.search) == (None, None, "e1")
    assert state.press("d") is None
    assert "no row" in state.said


def test_what_is_completed_loads_only_what_it_needs():
    assert cli.completed({"COMP_WORDS": "clicktrail ta", "COMP_CWORD": "1"}) == cli.NAMES_ONLY
    assert cli.completed({"COMP_WORDS": "clicktrail tail --sta", "COMP_CWORD": "2"}) == "tail"
    assert cli.completed({"_TYPER_COMPLETE_ARGS": "clicktrail postbacks "}) == "postbacks"
    assert {command.name for command in cli.build(cli.NAMES_ONLY).registered_commands} == {name for name, *_ in (*cli.VERBS, *cli.GROUPS)}


@pytest.mark.parametrize(
    ("shell", "given"),
    [
        ("bash", {"COMP_WORDS": "clicktrail tail --status ", "COMP_CWORD": "3"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "clicktrail tail --status "}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "clicktrail tail --status ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_shells_complete_verbs_options_and_words(tmp_path, shell, given):
    env = command_line.nowhere(tmp_path) | given | {"_CLICKTRAIL_COMPLETE": f"complete_{shell}"}
    done = subprocess.run([sys.executable, "-m", "console.cli"], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert all(word in done.stdout for word in ("ok", "discarded", "deduplicated", "error")), done.stderr


def test_a_tail_that_shall_be_interactive_needs_a_terminal(tmp_path):
    assert "no terminal" in command_line.run("tail", "--output", "interactive", env=command_line.nowhere(tmp_path), code=2).said
