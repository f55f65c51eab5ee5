"""The index of all datasets' words beside the database, derived from it and kept up to date.

Rule: it is never the truth. On disk it holds the last change that it has seen in the same commit as
the documents; whatever it cannot vouch for (missing, corrupt, of another version, ahead of the
database or of another one) it throws away and builds anew. What has changed since is in memory, and
taken over to the disk when it is much, or at the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from math import inf
from pathlib import Path

import structlog

from search_api import corpus
from search_api.database import Database, Session
from search_api.facets import FIELDS
from search_api.text_document import build_schema
from search_api.text_part import Labels, Part
from search_api.text_parts import Fresh, Held, Settled
from search_api.text_query import DatasetQuery, Rank
from search_api.text_reader import Hits, Reader

BATCH = 1_000  # changes at a time
MANY = 20_000  # documents at a time
FOLD = 4_000  # documents in memory, until they go to disk
STALE_SHARE = 50  # times as long as it took, until it is looked again
CATCH_UP_SECONDS = 60.0
REBUILD_SECONDS = 3_600.0

log = structlog.get_logger(__name__)


class TextIndex:
    """Searches what ``catch_up`` has brought in. One process at a time, any number of threads."""

    def __init__(self, directory: Path, database: Database, fold: int = FOLD) -> None:
        """Opens the index at ``directory``, or makes it; ``catch_up`` then fills it. ``fold``: how
        many documents may be in memory alone.

        Raises ``StoreError`` if the directory cannot be used, or another process uses it.
        """
        self._directory, self._database, self._most_fresh = directory, database, fold
        self._schema = build_schema()
        self._catching_up = threading.Lock()
        self._labels: Labels = {}
        self._stale, self._stale_until = frozenset[int](), -inf
        self._settled: Settled
        self._settled_part: Part
        self._fresh: Fresh
        self._fresh_part: Part
        self._gone: frozenset[int]
        self._held: Held
        self._reader: Reader
        self._is_sound: bool
        self._open()

    @property
    def seq(self) -> int:
        """The last change that searches see; −1 before the first ``catch_up``."""
        return self._reader.seq

    def close(self) -> None:
        """Give the directory free for another process. Nothing else may be called afterwards."""
        with self._catching_up:
            if not self._is_sound:  # the writer may have ended, or there is none
                return
            try:
                self._fold()
                self._settled.close()
            except (ValueError, OSError) as error:  # the next process begins where the disk is
                log.warning("text_index.not_folded", directory=str(self._directory), why=str(error))

    # --- keeping up -------------------------------------------------------------------------

    def catch_up(self) -> int:
        """Bring in everything that is committed to the database. Returns the number of changes,
        or of datasets where the index had to be built anew. Raises ``StoreError``, and where
        files fail it ``ValueError`` or ``OSError``: the next call opens them once more."""
        began = time.monotonic()
        with self._catching_up:
            if not self._is_sound:
                vars(self).pop("_settled", None)  # it may have ended; what it locked is free now
                self._open()
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
                self._put(session, docs[start : start + MANY])
        is_level = len(changes) < BATCH
        if changes:
            self._held = Held(*changes[-1])
            if len(self._fresh.documents) >= self._most_fresh:
                self._fold()
            elif is_level:
                self._show_fresh()
        if is_level:
            self._level_at = began
        return len(changes)

    def _put(self, session: Session, docs: Sequence[int]) -> None:
        """What ``docs`` are now goes into memory; the changes are in when ``_held`` says so."""
        known, settled = self._fresh.documents, self._settled_part
        self._gone |= {doc for doc in docs if doc not in known and settled.has(doc)}
        self._fresh.put(docs, corpus.texts(session, docs))
        if len(known) >= MANY:  # up to the last change that is wholly in: what is newer comes again
            self._fold()

    def _fold(self) -> None:
        """What is in memory goes to disk."""
        if self._fresh.documents:
            self._settled.fold(self._fresh.documents, self._held)
        self._begin_with_disk()

    def _show_fresh(self) -> None:
        self._fresh_part = self._fresh.part()
        self._reader = self._new_reader()

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
        self._settled.clear()
        with self._database.session(REBUILD_SECONDS) as session:
            change = Held(*corpus.last_change(session))
            while docs := corpus.dataset_keys(session, last, MANY):
                texts = corpus.texts(session, docs)
                self._settled.add(texts)
                count, last = count + len(texts), docs[-1]
        self._settled.commit(change)
        self._begin_with_disk()
        return count

    # --- opening ----------------------------------------------------------------------------

    def _open(self) -> None:
        self._level_at = -inf
        self._settled = Settled(self._directory, self._schema, self._labels)
        self._begin_with_disk()
        self._is_sound = True

    def _begin_with_disk(self) -> None:
        """Searches see what is on disk, and nothing is in memory."""
        self._held = self._settled.held
        self._settled_part = self._settled.part()
        if not self._labels:
            self._settled_part.learn_labels(FIELDS.values())
        self._fresh, self._gone = Fresh(self._schema, self._labels), frozenset[int]()
        self._show_fresh()

    def _new_reader(self) -> Reader:
        return Reader(
            *(self._settled_part, self._fresh_part, self._gone, self._held.seq),
            *(self._labels, self._stale),
        )

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
