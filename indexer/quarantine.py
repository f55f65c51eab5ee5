"""The quarantine: the bytes of what was not indexed, kept to be looked at and replayed.

Rules protected here: invariant 6 (nothing is dropped without its bytes) within invariant 8 (a flood
of bad frames costs bounded space: the oldest go first). A row's id is a hash of what it holds, so
that the same drop, delivered twice, is kept once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from indexer import arrow
from indexer.drops import Drop, DropReason
from indexer.statements import delete, insert, with_keys

_SIZES = "SELECT reason, count(*), sum(octet_length(frame))::BIGINT FROM quarantine"

# Trimming reads all lengths; trimming to less than the limit makes that rare.
_TRIM_TO = 0.8


@dataclass(frozen=True, slots=True)
class QuarantineLimits:
    """How much is kept: rows, and bytes of frames; ``invalid_bytes`` of records held apart."""

    rows: int = 10_000
    bytes: int = 256_000_000
    invalid_bytes: int = 256_000_000


@dataclass(frozen=True, slots=True)
class Held:
    """What the quarantine holds; ``reasons`` are rows by reason."""

    bytes: int
    reasons: Mapping[str, int]

    @property
    def rows(self) -> int:
        return sum(self.reasons.values())


@dataclass(frozen=True, slots=True)
class Kept:
    """One row: what was dropped, why, and its bytes. ``kept_at`` is microseconds since 1970."""

    id: int
    source: str
    seq: int | None
    did: str | None
    reason: str
    detail: str
    frame: bytes
    kept_at: int


class Quarantine:
    """Writes within the store's transaction; ``committed`` makes the new size the known one."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, limits: QuarantineLimits) -> None:
        self._cursor = cursor
        self._limits = limits
        self._held = self._measure()

    @property
    def rows(self) -> int:
        """How many drops are held."""
        return self._held.rows

    @property
    def bytes(self) -> int:
        """How many bytes of frames are held."""
        return self._held.bytes

    @property
    def reasons(self) -> Mapping[str, int]:
        """How many drops are held, by reason."""
        return self._held.reasons

    def newest(self, limit: int) -> list[Kept]:
        """The rows that came last."""
        return self._select("true ORDER BY kept_at DESC, id LIMIT ?", [limit])

    def row(self, row: int) -> Kept | None:
        """The row of that id."""
        return next(iter(self._select("id = ?", [row])), None)

    def ids(self) -> list[int]:
        """Of all rows, the oldest first."""
        query = "SELECT id FROM quarantine ORDER BY kept_at, seq, id"
        return [row for (row,) in self._cursor.execute(query).fetchall()]

    def rows_of(self, ids: Sequence[int]) -> list[Kept]:
        """The rows of these ids, the oldest first."""
        return self._select("list_contains(?, id) ORDER BY kept_at, seq, id", [list(ids)])

    def of_reason(self, reason: str, limit: int, turn: int) -> list[Kept]:
        """Some rows that were dropped for ``reason``; others with another ``turn``."""
        return self._select("reason = ? ORDER BY hash(id + ?) LIMIT ?", [reason, turn, limit])

    def parked(self, did: str | None = None) -> set[str]:
        """The DIDs of events that wait until the directory can be asked; or ``did``, if it is one
        of them."""
        query = "SELECT DISTINCT did FROM quarantine WHERE reason = ? AND did = coalesce(?, did)"
        parameters = [DropReason.IDENTITY_UNAVAILABLE, did]
        return {found for (found,) in self._cursor.execute(query, parameters).fetchall()}

    def _select(self, where: str, parameters: Sequence[object]) -> list[Kept]:
        """The rows for which ``where`` holds, a condition of ours (with its order and limit)."""
        columns = "id, source, seq, did, reason, detail, frame, epoch_us(kept_at)"
        query = f"SELECT {columns} FROM quarantine WHERE {where}"  # noqa: S608
        return [Kept(*row) for row in self._cursor.execute(query, list(parameters)).fetchall()]

    def write(
        self,
        drops: Sequence[tuple[Drop, int]],
        released: Collection[int] = (),
        purged: Collection[str] = (),
    ) -> Held:
        """Let go of the rows ``released`` and of all of the accounts ``purged``, and keep
        ``drops``, each with its time in microseconds since 1970. Returns the new size."""
        if purged:
            query = "DELETE FROM quarantine WHERE list_contains(?::VARCHAR[], did)"
            self._cursor.execute(query, [list(purged)])
        if released:
            delete(self._cursor, "quarantine", "id", released)
        held = self._measure() if released or purged else self._held
        if not drops:
            return held
        rows = {row.id: row for row in (_row(drop, at) for drop, at in drops)}
        query = f"{_SIZES} WHERE id IN {{keys}} GROUP BY reason"
        replaced = _held(with_keys(self._cursor, query, rows))
        if replaced.rows:
            delete(self._cursor, "quarantine", "id", rows)
        insert(self._cursor, "quarantine", list(rows.values()))
        reasons = Counter(held.reasons)
        reasons.update(row.reason for row in rows.values())
        reasons.subtract(replaced.reasons)
        size = held.bytes + sum(len(row.frame) for row in rows.values()) - replaced.bytes
        return self._trim(Held(size, +reasons))

    def committed(self, held: Held) -> None:
        """The transaction of the last ``write`` is durable."""
        self._held = held

    def _trim(self, held: Held) -> Held:
        if held.rows <= self._limits.rows and held.bytes <= self._limits.bytes:
            return held
        self._cursor.execute(
            """
            DELETE FROM quarantine WHERE id IN (
                SELECT id FROM (
                    SELECT id, row_number() OVER newest AS n,
                           sum(octet_length(frame)) OVER newest AS size
                    FROM quarantine WINDOW newest AS (ORDER BY kept_at DESC, id DESC)
                ) WHERE n > ? OR size > ?)
            """,
            [int(self._limits.rows * _TRIM_TO), int(self._limits.bytes * _TRIM_TO)],
        )
        return self._measure()

    def _measure(self) -> Held:
        return _held(self._cursor.execute(f"{_SIZES} GROUP BY reason").fetchall())


def _held(rows: Iterable[tuple[str, int, int]]) -> Held:
    found = list(rows)
    return Held(sum(size for _, _, size in found), {reason: count for reason, count, _ in found})


def id_of(drop: Drop) -> int:
    """The id of the row that keeps ``drop``."""
    digest = hashlib.sha256(drop.frame)
    digest.update("\0".join((drop.source, str(drop.seq), drop.reason, drop.detail)).encode())
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def _row(drop: Drop, at: int) -> arrow.QuarantineRow:
    return arrow.QuarantineRow(
        id=id_of(drop),
        source=drop.source,
        seq=drop.seq,
        did=drop.did,
        reason=str(drop.reason),
        detail=drop.detail,
        frame=drop.frame,
        kept_at=at,
    )
