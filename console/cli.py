"""`clicktrail`: one command for everything that a person or a script does with the pipeline.

The table below is the whole command: a verb, and the function that does it, as `module:function` under `console.commands`; the help text
is the function's docstring. Names and not functions, because importing all of them costs a second of CPU and a call needs one: only the
module of the verb that was called is loaded (`--help` loads all). A role's process skips even the command-line library.

Exit codes: 0 ok, 1 a finding (something is missing, failed or differs; nothing has the id that was asked for), 2 usage or settings, 3 a service does not answer.
"""

import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from streams.runtime.errors import ClicktrailError, exit_code

VERBS = (
    ("up", "lifecycle:up"),
    ("down", "lifecycle:down"),
    ("status", "lifecycle:status"),
    ("doctor", "doctor:doctor"),
    ("worker", "worker:worker"),
    ("apply", "apply:apply"),
    ("export-workspace", "apply:export_workspace"),
    ("schema", "apply:schema"),
    ("send", "feed:send"),
    ("upload", "feed:upload"),
    ("gen", "feed:gen"),
    ("tail", "events:tail"),
    ("get", "events:get"),
    ("explain", "explain:explain"),
    ("timeline", "explain:timeline"),
    ("activity", "activity:activity"),
    ("sql", "data:sql"),
    ("export", "export:export"),
    ("import", "importing:import_"),
    ("migrate", "data:migrate"),
    ("rebuild", "rebuild:rebuild"),
    ("erase", "erase:erase"),
    ("lag", "groups:lag"),
)

GROUPS = (
    ("topics", "The topics of the topology.", (("ls", "kafka_topics:ls"), ("apply", "kafka_topics:apply"), ("grow", "kafka_topics:grow"))),
    ("dlq", "Dead letters: records that no stage could process.", (("ls", "dlq:ls"), ("show", "dlq:show"))),
    (
        "postbacks",
        "What we told traffic sources.",
        (
            ("ls", "postbacks:ls"),
            ("show", "postbacks:show"),
            ("retry", "postbacks:retry"),
            ("recover", "postbacks:recover"),
            ("test", "postbacks:trial"),
            ("pause", "postbacks:pause"),
            ("resume", "postbacks:resume"),
        ),
    ),
    ("users", "Who works in the workspace, and as what.", (("ls", "users:ls"), ("add", "users:add"), ("rm", "users:rm"))),
    ("tokens", "Keys of users to the API.", (("ls", "tokens:ls"), ("create", "tokens:create"), ("revoke", "tokens:revoke"))),
    ("presets", "The senders that are known.", (("ls", "presets:ls"), ("show", "presets:show"))),
    ("config", "The settings of this process.", (("show", "config:show"), ("check", "config:check"))),
)

NAMES_ONLY = "--names"
LIBRARIES = ("aiokafka", "kafka", "clickhouse_connect", "urllib3")


def loaded(target: str) -> Any:
    """Return the function that a line of the table names."""
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(f"console.commands.{module}"), function)


def build(called: str = "") -> Any:
    """Return the command (a typer app) with the verb that is called, or with all of them when it is none of the table."""
    import typer

    app = typer.Typer(
        name="clicktrail",
        help="One payload, one verdict, every decision explained.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(lambda: None)  # keeps the verb's name necessary when there is only one
    if called == NAMES_ONLY:
        for name, *_ in (*VERBS, *GROUPS):
            app.command(name)(lambda: None)
        return app
    is_known = called in {name for name, *_ in (*VERBS, *GROUPS)}
    for name, target in VERBS:
        if not is_known or name == called:
            app.command(name)(loaded(target))
    for name, doc, verbs in GROUPS:
        if not is_known or name == called:
            group = typer.Typer(help=doc, no_args_is_help=True)
            for verb, target in verbs:
                group.command(verb)(loaded(target))
            app.add_typer(group, name=name)
    return app


def completed(environment: Mapping[str, str]) -> str:
    """Return what to build for a shell that completes a line: its verb, or only the names while that is being typed.

    A Tab has to answer at once: with all verbs it takes 1.6 s of CPU, with one or with the names 0.4 s.
    """
    words = environment.get("COMP_WORDS") or environment.get("_TYPER_COMPLETE_ARGS") or ""
    verb = words.split()[1:2]
    is_typed = len(words.split()) > 2 or words[-1:].isspace() or environment.get("COMP_CWORD", "0") > "1"
    return verb[0] if verb and is_typed else NAMES_ONLY


def run(arguments: Sequence[str]) -> None:
    """Run the verb. SystemExit carries its code."""
    if arguments[:1] == ["worker"] and len(arguments) == 2 and not arguments[1].startswith("-"):
        from console import worker

        sys.exit(worker.start(arguments[1]))
    for library in LIBRARIES:  # what they have to say of a service that is away, the command says itself, once and with the next step
        logging.getLogger(library).setLevel(logging.CRITICAL)
    if os.environ.get("NO_COLOR"):
        from typer import rich_utils

        rich_utils.COLOR_SYSTEM = None  # of --help and usage errors; ours: output.py
    called = completed(os.environ) if "_CLICKTRAIL_COMPLETE" in os.environ else arguments[0] if arguments else ""
    build(called)(args=list(arguments), prog_name="clicktrail")


def main() -> None:
    """Run the command line; errors of ours become one sentence and their exit code."""
    try:
        run(sys.argv[1:])
    except ClicktrailError as error:
        from console import output

        output.complain(error.what, error.remedy)
        sys.exit(exit_code(error))
    except BrokenPipeError:  # `clicktrail tail | head`: nobody reads any more, and Python's last flush must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
