"""The ways in which the machine can be broken. A verdict is data and never raises; an exception means that we cannot go on.

    ClicktrailError
    ├── BadSettings   exit 2   a person must change something; says what, why and the nearest name that exists
    ├── NotFound      exit 1   what was asked for by its id is not there (yet); the question was right
    ├── Unavailable   exit 3   a service does not answer; a retry (stamina, or the supervisor's restart) can help
    └── Poison        no exit  this one record cannot be processed: it goes to dead letters with its reason, the chunk goes on

Exit codes are part of the CLI's surface: 0 ok, 1 a finding, 2 usage or settings, 3 unavailable. So that scripts can rely on them, every
entry point maps errors through `exit_code` and nothing else.
"""

from difflib import get_close_matches


class ClicktrailError(Exception):
    """Says what is wrong in one sentence; `remedy` says what to do next."""

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


class BadSettings(ClicktrailError):  # noqa: N818 - the family is called so everywhere
    """A setting, a file or an argument is wrong: nothing that time could heal."""

    exit_code = 2


class NotFound(ClicktrailError):  # noqa: N818 - the family is called so everywhere
    """Nothing has this id. A finding, not a misuse: scripts ask again for what was just accepted."""


class Unavailable(ClicktrailError):  # noqa: N818 - the family is called so everywhere
    """Kafka, ClickHouse or a role does not answer. Time can heal it."""

    exit_code = 3


class Poison(ClicktrailError):  # noqa: N818 - the family is called so everywhere
    """One record that no stage can process. `error_class` is from a closed set, it becomes a header of the dead letter."""

    def __init__(self, error_class: str, what: str) -> None:
        super().__init__(what)
        self.error_class = error_class


def exit_code(error: BaseException) -> int:
    """Return the exit code of any exception: ours by family, everything else is a bug and ends as 1."""
    return error.exit_code if isinstance(error, ClicktrailError) else 1


def near_match(name: str, known: list[str]) -> str:
    """Return 'Did you mean X?' for the nearest known name, or an empty string when nothing is near."""
    found = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean {found[0]}?" if found else ""
