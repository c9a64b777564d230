"""What senders write reaches a terminal as pictures, never as commands to it."""

import io
import sys

from console import output


def test_control_characters_are_shown_and_not_sent(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    output.show([{"transaction_id": "\x1b[31mRED\x1b[0m\nnew line", "status": "\x1b]0;title\x07"}], as_json=False)
    said = out.getvalue()
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "␛[31mRED␛[0m␊new line" in said
