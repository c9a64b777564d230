"""What kind of statement a request holds, and where its pieces are: just enough SQL to route it, never to judge it.

The engine parses every statement itself. We only need to know, before that, things which a server's parser would tell it:
whether rows of data follow the statement in the same body (and at which byte they begin, since they may be binary), which output
format it names, whether a second statement hides behind a semicolon (chDB would run both), and whether it touches files of the
machine (`INTO OUTFILE`, `FROM INFILE`: refused over HTTP by servers, too). So this is a tokenizer and a scan over the words
outside of parentheses; a statement that we do not understand goes to the engine as it is and earns its real error message.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sinks.embedded.errors import INTO_OUTFILE_NOT_ALLOWED, SYNTAX_ERROR, UNKNOWN_TYPE_OF_QUERY, ServerError

Kind = Literal["read", "insert", "insert_input", "other"]

# Statements that answer with rows and change nothing; `(` opens a parenthesised SELECT.
_READS = frozenset((b"SELECT", b"WITH", b"FROM", b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN", b"CHECK", b"("))

# Possessive (`*+`), so that an unclosed quote in a long statement costs one pass and not a search through all its parts.
_TOKEN = re.compile(
    rb"""(?P<blank>\s+|--[^\n]*+|\#[\ !][^\n]*+|/\*.*?\*/)
    |(?P<text>'(?:[^'\\]++|\\.|'')*+'|"(?:[^"\\]++|\\.|"")*+"|`(?:[^`\\]++|\\.|``)*+`|\$(\w*)\$.*?\$\3\$)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*+)
    |(?P<run>[0-9,+*=<>:?@%^&|~!\\]++)
    |(?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)


class Token(NamedTuple):
    """A word in upper case, a mark or a run of marks, with its place and the number of parentheses around it."""

    value: bytes
    start: int
    end: int
    depth: int


@dataclass(frozen=True, slots=True)
class Statement:
    """The pieces: `body` without FORMAT, `format` as written (None if none), `tail` from FORMAT on, `data_start` of an insert.

    `leaves_state`: afterwards a session differs from a fresh connection (SET, USE, temporary tables).
    """

    kind: Kind
    body: bytes
    format: str | None = None
    tail: bytes = b""
    data_start: int = 0
    leaves_state: bool = False

    @property
    def is_kill(self) -> bool:
        """Whether it ends queries."""
        return self.kind == "other" and self.body[:4].upper() == b"KILL"

    @property
    def has_time_limit(self) -> bool:
        """Whether it sets `max_execution_time` for itself."""
        return any((word.value, mark.value) == (b"MAX_EXECUTION_TIME", b"=") for word, mark in itertools.pairwise(tokens(self.body)))


def tokens(text: bytes) -> Iterator[Token]:
    """Everything but blanks and comments. An unclosed string falls apart into marks, and the engine will say so."""
    depth = 0
    for found in _TOKEN.finditer(text):
        kind, value = found.lastgroup, found[0]
        if kind == "blank":
            continue
        if kind == "mark" and value in b")]}":
            depth -= 1
        yield Token(value.upper() if kind == "word" else value, found.start(), found.end(), depth)
        if kind == "mark" and value in b"([{":
            depth += 1


def parse(text: bytes) -> Statement:
    """Split the beginning of a request. Raises ServerError for an empty one, for a second statement and for files."""
    scan = tokens(text)
    first = next(scan, None)
    if first is None:
        raise ServerError(SYNTAX_ERROR, "Syntax error: failed at position 1 (end of query): . Empty query")
    if first.value == b"INSERT":
        return _insert(text, scan)
    flat = [first, *(token for token in scan if token.depth == 0)]
    return _plain(text, flat)


def _plain(text: bytes, flat: list[Token]) -> Statement:
    """A statement without data, whatever semicolons close it."""
    end = _end_of_statement(text, flat)
    _refuse_files(flat)
    words = [token for token in flat if token.start < end]
    # `WITH … INSERT` changes data; a parenthesis opens a SELECT.
    is_read = flat[0].value in _READS and not (flat[0].value == b"WITH" and any(token.value == b"INSERT" for token in words))
    kind: Kind = "read" if is_read else "other"
    leaves_state = flat[0].value in {b"SET", b"USE"} or [token.value for token in words[1:2]] == [b"TEMPORARY"]
    named = _output_format(words)
    if named is None:
        return Statement(kind, text[:end], leaves_state=leaves_state)
    keyword, name = named
    return Statement(kind, text[: keyword.start], text[name.start : name.end].decode(), text[keyword.start : end], 0, leaves_state)


