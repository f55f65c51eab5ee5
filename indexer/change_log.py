"""The table ``changes``: what happened to which record, in order, and no longer than need be.

Rules protected here: a seq is never given twice, and the newest change is never removed; invariant
8, whoever makes an account vanish and come back without end makes the log no longer. A change that
is not among the newest goes when a later one says the same: "look at this record again", or, of one
that took something away, that something was taken away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import duckdb

from indexer import arrow
from indexer.statements import insert

KEPT = 1_000_000
"""So many of the newest seqs keep all of their changes."""

_PIECE = 200_000  # changes that are looked at in one transaction
_STEP = 50_000  # seqs; a piece ends at a multiple
_PACE = 8  # times as many changes as were appended are looked at, while there are any to look at

_NEEDLESS = """
DELETE FROM changes USING (
    SELECT doc, max(seq) AS newest, max(seq) FILTER (action <> 'put') AS removal
    FROM changes WHERE seq > $after AND doc IN (
        SELECT doc FROM changes WHERE seq > $after AND seq <= $last)
    GROUP BY doc) later
WHERE changes.seq > $after AND changes.seq <= $last AND changes.doc = later.doc
AND (changes.seq < later.removal OR (changes.action = 'put' AND changes.seq < later.newest))
"""


class ChangeLog:
    """Writes through ``cursor``, the store's. It is gone through from its beginning when it has
    twice as many changes as were left the last time, and ``kept`` more than that at least."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, kept: int) -> None:
        self._cursor, self._kept = cursor, kept
        query = "SELECT coalesce(max(seq), 0), count(*) FROM changes"
        ((last, rows),) = cursor.execute(query).fetchall()
        self._last, self._rows, self._left = int(last), int(rows), 0
        self._appended = 0
        self._pieces: deque[tuple[int, int]] = deque()

    @property
    def last(self) -> int:
        """The last seq; 0 where nothing ever changed."""
        return self._last

    def append(self, changes: Sequence[tuple[int, str]]) -> None:
        """Write each doc with what happened to it, within the store's transaction."""
        first = self._last + 1
        rows = [arrow.ChangeRow(first + i, doc, action) for i, (doc, action) in enumerate(changes)]
        insert(self._cursor, "changes", rows)

    def committed(self, count: int) -> None:
        """The transaction in which ``count`` changes were appended is durable."""
        self._last += count
        self._rows += count
        self._appended += count

    def shorten(self) -> None:
        """Go on removing what is needless, if it is time, in proportion to what was appended since
        the last time. Between the store's transactions, in some of its own."""
        if not self._pieces and self._rows >= self._left + max(self._left, self._kept):
            self._pieces.extend(self._cut())
            self._left = self._rows
        pieces = 1 + _PACE * self._appended // _PIECE
        self._appended = 0
        while self._pieces and pieces:
            self._remove_needless(*self._pieces.popleft())
            pieces -= 1

    def _cut(self) -> list[tuple[int, int]]:
        """All that is not among the newest: seqs, the first of each pair not included."""
        end = self._last - self._kept
        query = f"SELECT seq // {_STEP}, count(*) FROM changes WHERE seq <= ? GROUP BY 1 ORDER BY 1"  # noqa: S608
        pieces: list[tuple[int, int]] = []
        after, rows = 0, 0
        for step, count in self._cursor.execute(query, [end]).fetchall():
            rows += count
            if rows >= _PIECE:
                last = min((step + 1) * _STEP - 1, end)
                pieces.append((after, last))
                after, rows = last, 0
        return [*pieces, (after, end)] if rows else pieces

    def _remove_needless(self, after: int, last: int) -> None:
        given = {"after": after, "last": last}
        ((removed,),) = self._cursor.execute(_NEEDLESS, given).fetchall()
        self._rows -= int(removed)
        self._left = self._rows
