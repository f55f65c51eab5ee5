"""From a reference to one dataset's records: in the local library, the index, or its author's PDS.

Rule: what is on this machine goes first and asks nobody. Whoever else answers, every record is held
against its CID.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from atdata import api as search_api
from atdata.atmosphere.entries import DatasetEntry, read_as, read_entry
from atdata.atmosphere.repository import (
    StoredRecord,
    collections_of,
    fetch_record,
    list_public,
    resolve_repo,
)
from atdata.library import Library, PulledDataset
from atdata.protocol.errors import (
    InvalidRecord,
    NetworkError,
    NotFound,
    ProtocolError,
    XrpcError,
    quote,
)
from atdata.protocol.namespaces import Kind
from atdata.protocol.records import SchemaRecord
from atdata.protocol.syntax import AtUri, Did
from atdata.protocol.views import DatasetDetail
from atdata.schema import type_of
from atdata.settings import settings

log = logging.getLogger(__name__)


class HasUri(Protocol):
    """A search hit, an entry: anything that knows its AT URI, and perhaps its ``cid``."""

    @property
    def uri(self) -> str: ...


@dataclass(frozen=True, slots=True)
class FoundDataset:
    """A dataset's record, and the way to that of its schema: ``given``, if it came along, else it
    is fetched from its author once somebody needs it. ``pds`` is the host of the blobs and
    ``handle`` the author's, where these are known; ``pulled`` are the files, if it is in the
    library."""

    dataset: StoredRecord
    given: StoredRecord | None = None
    pds: str | None = None
    handle: str | None = None
    pulled: PulledDataset | None = None
    entry: DatasetEntry = field(init=False)
    _schema: StoredRecord | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ``InvalidRecord`` where the record is not what it should be."""
        object.__setattr__(self, "entry", read_entry(self.dataset))
        object.__setattr__(self, "_schema", self.given)

    @property
    def schema(self) -> SchemaRecord:
        """What its samples are. Raises ``NotFound``, ``InvalidRecord``, ``NetworkError``."""
        return read_as(SchemaRecord, self._schema_record())

    def schema_record(self) -> StoredRecord | None:
        """The schema's record; None, and a word in the log, where it is not to be had. For what
        was pulled without it, nobody is asked."""
        if self.pulled is not None and self._schema is None:
            return None
        try:
            return self._schema_record()
        except (NotFound, ProtocolError, NetworkError, XrpcError) as error:
            log.warning("%s is read without its schema: %s", self.dataset.uri, error)
            return None

    def known_schema(self) -> SchemaRecord | None:
        """``schema``, or None where it is not to be had, or is none."""
        stored = self.schema_record()
        try:
            return None if stored is None else read_as(SchemaRecord, stored)
        except InvalidRecord as error:
            log.warning("%s is read without its schema: %s", self.dataset.uri, error)
            return None

    def sample_type(self) -> type[Any]:
        """The Python type that the schema describes. Raises as ``schema`` does."""
        return type_of(self.schema)

    def _schema_record(self) -> StoredRecord:
        stored = self._schema
        if stored is None:
            try:
                stored = fetch_record(AtUri.parse(self.entry.schema_ref))
            except NotFound as error:
                raise NotFound(
                    f"{error}; without its schema, the samples of {self.dataset.uri} can be read "
                    "as a type of your own, or as DictSample"
                ) from error
            object.__setattr__(self, "_schema", stored)
        return stored


def find_dataset(
    ref: str | HasUri, *, api: str | None = None, verify: bool = False
) -> FoundDataset:
    """A dataset's record and schema, without touching its shards. See ``atdata.load_dataset``."""
    text, cid = _text(ref), getattr(ref, "cid", None)
    wanted = _Wanted(cid if isinstance(cid, str) else None, verify)
    pulled = _in_library(lambda library: _without_network(text, library), wanted)
    if pulled is not None:
        return pulled
    uri, handle = _resolved(text, api)
    if str(uri) != text:  # a name, which the library may not know
        pulled = _in_library(lambda _: uri, wanted)
    return pulled or _published(uri, handle, api)


def find_published(ref: str | HasUri, *, api: str | None = None) -> FoundDataset:
    """As the network has it now: from the index, or from the author's own PDS if there is none
    or it does not know the dataset. Raises ``NotFound``, ``InvalidRecord``, ``NetworkError``."""
    return _published(*_resolved(_text(ref), api), api)


def _published(uri: AtUri, handle: str | None, api: str | None) -> FoundDataset:
    if api or settings().api:
        try:
            return found_in(search_api.get_dataset(str(uri), api=api), uri, handle)
        except NotFound:
            pass  # perhaps newer than the index; the author's PDS has the last word
    dataset = fetch_record(uri)
    return FoundDataset(dataset, handle=handle)