def _end_of_statement(text: bytes, flat: list[Token]) -> int:
    """Where the statement ends: before its first semicolon, behind which nothing else may stand."""
    for index, token in enumerate(flat):
        if token.value == b";":
            if any(later.value != b";" for later in flat[index:]):
                near = text[token.start : token.start + 60].decode(errors="replace")
                where = f"failed at position {token.start + 1} (end of query): {near}"
                raise ServerError(SYNTAX_ERROR, f"Syntax error (Multi-statements are not allowed): {where}")
            return token.start
    return len(text)


def _output_format(words: list[Token]) -> tuple[Token, Token] | None:
    """The last `FORMAT name` that ends the statement or stands before its last SETTINGS; a column may be called format, too."""
    for index in range(len(words) - 2, 0, -1):
        keyword, name = words[index], words[index + 1]
        if keyword.value == b"FORMAT" and name.value[:1].isalpha():
            after = words[index + 2].value if index + 2 < len(words) else b""
            if after in {b"", b"SETTINGS"}:
                return keyword, name
    return None


def _refuse_files(flat: list[Token]) -> None:
    for one, two in itertools.pairwise(flat):
        if one.value == b"INTO" and two.value == b"OUTFILE":
            raise ServerError(INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
        if one.value == b"FROM" and two.value == b"INFILE":
            raise ServerError(UNKNOWN_TYPE_OF_QUERY, "Query has infile and was send directly to server")


def _insert(text: bytes, scan: Iterator[Token]) -> Statement:
    """INSERT INTO [TABLE|FUNCTION] target [(columns)] [SETTINGS …] VALUES|FORMAT name|SELECT …; only the first two have data."""
    seen = [Token(b"INSERT", 0, 0, 0)]
    is_target_named = False
    for token in scan:
        previous = seen[-1].value
        seen.append(token)
        if not is_target_named:  # a table may be called `values`
            is_target_named = token.value not in {b"INTO", b"TABLE", b"FUNCTION"}
        elif token.value in {b"SELECT", b"WITH", b"WATCH"} and (token.depth == 0 or previous == b"("):
            return _insert_select(text, seen, scan)
        elif token.depth or previous == b".":
            continue
        elif token.value == b"VALUES":
            return Statement("insert", text[: token.start], "Values", data_start=token.end)
        elif token.value == b"FORMAT" and (name := next(scan, None)):
            return Statement("insert", text[: token.start], text[name.start : name.end].decode(), data_start=_data_start(text, name.end))
        elif token.value == b"INFILE":
            _refuse_files(seen)
    return Statement("insert", text, "Values", data_start=len(text))


def _insert_select(text: bytes, seen: list[Token], scan: Iterator[Token]) -> Statement:
    """Without data, unless it selects from `input('columns')`: then rows follow its FORMAT."""
    has_input = False
    for token in scan:
        if has_input and token.value == b"FORMAT" and token.depth == 0 and (name := next(scan, None)):
            input_format = text[name.start : name.end].decode()
            return Statement("insert_input", text[: token.start], input_format, data_start=_data_start(text, name.end))
        has_input = has_input or (token.value == b"(" and seen[-1].value == b"INPUT")
        seen.append(token)
    return _plain(text, [token for token in seen if token.depth == 0])


def input_from_file(text: bytes, path: str, input_format: str) -> bytes:
    """The statement with `file('path', 'Format', 'columns')` where it says `input('columns')`."""
    for word, mark in itertools.pairwise(tokens(text)):
        if word.value == b"INPUT" and mark.value == b"(":
            return text[: word.start] + f"file('{path}', '{input_format}', ".encode() + text[mark.end :]
    return text


def with_our_ids(text: bytes) -> bytes:
    """A KILL QUERY that means the ids which we gave out: the engine knows them as log_comment (see `engine.kill`)."""
    out, end = b"", 0
    for token in tokens(text):
        if token.value == b"QUERY_ID":
            out += text[end : token.start] + b"Settings['log_comment']"
            end = token.end
    return out + text[end:]


def _data_start(text: bytes, end: int) -> int:
    """After `FORMAT name`: blanks, then one line end, then the data, byte for byte (ClickHouse: ParserInsertQuery.cpp)."""
    while text[end : end + 1] in {b" ", b"\t", b"\f"}:
        end += 1
    if text[end : end + 1] == b";":
        raise ServerError(SYNTAX_ERROR, "You have excessive ';' symbol before data for INSERT")
    if text[end : end + 1] == b"\r":
        end += 1
    return end + 1 if text[end : end + 1] == b"\n" else end
