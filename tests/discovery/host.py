"""A network on loopback that a test writes out: directory, PDS, index and web host in one server.

It answers with real records under their real CIDs, so that the library's own checks are at work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from atdata.atmosphere.repository import StoredRecord
from atdata.protocol import cbor, records, views
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.records import (
    BlobShard,
    BlobStorage,
    DatasetRecord,
    LensRecord,
    Record,
    SchemaRecord,
    Storage,
)
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import (
    CodeRefView,
    DatasetDetail,
    DatasetPage,
    DatasetView,
    LensPage,
    LensView,
    SchemaDetail,
    SchemaView,
)
from atdata.schema import schema_of
from tests.network.local_server import Answer, LocalServer, content, status

XRPC = "/xrpc/ac.foundation.dataset."
DID = f"did:plc:{'a' * 24}"
HANDLE = "alice.test"
THEN = "2026-01-01T00:00:00Z"

Write = Callable[[BaseHTTPRequestHandler, bytes], None]


@dataclass
class Host:
    """Everything of one account. Change what it holds and it answers so."""

    server: LocalServer
    records: dict[str, StoredRecord] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)  # by blob CID, or path
    ranges: bool = False  # whether files are served by range; a PDS does not
    etags: dict[str, str] = field(default_factory=dict)  # by path
    modified: dict[str, str] = field(default_factory=dict)  # by path
    write: Write = field(default=lambda request, data: _write_all(request, data))

    @classmethod
    def on(cls, server: LocalServer) -> Host:
        host = cls(server)
        did_document = {
            "id": DID,
            "alsoKnownAs": [f"at://{HANDLE}"],
            "service": [
                {
                    "id": "#atproto_pds",
                    "type": "AtprotoPersonalDataServer",
                    "serviceEndpoint": server.url,
                }
            ],
        }
        server.routes |= {
            f"/{DID}": _json(did_document),
            "/xrpc/com.atproto.identity.resolveHandle": _json({"did": DID}),
            "/xrpc/com.atproto.repo.getRecord": host._get_record,
            "/xrpc/com.atproto.repo.listRecords": host._list_records,
            "/xrpc/com.atproto.sync.getBlob": host._get_blob,
            XRPC + "getDataset": host._get_dataset,
            XRPC + "getSchema": host._get_schema,
            XRPC + "findLenses": host._find_lenses,
            XRPC + "searchDatasets": host._search,
        }
        return host

    # --- publishing ------------------------------------------------------------------------------

    def put(self, record: Record, rkey: str) -> str:
        return self.put_body(records.to_body(record), rkey)

    def put_body(self, body: dict[str, Any], rkey: str) -> str:
        """As published by a writer that checks nothing."""
        uri = AtUri.of(DID, str(body["$type"]), rkey)
        self.records[str(uri)] = StoredRecord(uri, str(Cid.of(cbor.encode(body))), body)
        return str(uri)

    def schema(self, sample_type: type, rkey: str = "schema") -> str:
        return self.put(schema_of(sample_type, created_at=THEN), rkey)

    def dataset(
        self,
        schema: str,
        storage: Storage | Sequence[bytes],
        rkey: str = "3kdataset",
        name: str = "made",
        **more: Any,
    ) -> str:
        """A dataset; of blobs, if ``storage`` are the bytes of its shards."""
        if not isinstance(storage, records.Storage):
            storage = BlobStorage(tuple(map(self.blob, storage)))
        return self.put(DatasetRecord(name, schema, storage, THEN, **more), rkey)

    def blob(self, data: bytes) -> BlobShard:
        cid = Cid.of(data, RAW)
        self.files[str(cid)] = data
        return BlobShard(cid, len(data), "application/x-tar")

    def lens(self, name: str, source: str, target: str, rkey: str, **more: Any) -> str:
        return self.put(LensRecord(name, source, target, THEN, **more), rkey)

    def file(self, path: str, data: bytes) -> str:
        self.files[path] = data
        self.server.routes[path] = self._get_file
        return self.server.url + path

    def requests(self, part: str) -> list[dict[str, str]]:
        """The headers of every request whose path holds ``part``."""
        return [seen.headers for seen in self.server.seen if part in seen.path]

    # --- as a PDS --------------------------------------------------------------------------------

    def _get_record(self, request: BaseHTTPRequestHandler) -> None:
        asked = _query(request)
        uri = f"at://{asked['repo']}/{asked['collection']}/{asked['rkey']}"
        found = self.records.get(uri)
        if found is None:
            _refuse(request, "RecordNotFound", 400)
        else:
            _json({"uri": uri, "cid": found.cid, "value": found.body()})(request)

    def _list_records(self, request: BaseHTTPRequestHandler) -> None:
        collection = _query(request)["collection"]
        found = [
            {"uri": uri, "cid": stored.cid, "value": stored.body()}
            for uri, stored in self.records.items()
            if str(stored.uri.collection) == collection
        ]
        _json({"records": found})(request)

    def _get_blob(self, request: BaseHTTPRequestHandler) -> None:
        self._serve(request, _query(request)["cid"])

    def _get_file(self, request: BaseHTTPRequestHandler) -> None:
        self._serve(request, request.path)

    def _serve(self, request: BaseHTTPRequestHandler, name: str) -> None:
        data = self.files.get(name)
        if data is None:
            _refuse(request, "BlobNotFound", 404)
            return
        start = self._start(request, name)
        if start >= len(data) > 0:
            status(416)(request)
            return
        request.send_response(206 if start else 200)
        if start:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            request.send_header("Content-Range", span)
        if name in self.etags:
            request.send_header("ETag", self.etags[name])
        if name in self.modified:
            request.send_header("Last-Modified", self.modified[name])
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        self.write(request, data[start:])

    def _start(self, request: BaseHTTPRequestHandler, name: str) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        versions = self.etags.get(name), self.modified.get(name)
        same = request.headers.get("If-Range") in (None, *versions)
        return int(asked[1]) if asked and self.ranges and same else 0

    # --- as an index -----------------------------------------------------------------------------

    def _get_dataset(self, request: BaseHTTPRequestHandler) -> None:
        found = self.records.get(_query(request)["uri"])
        if found is None:
            _refuse(request, "RecordNotFound", 404)
            return
        schema = self.records.get(str(found.value["schemaRef"]))
        detail = DatasetDetail(
            self.dataset_view(found),
            found.body(),
            None if schema is None else self._schema_view(schema),
            None if schema is None else schema.body(),
            self.server.url,
        )
        _json(views.to_json(detail))(request)

    def _get_schema(self, request: BaseHTTPRequestHandler) -> None:
        found = self.records.get(_query(request)["uri"])
        if found is None:
            _refuse(request, "RecordNotFound", 404)
        else:
            _json(views.to_json(SchemaDetail(self._schema_view(found), found.body())))(request)

    def _find_lenses(self, request: BaseHTTPRequestHandler) -> None:
        source = _query(request).get("source")
        found = tuple(
            self.lens_view(uri)
            for uri, stored in self.records.items()
            if stored.value.get("sourceSchema") == source
        )
        _json(views.to_json(LensPage(found)))(request)

    def _search(self, request: BaseHTTPRequestHandler) -> None:
        found = [s for s in self.records.values() if "storage" in s.value]
        page = DatasetPage(tuple(map(self.dataset_view, found)), len(found))
        _json(views.to_json(page))(request)

    def dataset_view(self, stored: StoredRecord) -> DatasetView:
        return DatasetView(
            uri=str(stored.uri),
            cid=stored.cid,
            did=DID,
            handle=HANDLE,
            indexed_at=THEN,
            name=str(stored.value["name"]),
            schema_uri=str(stored.value["schemaRef"]),
            storage_kind="blobs",
            created_at=THEN,
        )

    def _schema_view(self, stored: StoredRecord) -> SchemaView:
        record = records.parse(str(stored.uri.collection), stored.value)
        assert isinstance(record, SchemaRecord)
        return SchemaView(str(stored.uri), stored.cid, DID, THEN, record.name, record.version, THEN)

    def lens_view(self, uri: str) -> LensView:
        stored = self.records[uri]
        record = records.parse(str(stored.uri.collection), stored.value)
        assert isinstance(record, LensRecord)
        code = record.getter_code
        return LensView(
            uri,
            stored.cid,
            DID,
            THEN,
            record.name,
            record.source_schema,
            record.target_schema,
            THEN,
            getter_code=code and CodeRefView(code.repository, code.commit, code.path),
        )


def _write_all(request: BaseHTTPRequestHandler, data: bytes) -> None:
    request.wfile.write(data)


def _query(request: BaseHTTPRequestHandler) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


def _json(value: Any, code: int = 200) -> Answer:
    return content(json.dumps(value).encode(), code, content_type="application/json")


def _refuse(request: BaseHTTPRequestHandler, error: str, code: int) -> None:
    _json({"error": error, "message": "not here"}, code)(request)
