"""SQL that a person wrote: checked to be a question to our tables, then asked as the user that may do nothing else.

`sinks/read_only.py` says what is allowed and why; this is the way through it, for the server and for the command line. The catalogue of the
engine's functions is asked once per process. An answer in JSON has the names and types of the columns, the rows, and how much was read.
"""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from console.asking import Asker
from console.listing import Question
from console.warehouse import Warehouse
from sinks import read_only
from sinks.embedded.statement import Statement
from streams.runtime.errors import BadSettings, near_match

FORMATS: Mapping[str, str] = {
    "JSON": "application/json",
    "JSONCompact": "application/json",
    "JSONEachRow": "application/x-ndjson",
    "CSVWithNames": "text/csv",
    "TabSeparatedWithNames": "text/tab-separated-values",
    "TabSeparated": "text/tab-separated-values",
    "PrettyCompact": "text/plain",
    "PrettyCompactMonoBlock": "text/plain",
    "Vertical": "text/plain",
    "Markdown": "text/markdown",
    "Parquet": "application/vnd.apache.parquet",
    "ArrowStream": "application/vnd.apache.arrow.stream",
}


class Sql(NamedTuple):
    """A question that is allowed, and the format that it names itself."""

    question: Question
    output_format: str | None


def format_of(name: str) -> str:
    """Return a format by its name, however it is written. BadSettings when there is none."""
    for known in FORMATS:
        if name.lower() == known.lower():
            return known
    raise BadSettings(f"There is no format {name!r} here.", near_match(name, list(FORMATS)) or f"The formats are: {', '.join(FORMATS)}.")


class SqlDesk:
    """Questions of people, asynchronously. NotAllowed for what is none; QueryRefused and Unavailable from whoever answers.

    `reader` reads the engine's catalogue, which the restricted user may not; `asker` is that user.
    """

    def __init__(self, reader: Asker, asker: Asker, database: str) -> None:
        self._reader = reader
        self._asker = asker
        self._database = database
        self._catalogue: read_only.Catalogue | None = None

    async def checked(self, text: str, values: Mapping[str, object]) -> Sql:
        """Return the question in a text; `values` are those of its parameters ({name:Type})."""
        if self._catalogue is None:
            functions = await self._reader.rows(Question(read_only.CATALOGUE, {}))
            databases = await self._reader.rows(Question(read_only.DATABASES, {}))
            self._catalogue = read_only.Catalogue.of(functions, [row["name"] for row in databases], self._database)
        found = read_only.read(text, self._catalogue)
        if unused := [name for name in values if f"{{{name}:" not in text]:
            raise BadSettings(f"The statement has no parameter {unused[0]!r}.", "Parameters look like {name:String}.")
        read_only.check_tree(await self._reader.text(Question(tree_question(found), dict(values))), found, self._catalogue)
        return Sql(Question(body(found), dict(values)), found.format)

    async def close(self) -> None:
        """Close the connections of the restricted user."""
        await self._asker.close()

    async def stream(self, question: Question, output_format: str) -> AsyncIterator[bytes]:
        """Return the answer piece by piece."""
        return await self._asker.stream(question, output_format, read_only.LIMITS)


def checked(reader: Warehouse, database: str, text: str) -> Sql:
    """Return the question in a text for the command line, whose user is the operator: the engine's own tables may be read, too."""
    databases = [row["name"] for row in reader.rows(read_only.DATABASES)]
    catalogue = read_only.Catalogue.of(reader.rows(read_only.CATALOGUE), databases, database, read_only.ALL_SYSTEM)
    found = read_only.read(text, catalogue)
    tree = b"".join(reader.stream(tree_question(found), "TabSeparatedRaw")).decode(errors="replace")
    read_only.check_tree(tree, found, catalogue)
    return Sql(Question(body(found), {}), found.format)


def tree_question(found: Statement) -> str:
    """Return the question for the engine's parse of a statement."""
    return f"EXPLAIN AST {body(found)}"


def body(found: Statement) -> str:
    """Return a statement without its FORMAT."""
    return found.body.decode().strip().rstrip(";")
