"""Reading any account's public records from its own host.

Rule: the host of a foreign account is reached through the guarded client only, and each record is
held against the CID and the URI under which it came. No SDK and no session is needed here; the
client reads its own repository with the same functions, over its own connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from atdata.protocol.errors import (
    CidMismatch,
    IdentityNotFound,
    InvalidRecord,
    NotFound,
    ProtocolError,
    XrpcError,
    quote,
)
from atdata.protocol.namespaces import COLLECTIONS, Kind
from atdata.protocol.syntax import AtUri
from atdata.settings import settings

PAGE = 100  # com.atproto.repo.listRecords allows no more
MAX_RECORDS = 1_000_000
MAX_ANSWER = 200_000_000  # 100 records of 1 MB, and what JSON adds
MAX_RECORD_ANSWER = 3_000_000

NOT_THERE = frozenset({"RecordNotFound", "RepoNotFound", "NotFound"})

Query = Callable[[str, Mapping[str, str]], Any]
"""An XRPC query: method and parameters in, decoded JSON out."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as its repository holds it. ``value`` is in the data model: ``Cid`` for links,
    ``bytes`` for bytes. The authority of ``uri`` is a DID."""

    uri: AtUri
    cid: str
    value: Mapping[str, Any]

    def body(self) -> RecordBody:
        """The body in its JSON form, for people and programs that look fields up by name."""
        return RecordBody(cbor.to_json(dict(self.value)), uri=str(self.uri), cid=self.cid)


class RecordBody(dict[str, Any]):
    """A record's JSON body, a plain dict; ``uri`` and ``cid`` say which record it is."""

    def __init__(self, body: Any, *, uri: str, cid: str) -> None:
        super().__init__(body)
        self.uri, self.cid = uri, cid


def collections_of(kind: Kind) -> tuple[str, ...]:
    """Every collection that holds records of this kind, in both namespaces."""
    return tuple(name for name, held in COLLECTIONS.items() if held is kind)


def resolve_repo(repo: str) -> str:
    """The DID of an account given as DID, handle or ``@handle``."""
    return settings().resolver.resolve_authority(repo.removeprefix("@"))


def pds_of(did: str) -> str:
    """The origin of the host that the DID document names. Raises ``IdentityNotFound``."""
    pds = settings().resolver.resolve(did).pds
    if pds is None:
        raise IdentityNotFound(f"the DID document of {quote(did)} names no PDS")
    return pds.rstrip("/")


def blob_url(pds: str, did: str, cid: str) -> str:
    """Where a PDS serves a blob (com.atproto.sync.getBlob)."""
    return f"{pds}/xrpc/com.atproto.sync.getBlob?{urlencode({'did': did, 'cid': cid}, safe=':')}"


def public_query(pds: str) -> Query:
    """Queries to a host that the network named, through the guarded client."""

    def ask(method: str, params: Mapping[str, str]) -> Any:
        limit = MAX_ANSWER if method.endswith("listRecords") else MAX_RECORD_ANSWER
        url = f"{pds}/xrpc/{method}"
        return settings().http.get_json(url, params=dict(params), max_bytes=limit)

    return ask


def fetch_record(uri: AtUri) -> StoredRecord:
    """One record of any account, from its own host. Raises ``NotFound``."""
    did = resolve_repo(uri.authority)
    return read_record(public_query(pds_of(did)), did, uri)


def list_public(did: str, collection: str) -> Iterator[StoredRecord]:
    """Every record of a collection of any account, from its own host, lazily."""
    return read_records(public_query(pds_of(did)), did, collection)


def read_record(query: Query, did: str, uri: AtUri) -> StoredRecord:
    """One record through ``query``, checked. Raises ``NotFound`` and ``CidMismatch``."""
    if uri.collection is None or uri.rkey is None:
        raise NotFound(f"{uri} names no single record: expected at://authority/collection/key")
    params = {"repo": did, "collection": uri.collection, "rkey": uri.rkey}
    try:
        answer = query("com.atproto.repo.getRecord", params)
    except XrpcError as error:
        if error.error in NOT_THERE:
            raise NotFound(f"there is no record {uri}") from error
        raise
    return _stored(answer, AtUri.of(did, uri.collection, uri.rkey))


def read_records(query: Query, did: str, collection: str) -> Iterator[StoredRecord]:
    """Every record of one collection, page by page to the end.

    A record that breaks the protocol is logged and left out: it must not hide its neighbours.
    """
    for item in _items(query, did, collection):
        try:
            uri = AtUri.parse(item.get("uri", ""))
            if (uri.authority, uri.collection) != (did, collection) or uri.rkey is None:
                raise InvalidRecord("/uri", f"{uri} is not in {collection} of {did}")
            record = _stored(item, uri)
        except ProtocolError as error:
            log.warning("left out of the list of %s: %s", did, error)
        else:
            yield record


def _items(query: Query, did: str, collection: str) -> Iterator[Mapping[str, Any]]:
    cursors: set[str] = set()
    params = {"repo": did, "collection": collection, "limit": str(PAGE)}
    count = 0
    while count < MAX_RECORDS:
        answer = query("com.atproto.repo.listRecords", params)
        items = answer.get("records") if isinstance(answer, Mapping) else None
        if not isinstance(items, list):
            raise InvalidRecord("/records", f"the PDS of {did} answered listRecords without a list")
        yield from (item for item in items if isinstance(item, Mapping))
        count += len(items)
        cursor = answer.get("cursor")
        # A cursor that comes twice would go round for ever.
        if not items or not isinstance(cursor, str) or not cursor or cursor in cursors:
            return
        cursors.add(cursor)
        params["cursor"] = cursor


def _stored(item: object, uri: AtUri) -> StoredRecord:
    value = item.get("value") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(value, Mapping):
        raise InvalidRecord("/value", f"{uri} came without a value")
    expected = Cid.parse(item.get("cid", ""))
    body = cbor.record_from_json(value)
    actual = Cid.of(cbor.encode(body))
    if actual != expected:
        raise CidMismatch(str(expected), str(actual), str(uri))
    return StoredRecord(uri, str(expected), body)
