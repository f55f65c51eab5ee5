"""Rows: what a record of each kind becomes in the tables, and what hostile values do not do."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from atdata.protocol import cbor
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import InvalidCbor, InvalidRecord
from atdata.protocol.keys import key_of
from atdata.protocol.records import ArrayType, NdarrayType, PrimitiveType, RefType, UnknownType
from atdata.protocol.syntax import Tid
from indexer.rows import Envelope, clean, rows_of, spelling, uri_of
from indexer.tables import (
    DatasetRow,
    LabelRow,
    LensRow,
    LensVerificationRow,
    Rows,
    SchemaRow,
)
from tests.indexer.network import DATASET, LENS, SCHEMA, SCHEMA_URI, dataset

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
REV_US = 1_700_000_000_000_000  # 2023-11-14T22:13:20Z
REV = str(Tid.from_parts(REV_US, 5))


def rows(body: dict[str, Any], collection: str = DATASET) -> Rows:
    block = cbor.encode(body)
    at = Envelope(DID, collection, "3k2yihcrp2c2a", str(Cid.of(block)), REV, REV_US + 7)
    return rows_of(at, block)


def dataset_row(**members: Any) -> DatasetRow:
    detail = rows(dataset(**members)).detail
    assert isinstance(detail, DatasetRow)
    return detail


def test_a_key_is_the_first_63_bits_of_the_hash() -> None:
    digest = hashlib.sha256(b"at://x").hexdigest()
    assert key_of("at://x") == int(digest[:16], 16) >> 1
    assert 0 <= key_of("\ud800") < 2**63


def test_the_envelope_of_a_record() -> None:
    record = rows(dataset()).record
    uri = f"at://{DID}/{DATASET}/3k2yihcrp2c2a"
    assert uri_of(DID, DATASET, "3k2yihcrp2c2a") == uri
    assert (record.doc, record.repo, record.uri) == (key_of(uri), key_of(DID), uri)
    assert (record.kind, record.namespace, record.collection, record.rkey) == (
        "dataset",
        "ac.foundation.dataset",
        DATASET,
        "3k2yihcrp2c2a",
    )
    assert (record.rev, record.indexed_at) == (REV, REV_US + 7)
    assert record.cid == str(Cid.of(cbor.encode(dataset())))


def test_the_body_is_kept_whole_as_json() -> None:
    blob = {"$type": "blob", "ref": Cid.of(b"x", RAW), "mimeType": "a/b", "size": 1}
    storage = {"$type": "ac.foundation.dataset.storageBlobs", "blobs": [blob]}
    body = dataset(storage=storage, metadata=b"\x80", more="kept\x00")
    kept = json.loads(rows(body).record.record)
    assert kept["storage"]["blobs"][0]["ref"] == {"$link": str(Cid.of(b"x", RAW))}
    assert kept["metadata"] == {"$bytes": "gA"}
    assert kept["more"] == "kept\x00"


def test_a_dataset() -> None:
    row = dataset_row(
        name="cats",
        description="of the house",
        license="CC BY 4.0",
        size={"samples": 3, "bytes": 10, "shards": 1},
    )
    assert (row.name, row.description) == ("cats", "of the house")
    assert (row.schema_uri, row.schema_doc) == (SCHEMA_URI, key_of(SCHEMA_URI))
    assert (row.license, row.license_spdx) == ("CC BY 4.0", "CC-BY-4.0")
    assert (row.storage_kind, row.samples, row.bytes, row.shards) == ("external", 3, 10, 1)


def test_a_licence_that_is_no_spdx_stays_as_written() -> None:
    row = dataset_row(license="ask me")
    assert (row.license, row.license_spdx) == ("ask me", None)


def test_tags_keep_their_order() -> None:
    tags = rows(dataset(tags=["b", "a", "b"])).tags
    assert [(tag.position, tag.tag) for tag in tags] == [(0, "b"), (1, "a"), (2, "b")]


def test_a_claim_that_no_column_holds_is_no_claim() -> None:
    assert dataset_row(size={"samples": 2**63 - 1}).samples == 2**63 - 1
    with_huge = {"samples": 2**63, "bytes": 5}
    try:
        row = dataset_row(size=with_huge)
    except InvalidRecord:
        return  # the model may refuse it before
    assert (row.samples, row.bytes) == (None, 5)


@pytest.mark.parametrize(
    ("created", "sorted_at"),
    [
        ("2023-11-14T12:00:00.000Z", REV_US - 36_800_000_000),
        ("2023-11-14T14:00:00.000001+02:00", REV_US - 36_800_000_000 + 1),
        ("2099-01-01T00:00:00Z", REV_US),
    ],
)
def test_a_date_in_the_future_does_not_win(created: str, sorted_at: int) -> None:
    record = rows(dataset(createdAt=created)).record
    assert (record.sort_at, record.created_at) == (sorted_at, created)


def schema(*fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "$type": SCHEMA,
        "name": "Image",
        "version": "1.2.0",
        "fields": list(fields),
        "createdAt": "2023-11-14T12:00:00Z",
    }


def field(name: str, kind: str, *, optional: bool = False, **more: Any) -> dict[str, Any]:
    of = {"$type": f"ac.foundation.dataset.schemaType#{kind}", **more}
    return {"name": name, "fieldType": of, "optional": optional}


def test_a_schema_with_its_fields_in_order() -> None:
    made = rows(
        schema(
            field("image", "ndarray", dtype="float32", shape=[None, 3]),
            field("label", "primitive", primitive="str", optional=True),
            field("words", "array", items=field("", "primitive", primitive="str")["fieldType"]),
            field("next", "ref", ref=SCHEMA_URI),
        ),
        SCHEMA,
    )
    assert isinstance(made.detail, SchemaRow)
    assert (made.detail.name, made.detail.version) == ("Image", "1.2.0")
    assert made.detail.family == f"{DID}/Image"
    columns = [(f.position, f.name, f.kind, f.dtype, f.items, f.optional) for f in made.fields]
    assert columns == [
        (0, "image", "ndarray", "float32", None, False),
        (1, "label", "str", None, None, True),
        (2, "words", "array", None, "str", False),
        (3, "next", "ref", None, None, False),
    ]


def test_types_are_spelled_as_in_python() -> None:
    text = PrimitiveType("str")
    assert spelling(text) == "str"
    assert spelling(ArrayType(ArrayType(text))) == "list[list[str]]"
    assert spelling(ArrayType(NdarrayType("float32"))) == "list[NDArray]"
    assert spelling(RefType(SCHEMA_URI)) == SCHEMA_URI
    assert spelling(UnknownType("quaternion")) == "quaternion"


def test_a_lens_with_and_without_code() -> None:
    code = {"repository": "https://git.example.org/x", "commit": "a" * 40, "path": "l.py:get"}
    target = SCHEMA_URI.replace("image", "label")
    body = {
        "$type": LENS,
        "name": "to-label",
        "sourceSchema": SCHEMA_URI,
        "targetSchema": target,
        "createdAt": "2023-11-14T12:00:00Z",
    }
    row = rows({**body, "getterCode": code, "putterCode": code}, LENS).detail
    assert isinstance(row, LensRow)
    assert (row.source_doc, row.target_doc) == (key_of(SCHEMA_URI), key_of(target))
    assert json.loads(row.getter_code or "") == code
    old = rows(body, LENS).detail
    assert isinstance(old, LensRow)
    assert (old.getter_code, old.putter_code) == (None, None)


def test_a_label() -> None:
    uri = f"at://{DID}/science.alt.dataset.entry/3k2yihcrp2c2a"
    body = {"name": "gold", "datasetUri": uri, "createdAt": "2023-11-14T12:00:00Z"}
    row = rows(body, "science.alt.dataset.label").detail
    assert isinstance(row, LabelRow)
    assert (row.name, row.dataset_uri, row.dataset_doc) == ("gold", uri, key_of(uri))


def test_a_lens_verification_need_not_have_a_date() -> None:
    uri = f"at://{DID}/{LENS}/3k2yihcrp2c2a"
    body = {"lens": uri, "lensCommit": "a" * 40, "verificationMethod": "signedHash"}
    made = rows(body, "science.alt.dataset.lensVerification")
    assert isinstance(made.detail, LensVerificationRow)
    assert made.detail.lens_doc == key_of(uri)
    assert (made.record.created_at, made.record.sort_at) == ("2023-11-14T22:13:20.000000Z", REV_US)


def test_text_that_readers_cannot_take_is_replaced() -> None:
    assert dataset_row(name="a\x00b").name == "a\ufffdb"
    assert clean("lone \ud800 surrogate") == "lone ? surrogate"


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (b"", InvalidCbor),
        (b"\xa1\x61a\xf9\x3c\x00", InvalidCbor),
        (b"\x81" * 10_000 + b"\x80", InvalidCbor),
        (cbor.encode(["a", "list"]), InvalidRecord),
        (cbor.encode({}), InvalidRecord),
        (cbor.encode(dataset(name=7)), InvalidRecord),
        (cbor.encode(dataset(createdAt="yesterday")), InvalidRecord),
    ],
)
def test_what_is_no_record_is_refused_by_name(block: bytes, error: type[Exception]) -> None:
    at = Envelope(DID, DATASET, "3k2yihcrp2c2a", str(Cid.of(block)), REV, REV_US)
    with pytest.raises(error):
        rows_of(at, block)
