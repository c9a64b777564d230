"""`clicktrail`: one command for everything that a person or a script does with the pipeline.

The table below is the whole command: verb, function, one line of help comes from the function's docstring. No decorators, so that
importing a command does nothing, and each verb's module is a small file. Modules that a verb needs (Kafka, ClickHouse, Faust) are
imported inside it: `clicktrail --help` takes 0.3 s instead of 2.

Exit codes: 0 ok, 1 a finding (something is missing, failed or differs), 2 usage or settings, 3 a service does not answer.
"""

import sys

import typer

from console import output
from console.commands import apply, config, data, dlq, doctor, events, explain, feed, groups, kafka_topics, lifecycle, worker
from streams.runtime.errors import ClicktrailError, exit_code

VERBS: tuple[tuple[str, output.Command], ...] = (
    ("up", lifecycle.up),
    ("down", lifecycle.down),
    ("status", lifecycle.status),
    ("doctor", doctor.doctor),
    ("worker", worker.worker),
    ("apply", apply.apply),
    ("export-workspace", apply.export_workspace),
    ("schema", apply.schema),
    ("send", feed.send),
    ("gen", feed.gen),
    ("tail", events.tail),
    ("get", events.get),
    ("explain", explain.explain),
    ("timeline", explain.timeline),
    ("sql", data.sql),
    ("migrate", data.migrate),
    ("lag", groups.lag),
)

GROUPS: tuple[tuple[str, str, tuple[tuple[str, output.Command], ...]], ...] = (
    ("topics", "The topics of the topology.", (("ls", kafka_topics.ls), ("apply", kafka_topics.apply))),
    ("dlq", "Dead letters: records that no stage could process.", (("ls", dlq.ls), ("show", dlq.show))),
    ("config", "The settings of this process.", (("show", config.show), ("check", config.check))),
)


def build() -> typer.Typer:
    """Return the command, made from the tables above."""
    app = typer.Typer(
        name="clicktrail",
        help="One payload, one verdict, every decision explained.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, function in VERBS:
        app.command(name)(function)
    for name, doc, verbs in GROUPS:
        group = typer.Typer(help=doc, no_args_is_help=True)
        for verb, function in verbs:
            group.command(verb)(function)
        app.add_typer(group, name=name)
    return app


def main() -> None:
    """Run the command line; errors of ours become one sentence and their exit code."""
    try:
        build()()
    except ClicktrailError as error:
        output.complain(error.what, error.remedy)
        sys.exit(exit_code(error))
    except BrokenPipeError:  # `clicktrail tail | head`
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
