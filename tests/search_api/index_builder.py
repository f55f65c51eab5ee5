"""An index built by hand, row by row: what the search API reads, without the indexer."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from atdata.protocol.keys import key_of

SCHEMA_SQL = Path(__file__).parents[2] / "indexer" / "schema.sql"
FOUNDATION = "ac.foundation.dataset"
TABLES = (
    *("records", "datasets", "dataset_tags", "schemas", "schema_fields", "lenses", "labels"),
    "lens_verifications",
)
START_US = 1_760_000_000_000_000


def cid_of(text: str) -> str:
    """A real CIDv1 (dag-cbor, sha2-256) that belongs to ``text``."""
    raw = b"\x01\x71\x12\x20" + hashlib.sha256(text.encode()).digest()
    return "b" + base64.b32encode(raw).decode().lower().rstrip("=")


def did_of(name: str) -> str:
    digest = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()
    return f"did:plc:{digest[:24]}"


@dataclass
class IndexBuilder:
    """``connection`` has the tables; each method writes one record and its change, committed."""

    connection: duckdb.DuckDBPyConnection
    seq: int = 0
    minute: int = 0

    @classmethod
    def create(cls, path: str = ":memory:") -> IndexBuilder:
        connection = duckdb.connect(path)
        connection.execute(SCHEMA_SQL.read_text(encoding="utf-8"))
        return cls(connection)

    def account(self, name: str, *, verified: bool = True, pds: str | None = None) -> str:
        did = did_of(name)
        self._insert(
            "repos",
            repo=key_of(did),
            did=did,
            handle=f"{name}.test",
            handle_verified=verified,
            pds=pds or "https://pds.example.com",
            sync_state="synced",
        )
        return did

    def schema(
        self,
        did: str,
        name: str = "ImageSample",
        *,
        version: str = "1.0.0",
        rkey: str | None = None,
        fields: Sequence[tuple[str, str]] = (("image", "ndarray"), ("label", "str")),
        description: str | None = None,
    ) -> str:
        rkey = rkey or f"test.{name[0].lower()}{name[1:]}:{version}"
        uri = self._record(did, "schema", "sampleSchema", rkey, {"name": name, "version": version})
        doc = key_of(uri)
        self._insert(
            "schemas",
            doc=doc,
            name=name,
            version=version,
            description=description,
            family=f"{did}/{name}",
        )
        for position, (field, kind) in enumerate(fields):
            self._insert(
                "schema_fields",
                doc=doc,
                position=position,
                name=field,
                kind=kind,
                dtype="float32" if kind == "ndarray" else None,
                shape="[null, 3]" if kind == "ndarray" else None,
                optional=False,
            )
        self._change(doc, "put")
        return uri

    def dataset(
        self,
        did: str,
        name: str,
        schema: str,
        *,
        description: str | None = None,
        tags: Sequence[str] = (),
        license_as_written: str | None = None,
        spdx: str | None = None,
        storage: str = "external",
        body: dict[str, Any] | None = None,
    ) -> str:
        rkey = f"3k{self.minute:011d}"
        tagged = {"tags": tags} if tags else {}
        uri = self._record(did, "dataset", "record", rkey, tagged | (body or {"name": name}))
        doc = key_of(uri)
        self._insert(
            "datasets",
            doc=doc,
            name=name,
            description=description,
            schema_uri=schema,
            schema_doc=key_of(schema),
            license=license_as_written,
            license_spdx=spdx,
            storage_kind=storage,
            samples=100,
            bytes=123_456,
            shards=2,
        )
        for position, tag in enumerate(tags):
            self._insert("dataset_tags", doc=doc, position=position, tag=tag)
        self._change(doc, "put")
        return uri

    def lens(self, did: str, name: str, source: str, target: str) -> str:
        uri = self._record(did, "lens", "lens", f"3l{self.minute:011d}", {"name": name})
        code = {"repository": "https://example.com/code", "commit": "abc123", "path": "a.py:get"}
        self._insert(
            "lenses",
            doc=key_of(uri),
            name=name,
            source_uri=source,
            target_uri=target,
            source_doc=key_of(source),
            target_doc=key_of(target),
            getter_code=json.dumps(code),
        )
        self._change(key_of(uri), "put")
        return uri

    def label(self, did: str, name: str, dataset: str, version: str | None = None) -> str:
        uri = self._record(did, "label", "label", f"3m{self.minute:011d}", {"name": name})
        self._insert(
            "labels",
            doc=key_of(uri),
            name=name,
            dataset_uri=dataset,
            dataset_doc=key_of(dataset),
            version=version,
        )
        self._change(key_of(uri), "put")
        return uri

    def lens_verification(self, did: str, lens: str, cid: str | None = None) -> str:
        """A statement about ``lens``, at the version that it has unless ``cid`` is given."""
        body = {"lens": lens}
        uri = self._record(did, "lensVerification", "lens", f"3n{self.minute:011d}", body)
        self._insert(
            "lens_verifications",
            doc=key_of(uri),
            lens_uri=lens,
            lens_doc=key_of(lens),
            lens_commit=cid or cid_of(lens),
            verification_method="codeReview",
        )
        self._change(key_of(uri), "put")
        return uri

    def set_active(self, did: str, active: bool) -> None:
        """What an account event does: the repo's row, and a change for each of its records."""
        self.connection.execute("UPDATE repos SET active = ? WHERE did = ?", [active, did])
        for (doc,) in self.connection.execute(
            "SELECT doc FROM records WHERE did = ?", [did]
        ).fetchall():
            self._change(doc, "visibility")

    def delete(self, uri: str) -> None:
        doc = key_of(uri)
        for table in TABLES:
            self.connection.execute(f"DELETE FROM {table} WHERE doc = ?", [doc])
        self._change(doc, "delete")

    def _record(self, did: str, kind: str, name: str, rkey: str, body: dict[str, Any]) -> str:
        collection = f"{FOUNDATION}.{name}"
        uri = f"at://{did}/{collection}/{rkey}"
        self.minute += 1
        moment = START_US + self.minute * 60_000_000
        self.connection.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '3kaaaaaaaaaaa', "
            "make_timestamptz(?), ?, make_timestamptz(?), ?)",
            [
                key_of(uri),
                key_of(did),
                uri,
                did,
                kind,
                FOUNDATION,
                collection,
                rkey,
                cid_of(uri),
                moment,
                "2025-10-09T08:00:00+00:00",
                moment,
                json.dumps({"$type": collection, **body}),
            ],
        )
        return uri

    def _insert(self, table: str, **values: object) -> None:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self.connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values())
        )

    def _change(self, doc: int, action: str) -> None:
        self.seq += 1
        self.connection.execute("INSERT INTO changes VALUES (?, ?, ?)", [self.seq, doc, action])
