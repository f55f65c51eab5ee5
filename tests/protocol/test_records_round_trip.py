"""``to_body`` writes what ``parse`` reads, what our lexicons allow, and nothing over a limit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from atdata.protocol import cbor
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.lexicon import builtin_catalog
from atdata.protocol.records import (
    ArrayType,
    BlobShard,
    BlobStorage,
    Checksum,
    CodeRef,
    DatasetRecord,
    DatasetSize,
    ExternalShard,
    ExternalStorage,
    Field,
    FieldType,
    LabelRecord,
    LensRecord,
    LensVerificationRecord,
    NdarrayType,
    PrimitiveType,
    Record,
    RefType,
    S3Shard,
    S3Storage,
    SchemaRecord,
    Storage,
    StorageKind,
    UnknownType,
    collection_of,
    parse,
    storage_kind,
    to_body,
)

SCHEMA, DATASET = "ac.foundation.dataset.sampleSchema", "ac.foundation.dataset.record"
LENS = "ac.foundation.dataset.lens"
TID = "3jzfcijpj2z2a"
BLOB = Cid.of(b"shard", RAW)

# --- records of every shape, within the limits --------------------------------------------------


def words(limit: int, least: int = 0) -> st.SearchStrategy[str]:
    """Any Unicode text of at most ``limit`` UTF-8 bytes, control characters included."""
    characters = st.characters(exclude_categories=["Cs"])
    return st.text(characters, min_size=least, max_size=min(limit // 4, 30))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


counts = st.integers(0, 2**63 - 1)
tags = st.lists(words(150), max_size=30).map(tuple)
at_uris = st.sampled_from(
    ["at://did:plc:abc123/ac.foundation.dataset.sampleSchema/3k2a", "at://a.example.com/x.y.zed/k"]
)
datetimes = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
plain = st.dictionaries(
    words(100).filter(lambda key: key[:1] != "$" and key not in {"license", "tags"}),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | words(100),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(words(40).filter(lambda key: key[:1] != "$"), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=3,
)
checksums = st.builds(Checksum, words(20), words(128))
code_refs = st.builds(
    CodeRef, words(500), words(40), words(500), maybe(words(100)), maybe(words(50))
)

primitives = st.builds(PrimitiveType, st.sampled_from(["str", "int", "float", "bool", "bytes"]))
shapes = maybe(st.lists(maybe(counts), max_size=4).map(tuple))
leaves = (
    primitives
    | st.builds(NdarrayType, maybe(words(50)), shapes)
    | st.builds(RefType, at_uris)
    | st.builds(UnknownType, st.sampled_from(["sparse", "object", "com.example.types#quaternion"]))
)
field_types: st.SearchStrategy[FieldType] = st.recursive(
    leaves, lambda inner: st.builds(ArrayType, inner), max_leaves=5
)
fields = st.lists(
    st.builds(Field, words(200), field_types, st.booleans(), maybe(words(500))),
    min_size=1,
    max_size=6,
    unique_by=lambda field: field.name,
).map(tuple)
versions = st.builds(
    "{}.{}.{}{}".format, counts, counts, counts, st.sampled_from(["", "-rc.1", "+b"])
)

schemas = st.builds(
    SchemaRecord,
    name=words(100),
    version=versions,
    fields=fields,
    created_at=datetimes,
    description=maybe(words(5000)),
    license=maybe(words(200)),
    tags=tags,
    metadata=plain,
)
blobs = st.builds(BlobShard, st.just(BLOB), counts, st.just("application/x-tar"), maybe(checksums))
storages = (
    st.builds(
        ExternalStorage,
        st.lists(
            st.builds(ExternalShard, words(1000), maybe(checksums)), min_size=1, max_size=3
        ).map(tuple),
    )
    | st.builds(BlobStorage, st.lists(blobs, min_size=1, max_size=3).map(tuple))
    | st.builds(
        S3Storage,
        words(255),
        st.lists(st.builds(S3Shard, words(1000), maybe(checksums)), min_size=1, max_size=3).map(
            tuple
        ),
        maybe(words(255)),
        maybe(words(500)),
    )
)
datasets = st.builds(
    DatasetRecord,
    name=words(200),
    schema_ref=at_uris,
    storage=storages,
    created_at=datetimes,
    description=maybe(words(5000)),
    tags=tags,
    license=maybe(words(200)),
    size=st.builds(DatasetSize, maybe(counts), maybe(counts), maybe(counts)),
    metadata=maybe(st.binary(max_size=50)),
    content_metadata=maybe(plain),
    metadata_schema_ref=maybe(at_uris),
)
lenses = st.builds(
    LensRecord,
    name=words(100),
    source_schema=at_uris,
    target_schema=at_uris,
    created_at=datetimes,
    getter_code=code_refs,
    putter_code=code_refs,
    description=maybe(words(1000)),
    language=maybe(words(50)),
    metadata=plain,
    source_schema_version=maybe(words(100)),
    target_schema_version=maybe(words(100)),
)
labels = st.builds(
    LabelRecord, words(200), at_uris, datetimes, maybe(words(100)), maybe(words(5000))
)
verifications = st.builds(
    LensVerificationRecord,
    at_uris,
    words(128),
    words(100),
    maybe(datetimes),
    maybe(checksums | words(200)),
    maybe(code_refs | words(500)),
)


@settings(max_examples=150, deadline=None)
@given(schemas | datasets | lenses | labels | verifications)
def test_what_is_written_is_read_back_from_the_wire(record: Record) -> None:
    """Encoding refuses floats, so this also says that no body has one."""
    body = cbor.decode(cbor.encode(to_body(record)))
    assert isinstance(body, dict)
    assert parse(collection_of(record), body) == record


@settings(max_examples=150, deadline=None)
@given(schemas | datasets | lenses | labels)
def test_what_is_written_is_valid_under_our_lexicons(record: Record) -> None:
    builtin_catalog().validate_record(collection_of(record), TID, to_body(record))


@settings(max_examples=50, deadline=None)
@given(schemas)
def test_readers_of_json_schema_see_the_same_fields(record: SchemaRecord) -> None:
    body = to_body(record)
    del body["fields"]
    found = parse(SCHEMA, body)
    assert isinstance(found, SchemaRecord)
    assert found == record


@settings(max_examples=50, deadline=None)
@given(schemas)
def test_the_json_schema_is_one(record: SchemaRecord) -> None:
    Draft7Validator.check_schema(to_body(record)["schema"])


# --- writing -----------------------------------------------------------------------------------


def arrays(levels: int) -> FieldType:
    kind: FieldType = PrimitiveType("int")
    for _ in range(levels):
        kind = ArrayType(kind)
    return kind


def schema_of(kind: FieldType, metadata: Mapping[str, Any] = MappingProxyType({})) -> SchemaRecord:
    fields = (Field("x", kind),)
    return SchemaRecord("S", "1.0.0", fields, "2025-01-01T00:00:00Z", metadata=metadata)


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("chosen", [True, False])
def test_a_record_says_whether_the_default_dtype_was_chosen(chosen: bool, levels: int) -> None:
    kind: FieldType = NdarrayType("float32", (3,), chosen=chosen)
    for _ in range(levels):
        kind = ArrayType(kind)
    body = to_body(schema_of(kind))
    assert parse(body["$type"], body) == schema_of(kind)
    assert ("x-atdata-dtype" in repr(body["schema"])) == chosen


@pytest.mark.parametrize("beside", [None, 1, {"properties": {"x": {"items": []}, "y": 7}}])
def test_a_json_schema_beside_the_fields_that_is_none_is_passed_over(beside: object) -> None:
    body = {**to_body(schema_of(NdarrayType("float32"))), "schema": beside}
    assert parse(body["$type"], body) == schema_of(NdarrayType("float32"))


def test_both_forms_of_a_schema_as_the_lexicon_has_them() -> None:
    array = NdarrayType("float32", (None, 3), chosen=True)
    fields = (Field("image", array), Field("id", PrimitiveType("bytes"), True, "Key"))
    record = SchemaRecord("S", "1.0.0", fields, "2025-01-01T00:00:00Z", license="MIT", tags=("a",))
    assert to_body(record) == {
        "$type": "ac.foundation.dataset.sampleSchema",
        "name": "S",
        "version": "1.0.0",
        "fields": [
            {
                "name": "image",
                "fieldType": {
                    "$type": "ac.foundation.dataset.schemaType#ndarray",
                    "dtype": "float32",
                    "shape": [None, 3],
                },
                "optional": False,
            },
            {
                "name": "id",
                "fieldType": {
                    "$type": "ac.foundation.dataset.schemaType#primitive",
                    "primitive": "bytes",
                },
                "optional": True,
                "description": "Key",
            },
        ],
        "schemaType": "jsonSchema",
        "schema": {
            "$type": "ac.foundation.dataset.sampleSchema#jsonSchemaFormat",
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "image": {
                    "$ref": "https://foundation.ac/schemas/atdata-ndarray-bytes/1.0.0#/$defs/ndarray",
                    "x-atdata-dtype": "float32",
                    "x-atdata-shape": [None, 3],
                },
                "id": {
                    "type": "string",
                    "format": "byte",
                    "contentEncoding": "base64",
                    "description": "Key",
                },
            },
            "required": ["image"],
            "arrayFormatVersions": {"ndarrayBytes": "1.0.0"},
        },
        "metadata": {"license": "MIT", "tags": ["a"]},
        "createdAt": "2025-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    "record",
    [
        SchemaRecord("S", "1.0.0", (), "2025-01-01"),
        SchemaRecord("S", "one", (Field("x", PrimitiveType("int")),), "2025-01-01"),
        schema_of(PrimitiveType("int"), metadata={"f": 0.5}),
        schema_of(arrays(17)),
        DatasetRecord("D", "x", ExternalStorage((ExternalShard("u"),)), "2025-01-01"),
        DatasetRecord("D", "at://did:plc:a", ExternalStorage(()), "2025-01-01"),
        DatasetRecord("D", "at://did:plc:a", BlobStorage((BlobShard(BLOB),)), "2025-01-01"),
        LensRecord("L" * 101, "a", "b", "2025-01-01"),
    ],
)
def test_a_record_that_breaks_a_limit_is_not_written(record: Record) -> None:
    with pytest.raises(InvalidRecord):
        to_body(record)


EXTERNAL = ExternalStorage((ExternalShard("u"),))
LONG = ExternalStorage((ExternalShard("u" * 1001),))
CHECKED = ExternalStorage((ExternalShard("u", Checksum("sha256", "00")),))
BLOBS = BlobStorage((BlobShard(BLOB, 1, "a/b"),))
CHECKED_BLOBS = BlobStorage((BlobShard(BLOB, 1, "a/b", Checksum("sha256", "00")),))
BUCKET = S3Storage("b", (S3Shard("k"),))


@pytest.mark.parametrize(
    ("storage", "name", "kind"),
    [
        (EXTERNAL, "ac.foundation.dataset.storageExternal", "external"),
        (LONG, "science.alt.dataset.storageHttp", "external"),
        (CHECKED, "science.alt.dataset.storageHttp", "external"),
        (BLOBS, "ac.foundation.dataset.storageBlobs", "blobs"),
        (CHECKED_BLOBS, "science.alt.dataset.storageBlobs", "blobs"),
        (BUCKET, "science.alt.dataset.storageS3", "s3"),
    ],
)
def test_storage_in_the_words_that_can_say_it(
    storage: Storage, name: str, kind: StorageKind
) -> None:
    record = DatasetRecord("D", "at://did:plc:abc", storage, "2025-01-01T00:00:00Z")
    assert to_body(record)["storage"]["$type"] == name
    assert storage_kind(storage) == kind
