"""Errors as ClickHouse answers them: a code, a name, a sentence, and the HTTP status that belongs to the code.

    ServerError            anything the client is told, with ClickHouse's own code
     ├── from_engine()     what chDB raised: its text carries code and name, chDB itself only gives a RuntimeError
     └── our own few       empty query, several statements, locked session, … with the code a server would use

Clients branch on the code (the sink sorts them into retry and permanent), so codes are kept exactly. chDB wraps one error into
itself up to three times (`Code: 73. DB::Exception: Code: 73. …`, seen with an unknown FORMAT): we unwrap, a server says it once.
"""

import re
from typing import Self

# The codes that we raise ourselves. ClickHouse: src/Common/ErrorCodes.cpp
BAD_ARGUMENTS = (36, "BAD_ARGUMENTS")
CHECKSUM_DOESNT_MATCH = (40, "CHECKSUM_DOESNT_MATCH")
NOT_IMPLEMENTED = (48, "NOT_IMPLEMENTED")
SYNTAX_ERROR = (62, "SYNTAX_ERROR")
UNKNOWN_FORMAT = (73, "UNKNOWN_FORMAT")
UNKNOWN_TYPE_OF_QUERY = (78, "UNKNOWN_TYPE_OF_QUERY")
UNKNOWN_COMPRESSION_METHOD = (89, "UNKNOWN_COMPRESSION_METHOD")
READONLY = (164, "READONLY")
TIMEOUT_EXCEEDED = (159, "TIMEOUT_EXCEEDED")
TOO_MANY_QUERIES = (202, "TOO_MANY_SIMULTANEOUS_QUERIES")
QUERY_WITH_SAME_ID = (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING")
QUERY_IS_TOO_LARGE = (229, "QUERY_IS_TOO_LARGE")
INTO_OUTFILE_NOT_ALLOWED = (358, "INTO_OUTFILE_NOT_ALLOWED")
UNKNOWN_STATUS_OF_INSERT = (319, "UNKNOWN_STATUS_OF_INSERT")
CANNOT_DECOMPRESS = (271, "CANNOT_DECOMPRESS")
SESSION_NOT_FOUND = (372, "SESSION_NOT_FOUND")
SESSION_IS_LOCKED = (373, "SESSION_IS_LOCKED")
QUERY_WAS_CANCELLED = (394, "QUERY_WAS_CANCELLED")
ACCESS_DENIED = (497, "ACCESS_DENIED")
AUTHENTICATION_FAILED = (516, "AUTHENTICATION_FAILED")
UNKNOWN_EXCEPTION = (1002, "UNKNOWN_EXCEPTION")

# ClickHouse: src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; every other code is 500.
_BAD_REQUEST = (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676)
_NOT_FOUND = (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511)
_STATUSES = {
    **dict.fromkeys(_BAD_REQUEST, 400),
    **dict.fromkeys(_NOT_FOUND, 404),
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((76, 209, 439), 503),
    194: 401,
    159: 408,
    381: 411,
    229: 413,
    779: 415,
    48: 501,
}

_START = re.compile(r"(?:Code: (\d+)\. DB::\w*Exception: )+")
_END = re.compile(r"(?:[. ]*\(([A-Z][A-Z0-9_]+)\)(?: \(version [^()]*(?:\([^()]*\))?\))?)+[.\s]*$")


class ServerError(Exception):
    """What the client is told: `code` and `name` from ClickHouse's list, and a sentence."""

    def __init__(self, kind: tuple[int, str], message: str) -> None:
        self.code, self.name = kind
        self.message = message
        super().__init__(message)

    @classmethod
    def from_engine(cls, error: BaseException) -> Self:
        """The error that is in the text of chDB's exception; a text without a code is UNKNOWN_EXCEPTION."""
        text = str(error)
        start = _START.search(text)
        end = _END.search(text)
        message = text[start.end() if start else 0 : end.start() if end else None]
        if not start:
            return cls(UNKNOWN_EXCEPTION, message)
        return cls((int(start[1]), end[1] if end else ""), message)

    @property
    def status(self) -> int:
        """The HTTP status that a ClickHouse server gives this code."""
        return _STATUSES.get(self.code, 500)

    def text(self, version: str) -> str:
        """The body of the answer, in the shape that every client's error parser expects."""
        name = f" ({self.name})" if self.name else ""
        return f"Code: {self.code}. DB::Exception: {self.message}.{name} (version {version} (official build))\n"
