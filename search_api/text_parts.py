"""The two parts that the text index is written in: one on disk, and one in memory for what is new.

Rule: the one on disk holds, in the same commit, the last change that it has seen; the one in memory
holds all that changed since. To put a document into memory takes a hundredth of a commit on disk,
and leaves the large part as it is, with all that is remembered of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import tantivy
from tantivy import Document, Query, Schema

from atdata.protocol.errors import StoreError
from search_api.corpus import DatasetText
from search_api.text_document import VERSION, document, marker
from search_api.text_part import Labels, Part

WRITER_BYTES = 64_000_000
FRESH_WRITER_BYTES = 15_000_000  # the least that there can be

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """The last change in a part; ``seq`` −1 where it can vouch for nothing."""

    seq: int
    doc: int


NOTHING = Held(-1, 0)


class Fresh:
    """In memory: the documents of what has changed since, by key; None where there is none now."""

    def __init__(self, schema: Schema, labels: Labels) -> None:
        self._schema, self._labels = schema, labels
        self._index = tantivy.Index(schema)
        self._writer = self._index.writer(FRESH_WRITER_BYTES, 1)
        self.documents: dict[int, Document | None] = {}

    def put(self, docs: Iterable[int], texts: Iterable[DatasetText]) -> None:
        """``docs`` have changed; ``texts`` are those of them that are visible datasets."""
        made = {text.doc: document(text) for text in texts}
        for doc in docs:
            if self.documents.get(doc) is not None:
                self._writer.delete_documents_by_term("doc", doc)
            found = self.documents[doc] = made.get(doc)
            if found is not None:
                self._writer.add_document(found)

    def part(self) -> Part:
        """All that was put."""
        self._writer.commit()
        self._index.reload()
        return Part(self._schema, self._index.searcher(), self._labels)


class Settled:
    """On disk, in ``directory``: opened, or made anew where what is there is no usable index.

    Raises ``StoreError`` if the directory cannot be used, or another process uses it.
    """

    def __init__(self, directory: Path, schema: Schema, labels: Labels) -> None:
        self._directory, self._schema, self._labels = directory, schema, labels
        try:
            self._open()
        except (ValueError, OSError) as error:
            self._start_anew(error)

    def fold(self, documents: Mapping[int, Document | None], held: Held) -> None:
        """Take ``documents`` in, in the places of what was there under their keys, up to the change
        ``held``. Raises ``ValueError`` or ``OSError`` where files fail it, and is useless then."""
        for doc in documents:
            self._writer.delete_documents_by_term("doc", doc)
        for found in documents.values():
            if found is not None:
                self._writer.add_document(found)
        self.commit(held)

    def clear(self) -> None:
        """Begin anew; until the next ``commit`` nothing is gone."""
        self._writer.delete_all_documents()

    def add(self, texts: Sequence[DatasetText]) -> None:
        """Documents that are not there yet."""
        for text in texts:
            self._writer.add_document(document(text))

    def commit(self, held: Held) -> None:
        """What was written is there from now on, up to the change ``held``."""
        self._writer.delete_documents_by_term("marker", "held")
        self._writer.add_document(marker(held.seq, held.doc))
        self._writer.commit()
        self._index.reload()
        self.held = held

    def part(self) -> Part:
        """As of the last commit."""
        return Part(self._schema, self._index.searcher(), self._labels)

    def close(self) -> None:
        """Give the directory free for another process. Nothing else may be called afterwards."""
        self._writer.wait_merging_threads()

    # --- opening ----------------------------------------------------------------------------

    def _open(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._index = tantivy.Index(self._schema, path=str(self._directory))
        self._writer = self._index.writer(WRITER_BYTES, 1)
        self._writer.garbage_collect_files()  # of a commit that was cut off: its names come again
        self.held = self._read_marker()

    def _read_marker(self) -> Held:
        searcher = self._index.searcher()
        found = searcher.search(Query.term_query(self._schema, "marker", "held"), limit=1)
        if not found.hits:
            return NOTHING
        held = searcher.doc(found.hits[0][1])
        if held.get_first("version") != VERSION:
            return NOTHING
        return Held(int(held.get_first("seq") or 0), int(held.get_first("last") or 0))

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
