"""What a question in SQL may hold, when strangers ask it: an allow-list over ClickHouse's own parse of the statement.

`readonly` alone does not keep a question to the tables. Tried on ClickHouse 26.9: with `readonly = 2`, `file()`, `url()`, `remote()` and
`executable()` read files, call addresses and run programs; with `readonly = 1`, `SELECT file('/etc/passwd')`, `arrayMap(file, ['/etc/passwd'])`,
`* APPLY(file)`, `DESCRIBE TABLE file(…)`, `merge('system', '')`, `hasColumnInTable('host', …)` (it dials the host), `eval('…')` and KILL QUERY
still work. On a server, grants of the user close this (`sinks/ddl/users/query.sql`); the embedded engine has no users. So three belts:

1. Tokens: one statement, of a kind that reads, into no file; no identifier, quoted or not, that is the name of a function which is not
   allowed, wherever it stands (a function may be named without being called); no other database.
2. The engine's own syntax tree (`EXPLAIN AST`, which runs nothing): functions from the catalogue's harmless categories only, table functions
   from a list of four, tables from our own, statements from five kinds.
3. `readonly = 1` and limits of time, memory and rows, which the statement cannot change.

An allow-list, because the next version brings new functions: what is not known to be harmless is refused, by name, so that a person can ask
for it. Tables and views of ours are all that can be read; what they hold is the account's whole log, hence the right `query_sql`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sinks.embedded.errors import ServerError
from sinks.embedded.statement import Statement, Token, parse, tokens
from sinks.tables import TABLES
from sinks.views import VIEWS
from streams.runtime.errors import BadSettings, near_match

QUERY_USER: Final = "clicktrail_query"
READABLE: Final = frozenset(found.name for found in (*TABLES, *VIEWS))
CATALOGUE: Final = "SELECT name, categories, alias_to, is_aggregate, toString(origin) AS origin FROM system.functions"
DATABASES: Final = "SELECT name FROM system.databases"
LIMITS: Final[Mapping[str, Any]] = {
    "readonly": 1,
    "max_execution_time": 30,
    "max_memory_usage": 2 << 30,
    "max_result_rows": 100_000,
    "max_result_bytes": 256 << 20,
    "max_bytes_before_external_group_by": 512 << 20,
    "max_bytes_before_external_sort": 512 << 20,
    "max_threads": 4,
    "max_ast_depth": 500,
    "max_ast_elements": 20_000,
    "max_expanded_ast_elements": 200_000,
}

KINDS: Final = (b"SELECT", b"WITH", b"FROM", b"(", b"EXPLAIN", b"SHOW", b"DESCRIBE", b"DESC")
TABLE_FUNCTIONS: Final = {"numbers", "numbers_mt", "generateseries", "generate_series", "values", "sqlstandardvalues"}
CATEGORIES: Final = frozenset({
    "Aggregate Functions", "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times", "Distance", "Encoding",
    "Financial", "Geo", "Geo Polygon", "Hash", "IP Address", "JSON", "Logical", "Map", "Mathematical", "Null", "Random Number", "Rounding",
    "String", "String Replacement", "String Search", "String Splitting", "Time Window", "Tuple", "Type Conversion", "URL", "UUID",
})  # fmt: skip
# Harmless ones of the other categories, and what the parser writes without being a function of the catalogue.
ALSO: Final = frozenset({
    "bar", "transform", "identity", "materialize", "ignore", "version", "totypename", "tocolumntypename", "formatreadabledecimalsize",
    "formatreadablesize", "formatreadabletimedelta", "formatreadablequantity", "parsetimedelta", "countdigits", "isdecimaloverflow", "isconstant",
    "neighbor", "runningdifference", "runningdifferencestartingwithfirstvalue", "runningaccumulate", "rownumberinblock", "rownumberinallblocks",
    "blocknumber", "bytesize", "currentdatabase", "database", "revision", "currentuser", "uptime", "digits", "timezone", "initializeaggregation", "finalizeaggregation", "minsamplesizeconversion",
    "minsamplesizecontinuous", "visiblewidth", "lowcardinalityindices", "lowcardinalitykeys", "casewithexpression", "lambda", "exists", "grouping",
})  # fmt: skip
NEVER: Final = frozenset({"chdb", "aggthrow", "flamegraph"})
COMBINATORS: Final = re.compile(
    r"(?i)(if|array|map|simplestate|state|merge|mergestate|foreach|distinct|ordefault|ornull|resample|argmin|argmax)$"
)
NO_SYSTEM: Final[frozenset[str]] = frozenset()
CLIENTS_SYSTEM: Final = frozenset({"settings", "one"})  # clickhouse-connect reads the settings when it connects
ALL_SYSTEM: Final = frozenset({"*"})
_NODE = re.compile(r"^( *)(\w+)(?: (.*?))?(?: \(alias .*\))?(?: \(children \d+\))?$")
_SELECTS = frozenset({"SelectWithUnionQuery", "SelectQuery", "SelectIntersectExceptQuery"})
_NAMING = frozenset({"ShowTables", "ShowCreateTableQuery", "ShowCreateViewQuery"})
_EXPLAINS = frozenset({"EXPLAIN", "EXPLAIN AST", "EXPLAIN SYNTAX", "EXPLAIN QUERY TREE", "EXPLAIN PIPELINE", "EXPLAIN ESTIMATE"})
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")


class NotAllowed(BadSettings):
    """A statement that is no question to our tables: says what in it is not allowed."""


class Catalogue(NamedTuple):
    """What the engine knows, sorted: functions that may be used, functions that may not (both in lower case), foreign databases."""

    allowed: frozenset[str]
    refused: frozenset[str]
    databases: frozenset[str]
    own: str
    system: frozenset[str]

    @classmethod
    def of(
        cls, functions: Iterable[Mapping[str, Any]], databases: Iterable[str], own: str, system: frozenset[str] = NO_SYSTEM
    ) -> "Catalogue":
        """Sort the rows of CATALOGUE; `own` is the database that may be read, `system` which tables of the engine's own."""
        rows = list(functions)
        meant = {row["name"]: row["alias_to"] or row["name"] for row in rows}
        category = {row["name"]: row["categories"] for row in rows}
        fine, rest = set(ALSO), set[str]()
        for row in rows:
            name = row["name"].lower()
            is_system = row["origin"] in {"System", ""}
            is_fine = category.get(meant[row["name"]], "") in CATEGORIES and is_system and not name.startswith("ai")
            (fine if (is_fine or bool(row["is_aggregate"])) and name not in NEVER else rest).add(name)
            if row["alias_to"].lower() in ALSO:
                fine.add(name)
        rest |= NEVER
        foreign = {name.lower() for name in databases} | {"system", "information_schema", "_temporary_and_external_tables"}
        return cls(frozenset(fine - NEVER), frozenset(rest - fine), frozenset(foreign - {own.lower()}), own, system)

    def is_foreign(self, database: str, table: str) -> bool:
        """Say whether a table (both names in lower case) is of a database that may not be read."""
        return database in self.databases and not (database == "system" and self.system & {table, "*"})


