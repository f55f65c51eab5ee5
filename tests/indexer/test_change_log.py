"""The log of changes stays short, and nobody who follows it misses anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atdata.protocol.keys import key_of
from indexer.batch import RepoState
from indexer.change_log import ChangeLog
from indexer.database import open_database
from indexer.store import Store

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
ACTIONS = ("put", "delete", "visibility")
Change = tuple[int, int, str]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_database(":memory:") as made:
        yield made


def changes(connection: duckdb.DuckDBPyConnection) -> list[Change]:
    return connection.execute("SELECT seq, doc, action FROM changes ORDER BY seq").fetchall()


def wanted(log: Sequence[Change], end: int) -> list[Change]:
    """What must be left of ``log`` where all up to ``end`` was gone through: slow and obvious."""
    return [
        (seq, doc, action)
        for seq, doc, action in log
        if seq > end
        or not any(
            later > seq and of == doc and (what != "put" or action == "put")
            for later, of, what in log
        )
    ]


def gone_through(log: ChangeLog) -> None:
    """To the end of what it has begun."""
    log.shorten()
    while log._pieces:
        log.shorten()


def written(log: ChangeLog, given: Sequence[tuple[int, str]]) -> None:
    log.append(given)
    log.committed(len(given))


LOGS = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(ACTIONS)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(LOGS, st.integers(1, 10))
def test_what_a_later_change_says_as_well_goes_and_nothing_else(
    given_changes: list[tuple[int, str]], kept: int
) -> None:
    with open_database(":memory:") as connection:
        log = ChangeLog(connection.cursor(), kept)
        written(log, given_changes)
        whole = changes(connection)
        gone_through(log)
        left = changes(connection)
        is_long = len(whole) >= kept
        assert left == (wanted(whole, len(whole) - kept) if is_long else whole)
        assert left[-1] == whole[-1]
        for cursor in range(len(whole)):
            assert followed(left, cursor) == followed(whole, cursor)


def followed(log: Sequence[Change], cursor: int) -> tuple[set[int], set[int]]:
    """Who goes on after ``cursor`` is told to look at these, and that these were taken away."""
    after = [change for change in log if change[0] > cursor]
    return {doc for _, doc, _ in after}, {doc for _, doc, what in after if what != "put"}


def test_a_seq_is_given_once_also_by_the_next_process(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for number in range(5):
        log = ChangeLog(connection.cursor(), 1)
        written(log, [(7, "visibility"), (8, "put")])
        gone_through(log)
        assert log.last == 2 * (number + 1)
    assert [seq for seq, _, _ in changes(connection)] == [9, 10]


def test_a_short_log_is_left_as_it_is(connection: duckdb.DuckDBPyConnection) -> None:
    log = ChangeLog(connection.cursor(), 100)
    for _ in range(99):
        written(log, [(7, "visibility")])
        log.shorten()
    assert [seq for seq, _, _ in changes(connection)] == list(range(1, 100))


def test_a_long_log_is_gone_through_piece_by_piece(connection: duckdb.DuckDBPyConnection) -> None:
    """No more of it in one go than is in proportion to what was appended, a piece at least; what
    comes meanwhile is for the next time."""
    connection.execute(
        "INSERT INTO changes SELECT i, hash(i) % 100000, "
        "['put', 'delete', 'visibility'][1 + i % 3] FROM range(1, 500001) t(i)"
    )
    connection.execute("CREATE TABLE whole AS SELECT * FROM changes")
    log, counts = ChangeLog(connection.cursor(), 1_000), list[int]()
    while not counts or log._pieces:
        log.shorten()
        counts.append(log._rows)
        written(log, [(-1, "put")])
    assert len(counts) == 3
    assert counts == sorted(counts, reverse=True)
    left = len(changes(connection))
    still_needed = connection.execute(
        "SELECT seq, doc, action FROM (SELECT *, max(seq) OVER (PARTITION BY doc) AS last, "
        "coalesce(max(seq) FILTER (action <> 'put') OVER (PARTITION BY doc), 0) AS removal "
        "FROM whole) "
        "WHERE seq > 499000 OR seq >= removal AND (action <> 'put' OR seq = last) ORDER BY seq"
    ).fetchall()
    assert changes(connection) == [*still_needed, *((500_001 + n, -1, "put") for n in range(3))]
    written(log, [(-1, "put")] * (left // 2))
    log.shorten()
    assert log._rows == left + left // 2, "it has not grown by as much as was left"
    written(log, [(-1, "put")] * left)
    log.shorten()
    assert log._rows < left + 2_000, "of what was appended, all and more is looked at"


# --- an account that vanishes and comes back ---------------------------------------------------

RECORDS = 20_000


def shown(store: Store, *states: bool) -> int:
    """One batch in which the account becomes each of these. Returns the number of changes."""
    batch = store.batch()
    for active in states:
        batch.set_repo(RepoState(DID, active=active))
    return store.apply(batch)


@dataclass(frozen=True)
class Index:
    """One account with many records, which are hidden."""

    connection: duckdb.DuckDBPyConnection
    store: Store
    path: Path

    def shown(self, *states: bool) -> int:
        """One batch in which the account becomes each of these. Returns the number of changes."""
        batch = self.store.batch()
        for active in states:
            batch.set_repo(RepoState(DID, active=active))
        return self.store.apply(batch)

    def rows(self) -> int:
        ((found,),) = self.connection.execute("SELECT count(*) FROM changes").fetchall()
        return int(found)

    def size(self) -> int:
        """Of the file, in bytes."""
        self.connection.execute("CHECKPOINT")
        return self.path.stat().st_size


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    path = tmp_path / "index.duckdb"
    with open_database(path) as connection:
        connection.execute(
            "INSERT INTO records SELECT hash(i) >> 1, ?, 'at://' || i, ?, 'label', 'n', 'c', i, "
            "'cid', 'rev', now(), '', now(), '{}' FROM range(?) t(i)",
            [key_of(DID), DID, RECORDS],
        )
        made = Index(connection, Store(connection, changes_kept=RECORDS), path)
        assert made.shown(True) == 0
        assert made.shown(False) == RECORDS
        yield made
        made.store.close()


def test_an_account_that_flaps_within_one_batch_changes_nothing(index: Index) -> None:
    assert index.shown(True, False) == 0
    assert index.shown(True, False, True, False, True) == RECORDS
    assert index.rows() == 2 * RECORDS


def test_an_account_that_flaps_makes_neither_log_nor_file_longer(index: Index) -> None:
    """The log grows until it is gone through; DuckDB gives back what it took."""
    rows, sizes = list[int](), list[int]()
    for number in range(50):
        index.shown(number % 2 == 0)
        rows.append(index.rows())
        if number % 10 == 9:
            sizes.append(index.size())
    assert index.store.change == 51 * RECORDS
    assert max(rows) <= 3 * RECORDS
    assert max(sizes[2:]) <= max(sizes[:2]), sizes
