"""The guard against formulas for a CSV that ClickHouse has written already: the answer to a person's own SQL.

An export puts its guard into its columns (`exporting.py`); here the columns are anybody's, so the text is watched as it passes. ClickHouse quotes
every text and no number, so a cell that can be a formula begins behind an opening quote, and the apostrophe goes there. What is quoted inside of a
text is doubled, which ends and begins the quotes without a comma between: that is no beginning of a cell.
"""

from collections.abc import AsyncIterator

BEGINNINGS = (b"=", b"+", b"-", b"@", b"\t", b"\r", "＝".encode(), "＋".encode(), "－".encode(), "＠".encode())
LONGEST = max(map(len, BEGINNINGS))


class CsvGuard:
    """One answer under way."""

    def __init__(self) -> None:
        self._is_quoted = False
        self._was_outside = True  # something other than a quote stood there since the last text: its next quote opens a cell
        self._held: bytes | None = None  # the beginning of a cell that came in pieces

    def passed(self, piece: bytes) -> bytes:
        """Return a piece with the apostrophes."""
        found = bytearray()
        parts = piece.split(b'"')
        for at, part in enumerate(parts):
            if at:
                found += self._quote()
            found += self._part(part, is_last=at == len(parts) - 1)
        return bytes(found)

    def end(self) -> bytes:
        """Return what was held back."""
        held, self._held = self._held or b"", None
        return held

    def _quote(self) -> bytes:
        before = self.end()
        if self._is_quoted:
            self._is_quoted, self._was_outside = False, False
        else:
            self._is_quoted = True
            if self._was_outside:
                self._held = b""
        return before + b'"'

    def _part(self, part: bytes, *, is_last: bool) -> bytes:
        if not self._is_quoted:
            self._was_outside = self._was_outside or bool(part)
            return part
        if self._held is None:
            return part
        text = self._held + part
        if is_last and len(text) < LONGEST and any(each.startswith(text) for each in BEGINNINGS):
            self._held = text
            return b""
        self._held = None
        return (b"'" if text.startswith(BEGINNINGS) else b"") + text


async def guarded(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a CSV with its formulas disarmed."""
    guard = CsvGuard()
    async for piece in pieces:
        yield guard.passed(piece)
    yield guard.end()
