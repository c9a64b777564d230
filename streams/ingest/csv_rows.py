"""The rows of a CSV upload, each behind the header: payloads of their own, as `streams/csv_payload.py` reads them.

A quoted field may hold line ends, so a row goes on while its quotes are open. Nothing else is read here: what is wrong with a row stands in
the row of the event log that it becomes.
"""

from streams.ingest.answers import Refused

QUOTE = b'"'
LONGEST_HEADER = 64 << 10  # it is repeated before every row


class Rows:
    """Lines in, payloads out."""

    def __init__(self, longest: int) -> None:
        """`longest`: bytes of a row, after which a quote that nobody closed is not waited for any more."""
        self._longest = longest
        self.header: bytes | None = None
        self._open = b""

    def of(self, line: bytes) -> bytes | None:
        """Return the payload that this line completes; None for the header and for a row that goes on."""
        if self.header is None:
            if len(line) > LONGEST_HEADER:
                raise Refused("too_large", f"The first line of a CSV names its columns; this one has {len(line)} bytes.")
            self.header = line
            return None
        self._open += line
        if self._open.count(QUOTE) % 2 and len(self._open) <= self._longest:
            self._open += b"\n"
            return None
        return self.rest()

    def rest(self) -> bytes | None:
        """Return what is left at the end of the file: a row whose quotes are open."""
        row, self._open = self._open.removesuffix(b"\n"), b""
        return b"%b\n%b" % (self.header or b"", row) if row else None
