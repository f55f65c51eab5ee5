"""From a reference to one dataset's records: in the local library, the index, or its author's PDS.

Rule: what is on this machine goes first and asks nobody. Whoever else answers, every record is held
against its CID.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

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
from atdata.protocol.errors import InvalidRecord, NotFound, quote
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
    """A dataset's record and that of its schema. ``pds`` is the host of its blobs and ``handle``
    the author's, where these are known; ``pulled`` are its files, if it is in the library."""

    dataset: StoredRecord
    schema_record: StoredRecord
    pds: str | None = None
    handle: str | None = None
    pulled: PulledDataset | None = None
    entry: DatasetEntry = field(init=False)
    schema: SchemaRecord = field(init=False)

    def __post_init__(self) -> None:
        """Raises ``InvalidRecord`` where one of the records is not what it should be."""
        object.__setattr__(self, "entry", read_entry(self.dataset))
        object.__setattr__(self, "schema", read_as(SchemaRecord, self.schema_record))

    def sample_type(self) -> type[Any]:
        """The Python type that the schema describes."""
        return type_of(self.schema)


def find_dataset(
    ref: str | HasUri, *, api: str | None = None, verify: bool = False
) -> FoundDataset:
    """A dataset's record and schema, without touching its shards. See ``atdata.load_dataset``."""
    pulled = _in_library(ref, verify)
    if pulled is not None:
        return pulled
    return find_published(ref, api=api)


def find_published(ref: str | HasUri, *, api: str | None = None) -> FoundDataset:
    """As the network has it now: from the index, or from the author's own PDS if there is none
    or it does not know the dataset. Raises ``NotFound``, ``InvalidRecord``, ``NetworkError``."""
    uri, handle = _resolved(_text(ref), api)
    if api or settings().api:
        try:
            return _from_index(search_api.get_dataset(str(uri), api=api), uri, handle)
        except NotFound:
            pass  # perhaps newer than the index; the author's PDS has the last word
    dataset = fetch_record(uri)
    schema = fetch_record(AtUri.parse(read_entry(dataset).schema_ref))
    return FoundDataset(dataset, schema, handle=handle)


def fetch_schema(uri: str) -> SchemaRecord:
    """A schema from its author's own PDS. Raises ``NotFound``, ``InvalidRecord``."""
    return read_as(SchemaRecord, fetch_record(AtUri.parse(uri)))


def _text(ref: str | HasUri) -> str:
    return ref if isinstance(ref, str) else ref.uri


# --- in the library ------------------------------------------------------------------------------


def _in_library(ref: str | HasUri, verify: bool) -> FoundDataset | None:
    root = settings().library
    if root is None or not root.is_dir():
        return None
    library, cid = Library(root), getattr(ref, "cid", None)
    try:
        uri = _without_network(_text(ref), library)
        return _pulled(library.find(uri, cid if isinstance(cid, str) else None, verify=verify))
    except NotFound as error:
        log.debug("not in the library: %s", error)
        return None


def _pulled(pulled: PulledDataset) -> FoundDataset:
    return FoundDataset(pulled.dataset, pulled.schema, handle=pulled.handle, pulled=pulled)


def _without_network(ref: str, library: Library) -> AtUri:
    """What the reference meant when it was pulled. Raises ``NotFound``."""
    if ref.startswith("@"):
        handle, name = _handle_and_name(ref)
        return library.find_named(handle, name)
    uri = _of_a_record(ref)
    if not isinstance(uri.authority, Did):
        raise NotFound(f"whose {uri.authority} is must be asked")
    return uri


# --- on the network ------------------------------------------------------------------------------


def _resolved(ref: str, api: str | None) -> tuple[AtUri, str | None]:
    """The reference as an AT URI whose authority is a DID; and the handle, if it named one."""
    if ref.startswith("@"):
        handle, name = _handle_and_name(ref)
        return _by_name(handle, name, api), handle
    uri = _of_a_record(ref)
    if isinstance(uri.authority, Did):
        return uri, None
    did = resolve_repo(uri.authority)
    return AtUri.of(did, str(uri.collection), str(uri.rkey)), str(uri.authority)


def _handle_and_name(ref: str) -> tuple[str, str]:
    handle, _, name = ref.removeprefix("@").partition("/")
    return handle if handle.startswith("did:") else handle.lower(), name


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


def _from_index(detail: DatasetDetail, uri: AtUri, handle: str | None) -> FoundDataset:
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


def _schema_from_index(detail: DatasetDetail, ref: str) -> StoredRecord:
    schema, body = detail.schema, detail.schema_record
    if schema is None or body is None or schema.uri != ref:
        return fetch_record(AtUri.parse(ref))
    value = search_api.check_record(body, schema.cid, schema.uri)
    return StoredRecord(AtUri.parse(schema.uri), schema.cid, value)