def read(text: str, catalogue: Catalogue) -> Statement:
    """Return the statement of a text, if its words alone are fine. NotAllowed says what is not."""
    raw = text.strip().encode()
    if b"\0" in raw:
        raise NotAllowed("A zero byte is no SQL.")
    try:
        found = parse(raw)
    except ServerError as error:
        raise NotAllowed(error.message) from error
    words = list(tokens(found.body))
    if not words or words[0].value not in KINDS or found.kind != "read":
        raise NotAllowed(
            f"{_shown(words[0].value) if words else 'Nothing'} is no question.", "Begin with SELECT, WITH, EXPLAIN, SHOW or DESCRIBE."
        )
    if words[0].value == b"SHOW" and words[1:2] and words[1].value not in {b"TABLES", b"CREATE"}:
        raise NotAllowed(f"SHOW {_shown(words[1].value)} is not answered here.", "SHOW TABLES and SHOW CREATE are.")
    if any(token.value == b"SETTINGS" for token in tokens(found.tail)):
        raise NotAllowed("Settings are not yours to choose here.", "Leave SETTINGS away.")
    _check_words(words, catalogue)
    return found


def check_tree(tree: str, statement: Statement, catalogue: Catalogue) -> None:
    """Check the answer to `EXPLAIN AST` of the statement's body. NotAllowed says what in it is not allowed."""
    nodes = [match.groups("") for line in tree.split("\n") if (match := _NODE.match(line))]
    if not nodes:
        raise NotAllowed("This statement cannot be read.")
    names = _own_names(statement)
    _check_kind(nodes, catalogue)
    parent = ""
    for indent, kind, text in nodes:
        if parent == "TableExpression":
            _check_source(kind, text, names, catalogue)
        elif kind == "Set" and not (nodes[0][1] == "Explain" and len(indent) == 1):  # of an EXPLAIN; anything else would be a query's own
            raise NotAllowed("Settings are not yours to choose here.", "Leave SETTINGS away.")
        elif kind == "ColumnsApplyTransformer":  # the tree does not say which function it applies
            raise NotAllowed("APPLY is not allowed here.", "Name the columns.")
        elif kind == "Function":
            _check_function(text, catalogue)
        elif kind == "Identifier":
            _check_identifier(text, catalogue)
        parent = kind


