"""Datasets in an index built by hand whose records are true: their CIDs are those of their bytes,
their schemas can be read, and their shards are at a real server."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import Any

import ormsgpack

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from tests.network.local_server import Answer, LocalServer, content
from tests.search_api.index_builder import FOUNDATION, IndexBuilder

RAW = 0x55
CREATED = "2025-10-09T08:00:00Z"


def shard(*members: tuple[str, bytes]) -> bytes:
    """A tar of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def samples(*values: dict[str, Any]) -> bytes:
    """A shard of samples."""
    packed = [ormsgpack.packb(value) for value in values]
    return shard(*((f"{at:06d}.msgpack", data) for at, data in enumerate(packed)))


@dataclass
class Shelf:
    """Publishes into ``index`` what ``server`` gives out."""

    index: IndexBuilder
    server: LocalServer
    did: str = field(init=False)

    def __post_init__(self) -> None:
        self.did = self.index.account("alice", pds=self.server.url)

    def put(self, path: str, answer: Answer | bytes) -> str:
        """Give ``answer`` out; its URL."""
        self.server.routes[path] = content(answer) if isinstance(answer, bytes) else answer
        return self.server.url + path

    def schema(self, *fields: tuple[str, str], name: str = "Thing") -> str:
        """A schema record; kinds are those of primitives, or ``ndarray:dtype``."""
        uri = self.index.schema(
            self.did,
            name,
            rkey=f"test.thing{self.index.minute}:1.0.0",
            fields=[(field, kind.partition(":")[0]) for field, kind in fields],
        )
        body = {
            "$type": f"{FOUNDATION}.sampleSchema",
            "name": name,
            "version": "1.0.0",
            "fields": [
                {"name": field, "fieldType": _field_type(kind), "optional": False}
                for field, kind in fields
            ],
            "createdAt": CREATED,
        }
        self._make_true(uri, body)
        return uri

    def dataset(self, *urls: str, schema: str | None = None, name: str = "Reef") -> str:
        """Of shards at URLs."""
        storage = {"$type": f"{FOUNDATION}.storageExternal", "urls": list(urls)}
        return self._dataset(storage, "external", schema, name)

    def blobs(self, *cids: str, schema: str | None = None, name: str = "Reef") -> str:
        """Of shards that are blobs."""
        refs = [
            {"$type": "blob", "ref": {"$link": cid}, "mimeType": "application/x-tar", "size": 1}
            for cid in cids
        ]
        storage = {"$type": f"{FOUNDATION}.storageBlobs", "blobs": refs}
        return self._dataset(storage, "blobs", schema, name)

    def _dataset(self, storage: dict[str, Any], kind: str, schema: str | None, name: str) -> str:
        schema = schema or self.schema(("image", "ndarray:uint8"), ("label", "str"))
        body = {"name": name, "schemaRef": schema, "storage": storage, "createdAt": CREATED}
        uri = self.index.dataset(self.did, name, schema, storage=kind, body=body)
        self._make_true(uri, {"$type": f"{FOUNDATION}.record", **body})
        return uri

    def revise(self, uri: str) -> None:
        """Publish another version of the dataset, with the same shards."""
        found = self.index.connection.execute("SELECT record FROM records WHERE uri = ?", [uri])
        (record,) = found.fetchall()[0]
        self._make_true(uri, {**json.loads(record), "description": "Second edition"})

    def _make_true(self, uri: str, body: dict[str, Any]) -> None:
        cid = Cid.of(cbor.encode(cbor.record_from_json(body)))
        self.index.connection.execute(
            "UPDATE records SET record = ?, cid = ? WHERE uri = ?",
            [json.dumps(body), str(cid), uri],
        )


def blob_cid(data: bytes) -> str:
    """What a PDS would call it."""
    return str(Cid.of(data, RAW))


def _field_type(kind: str) -> dict[str, Any]:
    base = f"{FOUNDATION}.schemaType"
    name, _, dtype = kind.partition(":")
    if name == "ndarray":
        return {"$type": f"{base}#ndarray", "dtype": dtype or "float32"}
    return {"$type": f"{base}#primitive", "primitive": name}
