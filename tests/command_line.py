"""The command line as somebody types it, in this process: starting Python for each command costs a second.

One way for all tests, because the details matter to what they prove: nothing of the tester's own CLICKTRAIL_* settings is seen, stdout is
bytes (exports are), and an exit code is an exit code also where the command ended without one.
"""

import contextlib
import io
import os
import sys
from typing import NamedTuple
from unittest import mock

from console import cli


class Ended(NamedTuple):
    """How a command ended: its exit code, stdout as bytes, stderr as text."""

    code: int
    out: bytes
    said: str


def environment(**settings):
    """This process's environment with these settings and no others: `KAFKA__EPOCH="2"`."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("CLICKTRAIL_")}
    return bare | {f"CLICKTRAIL_{name}": str(value) for name, value in settings.items()}


def nowhere(folder):
    """An environment in which no service is there, and the data folder is `folder`."""
    return environment(
        KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1", CLICKHOUSE__URL="http://127.0.0.1:1", INGEST__PORT="1", METRICS_PORT="1", DATA_DIR=folder
    )


def run(*arguments, env, stdin=b"", code=None):
    """Run `clicktrail ARGUMENTS` in an environment; with `code`, any other exit code is a failure that shows what was said."""
    raw, said, found = io.BytesIO(), io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, env, clear=True),
        mock.patch.object(sys, "argv", ["clicktrail", *arguments]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        contextlib.redirect_stdout(io.TextIOWrapper(raw, encoding="utf-8", write_through=True)) as out,
        contextlib.redirect_stderr(said),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            found = ended.code or 0
        out.flush()
    assert code is None or found == code, f"{arguments}: {found}\n{raw.getvalue()!r}\n{said.getvalue()}"
    return Ended(found, raw.getvalue(), said.getvalue())
