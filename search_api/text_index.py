"""The tantivy index of all datasets beside the database, derived from it and kept up to date.

Rule: it is never the truth. It holds the last change that it has seen in the same commit as the
documents; whatever it cannot vouch for (missing, corrupt, of another version, ahead of the database
or of another one) it throws away and builds anew.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import structlog
import tantivy
from tantivy import Query

from atdata.protocol.errors import StoreError
from search_api import corpus
from search_api.database import Database, Session
from search_api.text_document import VERSION, build_schema, document, marker
from search_api.text_query import DatasetQuery, Rank
from search_api.text_reader import Hits, Labels, Reader

BATCH = 1_000  # changes at a time
MANY = 20_000  # documents at a time
STALE_SHARE = 50  # times as long as it took, until it is looked again
CATCH_UP_SECONDS = 60.0
REBUILD_SECONDS = 3_600.0
WRITER_BYTES = 64_000_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """The last change in the index; ``seq`` −1 where it can vouch for nothing."""

    seq: int
    doc: int


_NOTHING = _Held(-1, 0)


class TextIndex:
    """Searches what ``catch_up`` has brought in. One process at a time, any number of threads."""

    def __init__(self, directory: Path, database: Database) -> None:
        """Opens the index at ``directory``, or makes it; ``catch_up`` then fills it.

        Raises ``StoreError`` if the directory cannot be used, or another process uses it.
        """
        self._directory = directory
        self._database = database
        self._schema = build_schema()
        self._catching_up = threading.Lock()
        self._level_at = -inf
        self._labels: Labels = {}
        self._stale, self._stale_until = frozenset[int](), -inf
        self._reader: Reader
        self._held: _Held
        self._is_sound = True
        self._open_or_start_anew()

    @property
    def seq(self) -> int:
        """The last change that searches see; −1 before the first ``catch_up``."""
        return self._reader.seq

    def close(self) -> None:
        """Give the directory free for another process. Nothing else may be called afterwards."""
        with self._catching_up:
            if self._is_sound:  # else the writer may have ended, or there is none
                self._writer.wait_merging_threads()

    # --- keeping up -------------------------------------------------------------------------

    def catch_up(self) -> int:
        """Bring in everything that is committed to the database. Returns the number of changes,
        or of datasets where the index had to be built anew. Raises ``StoreError``, and where
        files fail it ``ValueError`` or ``OSError``: the next call opens them once more."""
        began = time.monotonic()
        with self._catching_up:
            if not self._is_sound:
                vars(self).pop("_writer", None)  # it may have ended; what it locked is free now
                self._open_or_start_anew()
            self._is_sound, done = False, 0
            while self._level_at < began:  # what is committed meanwhile can wait for the next call
                done += self._step()
            self._is_sound = True
            return done

    def _step(self) -> int:
        began = time.monotonic()
        with self._database.session(CATCH_UP_SECONDS) as session:
            self._look_for_stale(session)
            if not corpus.vouches(session, self._held.seq, self._held.doc):
                return self._rebuild()
            changes = corpus.changes_after(session, self._held.seq, BATCH)
            docs = corpus.affected(session, [doc for _, doc in changes])
            for start in range(0, len(docs), MANY):
                chunk = docs[start : start + MANY]
                for doc in chunk:
                    self._writer.delete_documents_by_term("doc", doc)
                self._add(session, chunk)
        if changes:
            self._commit(*changes[-1])
        if len(changes) < BATCH:
            self._level_at = began
        return len(changes)

    def _look_for_stale(self, session: Session) -> None:
        """Which repos may be behind their hosts; seldom enough to take little of the time."""
        began = time.monotonic()
        if began < self._stale_until:
            return
        stale = frozenset(corpus.stale_repos(session))
        self._stale_until = began + STALE_SHARE * (time.monotonic() - began)
        if stale != self._stale:
            self._stale = stale
            self._reader = self._reader.with_stale(stale)

    def _rebuild(self) -> int:
        """Everything anew, from one snapshot, under the marker of its last change."""
        log.info("text_index.rebuild", directory=str(self._directory), held=self._held.seq)
        count, last = 0, -1
        self._writer.delete_all_documents()
        with self._database.session(REBUILD_SECONDS) as session:
            change = corpus.last_change(session)
            while docs := corpus.dataset_keys(session, last, MANY):
                count += self._add(session, docs)
                last = docs[-1]
        self._commit(*change)
        return count

    def _add(self, session: Session, docs: Sequence[int]) -> int:
        found = corpus.texts(session, docs)
        for text in found:
            self._writer.add_document(document(text))
        return len(found)

    def _commit(self, seq: int, doc: int) -> None:
        self._writer.delete_documents_by_term("marker", "held")
        self._writer.add_document(marker(seq, doc))
        self._writer.commit()
        self._index.reload()
        self._held = _Held(seq, doc)
        self._reader = self._new_reader()

    # --- opening ----------------------------------------------------------------------------

    def _open_or_start_anew(self) -> None:
        try:
            self._open()
        except (ValueError, OSError) as error:
            self._start_anew(error)

    def _open(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._index = tantivy.Index(self._schema, path=str(self._directory))
        self._writer = self._index.writer(WRITER_BYTES, 1)
        self._writer.garbage_collect_files()  # of a commit that was cut off: its names come again
        self._held = self._read_marker()
        self._reader = self._new_reader()

    def _new_reader(self) -> Reader:
        searcher = self._index.searcher()
        return Reader(self._schema, searcher, self._held.seq, self._labels, self._stale)

    def _read_marker(self) -> _Held:
        searcher = self._index.searcher()
        found = searcher.search(Query.term_query(self._schema, "marker", "held"), limit=1)
        if not found.hits:
            return _NOTHING
        held = searcher.doc(found.hits[0][1])
        if held.get_first("version") != VERSION:
            return _NOTHING
        return _Held(int(held.get_first("seq") or 0), int(held.get_first("last") or 0))

    def _start_anew(self, cause: Exception) -> None:
        """Files that are no usable index are thrown away; a lock is somebody's."""
        if "lock" in str(cause).lower():
            raise StoreError(f"the text index at {self._directory} is in use: {cause}") from cause
        log.warning("text_index.unusable", directory=str(self._directory), why=str(cause))
        try:
            shutil.rmtree(self._directory)
            self._open()
        except (ValueError, OSError) as error:
            raise StoreError(f"cannot make a text index at {self._directory}: {error}") from error

    # --- searching --------------------------------------------------------------------------

    def reader(self) -> Reader:
        """What the index holds now; all questions of one request belong to one reader."""
        return self._reader

    @property
    def age(self) -> float:
        """Seconds since everything that was committed to the database was in the index."""
        return time.monotonic() - self._level_at

    def search(self, query: DatasetQuery, limit: int, after: Rank | None = None) -> Hits:
        """The ``limit`` best hits below ``after``, and how many hits there are in all."""
        return self.reader().search(query, limit, after)