def fetch_schema(uri: str) -> SchemaRecord:
    """A schema from its author's own PDS. Raises ``NotFound``, ``InvalidRecord``."""
    return read_as(SchemaRecord, fetch_record(AtUri.parse(uri)))


def _text(ref: str | HasUri) -> str:
    return ref if isinstance(ref, str) else ref.uri


# --- in the library ------------------------------------------------------------------------------


class _Wanted(NamedTuple):
    """Which version, if one in particular; and whether its files are to be hashed."""

    cid: str | None
    verify: bool


def _in_library(uri_in: Callable[[Library], AtUri], wanted: _Wanted) -> FoundDataset | None:
    root = settings().library
    if root is None or not root.is_dir():
        return None
    library = Library(root)
    try:
        return _pulled(library.find(uri_in(library), wanted.cid, verify=wanted.verify))
    except NotFound as error:
        log.debug("not in the library: %s", error)
        return None


def _pulled(pulled: PulledDataset) -> FoundDataset:
    return FoundDataset(pulled.dataset, pulled.schema, handle=pulled.handle, pulled=pulled)


def _without_network(ref: str, library: Library) -> AtUri:
    """What the reference meant when it was pulled. Raises ``NotFound``."""
    if ref.startswith("@"):
        return library.find_named(*_author_and_name(ref))
    uri = _of_a_record(ref)
    return uri if isinstance(uri.authority, Did) else library.find_by_handle(uri)


# --- on the network ------------------------------------------------------------------------------


def _resolved(ref: str, api: str | None) -> tuple[AtUri, str | None]:
    """The reference as an AT URI whose authority is a DID; and the handle, if it named one."""
    if ref.startswith("@"):
        author, name = _author_and_name(ref)
        return _by_name(author, name, api), None if author.startswith("did:") else author
    uri = _of_a_record(ref)
    if isinstance(uri.authority, Did):
        return uri, None
    did = resolve_repo(uri.authority)
    return AtUri.of(did, str(uri.collection), str(uri.rkey)), str(uri.authority).lower()


def _author_and_name(ref: str) -> tuple[str, str]:
    """The author is a DID, or a handle in lower case."""
    author, _, name = ref.removeprefix("@").partition("/")
    return author if author.startswith("did:") else author.lower(), name


def _of_a_record(ref: str) -> AtUri:
    uri = AtUri.parse(ref)
    if uri.collection is None or uri.rkey is None:
        raise NotFound(f"{ref} names no single record: expected at://authority/collection/key")
    return uri


def _by_name(author: str, name: str, api: str | None) -> AtUri:
    """The newest dataset of that name by that author. Raises ``NotFound``."""
    if (api or settings().api) and (known := _indexed_by_name(author, name, api)) is not None:
        return known
    did = resolve_repo(author)
    entries = [entry for entry in _public_entries(did) if entry.name == name]
    if not entries:
        raise NotFound(f"{did} has published no dataset called {quote(name)}")
    return AtUri.parse(max(entries, key=lambda entry: (entry.created_at, entry.uri)).uri)


def _indexed_by_name(author: str, name: str, api: str | None) -> AtUri | None:
    """Of those on the first page, where the whole name goes before all else, newest first."""
    page = search_api.search_datasets({"q": name, "author": author}, api=api)
    named = [v for v in page.datasets if v.name == name and author in (v.did, v.handle)]
    if not named:
        return None
    return AtUri.parse(max(named, key=lambda view: (view.created_at, view.uri)).uri)


def _public_entries(did: str) -> Iterator[DatasetEntry]:
    for collection in collections_of(Kind.DATASET):
        for stored in list_public(did, collection):
            with contextlib.suppress(InvalidRecord):
                yield read_entry(stored)


def found_in(detail: DatasetDetail, uri: AtUri, handle: str | None = None) -> FoundDataset:
    """What an index answered about ``uri``. Raises ``InvalidRecord`` and ``CidMismatch`` where its
    records are not those that their CIDs say."""
    view = detail.dataset
    if view.uri != str(uri):
        raise InvalidRecord(
            "/dataset/uri", f"asked for {uri}, the index answered {quote(view.uri)}"
        )
    body = search_api.check_record(detail.record, view.cid, view.uri)
    dataset = StoredRecord(uri, view.cid, body)
    schema = _schema_from_index(detail, read_entry(dataset).schema_ref)
    return FoundDataset(dataset, schema, detail.pds, handle or _handle(view.handle))


def _handle(handle: str | None) -> str | None:
    return None if handle == "handle.invalid" else handle


def _schema_from_index(detail: DatasetDetail, ref: str) -> StoredRecord | None:
    schema, body = detail.schema, detail.schema_record
    if schema is None or body is None or schema.uri != ref:
        return None
    value = search_api.check_record(body, schema.cid, schema.uri)
    return StoredRecord(AtUri.parse(schema.uri), schema.cid, value)