def _check_words(words: list[Token], catalogue: Catalogue) -> None:
    """Every word, wherever it stands."""
    for at, token in enumerate(words):
        after = [later.value for later in words[at + 1 : at + 3]]
        if token.value == b"OUTFILE" and words[at - 1].value == b"INTO":
            raise NotAllowed("Answers go into no file of the server.")
        name = _identifier(token.value)
        if name is None:
            continue
        if name in catalogue.refused:
            raise NotAllowed(f"{name} is a function that is not allowed here.", "If it is a name of yours, choose another one.")
        if after[:1] == [b"."] and catalogue.is_foreign(name, (_identifier(after[1]) if len(after) > 1 else None) or ""):
            raise NotAllowed(f"The database {name} is not yours to read.", f"What can be read: {', '.join(sorted(READABLE))}.")


def _check_kind(nodes: list[tuple[str, ...]], catalogue: Catalogue) -> None:
    """The statement, and what an EXPLAIN explains."""
    _, kind, text = nodes[0]
    inner = [node for node in nodes if len(node[0]) == 1]
    if kind == "Explain":
        if text not in _EXPLAINS or any(node[1] not in {*_SELECTS, "Set"} for node in inner):
            raise NotAllowed("Only a SELECT can be explained here.")
    elif kind in _NAMING:
        known = {name.lower() for name in READABLE} | {catalogue.own.lower()}
        foreign = [node[2] for node in inner if node[1] != "Identifier" or node[2].lower() not in known]
        if foreign:
            raise NotAllowed(f"{foreign[0]} is not yours to read.", f"What can be read: {', '.join(sorted(READABLE))}.")
    elif kind not in {*_SELECTS, "DescribeQuery"}:
        raise NotAllowed("This kind of statement is not answered here.", "Ask with SELECT, EXPLAIN, SHOW TABLES, SHOW CREATE or DESCRIBE.")


def _check_source(kind: str, text: str, names: set[str], catalogue: Catalogue) -> None:
    """What a FROM, a JOIN or a DESCRIBE reads."""
    if kind == "Subquery":
        return
    if kind == "Function":
        if text.lower() not in TABLE_FUNCTIONS:
            raise NotAllowed(f"The table function {text} is not allowed here.", "numbers, generateSeries and VALUES are.")
        return
    database, _, table = text.rpartition(".")
    is_ours = table in READABLE and database in {"", catalogue.own}
    is_system = database == "system" and not catalogue.is_foreign(database, table)
    if kind != "TableIdentifier" or not (is_ours or is_system or text in names):
        raise NotAllowed(
            f"There is no table {text}.", near_match(text, sorted(READABLE)) or f"The tables are: {', '.join(sorted(READABLE))}."
        )


def _check_identifier(text: str, catalogue: Catalogue) -> None:
    """A name: of a column, of a function that is handed on, or behind IN of a table."""
    parts = text.lower().split(".")
    if any(part in catalogue.refused for part in parts):
        raise NotAllowed(f"{text} is a function that is not allowed here.", "If it is a name of yours, choose another one.")
    if len(parts) > 1 and catalogue.is_foreign(parts[0], parts[1]):
        raise NotAllowed(f"The database {parts[0]} is not yours to read.", f"What can be read: {', '.join(sorted(READABLE))}.")


def _check_function(name: str, catalogue: Catalogue) -> None:
    """A function as it is called; aggregates may have combinators behind their names."""
    base = name.lower()
    while base not in catalogue.allowed:
        shorter = COMBINATORS.sub("", base)
        if shorter == base or base in catalogue.refused:
            raise NotAllowed(
                f"The function {name} is not allowed here, or does not exist.", near_match(name.lower(), sorted(catalogue.allowed))
            )
        base = shorter


def _own_names(statement: Statement) -> set[str]:
    """Return the names that the statement gives to subqueries (WITH name AS …); only plain ones, as a file's name could be one, too."""
    words = list(tokens(statement.body))
    found = set()
    for at, token in enumerate(words[:-2]):
        if words[at + 1].value == b"AS" and words[at + 2].value in {b"(", b"MATERIALIZED"}:
            name = statement.body[token.start : token.end].decode().strip('`"')
            if _PLAIN_NAME.match(name):
                found.add(name)
    return found


def _identifier(value: bytes) -> str | None:
    """Return a token's name in lower case if it is an identifier. NotAllowed for a quoted one that needs unescaping to be read."""
    if value[:1] in {b'"', b"`"} and len(value) > 1:
        inner = value[1:-1]
        if b"\\" in inner or inner.count(value[:1]) or any(byte < 32 for byte in inner):
            raise NotAllowed("A quoted name with escapes or line breaks in it is not allowed here.")
        return inner.decode(errors="replace").lower()
    return value.decode(errors="replace").lower() if value[:1].isalpha() or value[:1] == b"_" else None


def _shown(value: bytes) -> str:
    return value.decode(errors="replace")[:40]
