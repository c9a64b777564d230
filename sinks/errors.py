"""What an error of ClickHouse means for the rows that were being inserted. Sorted once, here, by the server's error code.

    retry   the server, the disk, the network, Keeper: the same rows may pass later; the sink waits, for as long as it takes
    setup   our statement, schema or credentials: no row would pass, none may be blamed; the process ends, with the remedy
    rows    a row cannot be read or stored: the batch is halved until the culprit is found, which goes to dead letters

Sources: the retryable codes of ClickHouse's Kafka Connect sink and of GlassFlow, the permanent ones of GlassFlow
(5-reliability, section 2), plus what was met in tests. A code that is in no set counts as rows: it must not stop the others for ever, and if it
concerned all rows, the limits on dead letters (streams/runtime/poison.py) stop the role before many are buried.
"""

import re
from typing import Literal

from clickhouse_connect.driver.exceptions import ClickHouseError

from streams.runtime.errors import BadSettings, ClicktrailError, Unavailable

Fate = Literal["retry", "setup", "rows"]

RETRY = {
    3: "UNEXPECTED_END_OF_FILE", 107: "FILE_DOESNT_EXIST", 159: "TIMEOUT_EXCEEDED", 164: "READONLY", 198: "DNS_ERROR", 201: "QUOTA_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES", 203: "NO_FREE_CONNECTION", 209: "SOCKET_TIMEOUT", 210: "NETWORK_ERROR", 236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED", 242: "TABLE_IS_READ_ONLY", 243: "NOT_ENOUGH_SPACE", 244: "UNEXPECTED_ZOOKEEPER_ERROR", 252: "TOO_MANY_PARTS",
    254: "NO_ACTIVE_REPLICAS", 265: "NO_AVAILABLE_REPLICA", 279: "ALL_CONNECTION_TRIES_FAILED", 285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", 289: "REPLICA_IS_NOT_IN_QUORUM", 290: "LIMIT_EXCEEDED", 297: "SHARD_HAS_NO_CONNECTIONS",
    319: "UNKNOWN_STATUS_OF_INSERT", 364: "RECEIVED_ERROR_TOO_MANY_REQUESTS", 384: "PART_IS_TEMPORARILY_LOCKED", 394: "QUERY_WAS_CANCELLED",
    425: "SYSTEM_ERROR", 735: "QUERY_WAS_CANCELLED_BY_CLIENT", 999: "KEEPER_EXCEPTION", 1000: "POCO_EXCEPTION",
}  # fmt: skip
SETUP = {
    7: "INCORRECT_NUMBER_OF_COLUMNS", 16: "NO_SUCH_COLUMN_IN_TABLE", 20: "NUMBER_OF_COLUMNS_DOESNT_MATCH", 43: "ILLEGAL_TYPE_OF_ARGUMENT",
    44: "ILLEGAL_COLUMN", 46: "UNKNOWN_FUNCTION", 47: "UNKNOWN_IDENTIFIER", 50: "UNKNOWN_TYPE", 60: "UNKNOWN_TABLE", 62: "SYNTAX_ERROR",
    73: "UNKNOWN_FORMAT", 80: "INCORRECT_QUERY", 81: "UNKNOWN_DATABASE", 115: "UNKNOWN_SETTING", 192: "UNKNOWN_USER", 193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD", 497: "ACCESS_DENIED", 516: "AUTHENTICATION_FAILED",
}  # fmt: skip
ROWS = {
    6: "CANNOT_PARSE_TEXT", 25: "CANNOT_PARSE_ESCAPE_SEQUENCE", 26: "CANNOT_PARSE_QUOTED_STRING", 27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    32: "ATTEMPT_TO_READ_AFTER_EOF", 33: "CANNOT_READ_ALL_DATA", 36: "BAD_ARGUMENTS", 38: "CANNOT_PARSE_DATE", 41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH", 69: "ARGUMENT_OUT_OF_BOUND", 70: "CANNOT_CONVERT_TYPE", 72: "CANNOT_PARSE_NUMBER", 117: "INCORRECT_DATA",
    131: "TOO_LARGE_STRING_SIZE", 321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", 349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    407: "DECIMAL_OVERFLOW", 467: "CANNOT_PARSE_BOOL", 469: "VIOLATED_CONSTRAINT",
}  # fmt: skip

_CODE = re.compile(r"Code: (\d+)")
_FIELD = re.compile(r"while reading the value of key (\w+)")
_MIGRATE = "Run `clicktrail migrate`, and check CLICKTRAIL_CLICKHOUSE__URL, its user and its rights."


class RefusedError(ClicktrailError):
    """ClickHouse cannot take a row of this batch. `code` 0: refused by us before it was sent."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code


def fate_of(code: int | None) -> Fate:
    """Return what an error code means; an error without one came from the way to the server, so: retry."""
    if code is None or code in RETRY:
        return "retry"
    return "setup" if code in SETUP else "rows"


def code_of(error: BaseException) -> int | None:
    """Return the server's error code, None when the server did not name one."""
    found = _CODE.search(str(error))
    code = getattr(error, "code", None) or (int(found[1]) if found else None)
    return int(code) if code else None


def sorted_error(error: ClickHouseError) -> ClicktrailError:
    """Return the same error as one of our families: Unavailable, BadSettings or RefusedError."""
    code = code_of(error)
    what = f"ClickHouse: {' '.join(str(error).split())[:500]}"
    fate = fate_of(code)
    if fate == "retry":
        return Unavailable(what)
    return BadSettings(what, _MIGRATE) if fate == "setup" else RefusedError(code or 0, _refusal(code or 0, str(error)))


def _refusal(code: int, text: str) -> str:
    """Return the error without the piece of the row that ClickHouse quotes: reasons and logs must not hold what visitors typed."""
    field = _FIELD.search(text)
    return f"ClickHouse refuses it: {code} {ROWS.get(code, 'UNKNOWN')}{f' in field {field[1]}' if field else ''}"
