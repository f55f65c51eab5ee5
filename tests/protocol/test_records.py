"""What ``parse`` refuses, with the path to what is wrong, and what it tolerates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.records import (
    ArrayType,
    BlobShard,
    BlobStorage,
    DatasetRecord,
    FieldType,
    NdarrayType,
    PrimitiveType,
    RefType,
    SchemaRecord,
    UnknownType,
    moment,
    parse,
)

SCHEMA, DATASET = "ac.foundation.dataset.sampleSchema", "ac.foundation.dataset.record"
LENS = "ac.foundation.dataset.lens"
BLOB = Cid.of(b"shard", RAW)
INT_TYPE = {"$type": "local#primitive", "primitive": "int"}
DEEP = 10_000


def schema(**changes: Any) -> dict[str, Any]:
    """A good schema body, but for the changes."""
    fields = [{"name": "x", "fieldType": INT_TYPE}]
    body = {"name": "S", "version": "1.0.0", "fields": fields, "createdAt": "2025-01-01T00:00:00Z"}
    return {**body, **changes}


def field(field_type: Any) -> dict[str, Any]:
    return schema(fields=[{"name": "x", "fieldType": field_type}])


def shape(*lengths: Any) -> dict[str, Any]:
    return field({"$type": "local#ndarray", "shape": list(lengths)})


def json_schema(value: Any) -> dict[str, Any]:
    return schema(fields=None, schema={"type": "object", "properties": {"x": value}})


def dataset(**changes: Any) -> dict[str, Any]:
    """A good dataset body, but for the changes."""
    body = {
        "name": "D",
        "schemaRef": "at://did:plc:abc/ac.foundation.dataset.sampleSchema/x",
        "storage": {"urls": ["https://example.com/0.tar"]},
        "createdAt": "2025-01-01T00:00:00Z",
    }
    return {**body, **changes}


def blob(**changes: Any) -> dict[str, Any]:
    ref = {"$type": "blob", "ref": BLOB, "mimeType": "application/x-tar", "size": 5, **changes}
    return dataset(storage={"blobs": [ref]})


def lens(**changes: Any) -> dict[str, Any]:
    """A good lens body, but for the changes."""
    body = {"name": "L", "sourceSchema": "a", "targetSchema": "b", "createdAt": "2025-01-01"}
    return {**body, **changes}


def nested(levels: int, wrap: Callable[[Any], Any], leaf: Any) -> Any:
    for _ in range(levels):
        leaf = wrap(leaf)
    return leaf


def array_of(inner: Any) -> Any:
    return {"$type": "local#array", "items": inner}


def refused(collection: str, body: Any) -> str:
    """The path that the refusal names."""
    with pytest.raises(InvalidRecord) as caught:
        parse(collection, body)
    return caught.value.path


@pytest.mark.parametrize(
    ("collection", "body"),
    [
        (SCHEMA, schema()),
        (SCHEMA, field(nested(16, array_of, INT_TYPE))),
        (SCHEMA, shape(*[1] * 64)),
        (SCHEMA, json_schema({"type": "integer"})),
        (DATASET, dataset(metadata=bytes(100_000))),
        (DATASET, blob()),
        (LENS, lens(name="é" * 50)),
    ],
)
def test_accepted_up_to_the_limit(collection: str, body: dict[str, Any]) -> None:
    parse(collection, body)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        (schema(**{"$type": DATASET}), "/$type"),
        (schema(**{"$type": SCHEMA + "x"}), "/$type"),
        (schema(name=None), "/name"),
        (schema(name="x" * 101), "/name"),
        (schema(name="é" * 51), "/name"),
        (schema(name="\ud800"), "/name"),
        (schema(version="1.0"), "/version"),
        (schema(createdAt="yesterday"), "/createdAt"),
        (schema(createdAt=1735689600), "/createdAt"),
        (schema(description="x" * 5001), "/description"),
        (schema(metadata={"tags": ["t"] * 31}), "/metadata/tags"),
        (schema(metadata={"tags": ["t" * 151]}), "/metadata/tags/0"),
        (schema(metadata={"license": "x" * 201}), "/metadata/license"),
        (schema(metadata={"x": 0.5}), "/metadata/'x'"),
        (schema(metadata={"x": 2**63}), "/metadata/'x'"),
    ],
)
def test_refused_schemas(body: Any, path: str) -> None:
    assert refused(SCHEMA, body) == path


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (schema(fields=None), "/schema"),
        (schema(fields=[], schema={}), "/schema/properties"),
        (schema(fields=[], schema={"properties": {}}), "/schema/properties"),
        (schema(fields={"a": 1}), "/fields"),
        (schema(fields=schema()["fields"] * 2), "/fields"),
        (schema(fields=schema()["fields"] * 1001), "/fields"),
        (schema(fields=[{"name": "x"}]), "/fields/0/fieldType"),
        (
            schema(fields=[{"name": "x", "fieldType": INT_TYPE, "optional": 1}]),
            "/fields/0/optional",
        ),
        (field({}), "/fields/0/fieldType/$type"),
        (shape(True), "/fields/0/fieldType/shape/0"),
        (shape(1, -2), "/fields/0/fieldType/shape/1"),
        (shape(*[1] * 65), "/fields/0/fieldType/shape"),
        (field(nested(17, array_of, INT_TYPE)), "/fields/0/fieldType" + "/items" * 17),
        (field(nested(DEEP, array_of, INT_TYPE)), "/fields/0/fieldType" + "/items" * 17),
        (json_schema(None), "/schema/properties/'x'"),
        (
            json_schema(nested(DEEP, lambda inner: {"anyOf": [inner]}, {})),
            "/schema/properties/'x'" + "/anyOf/0" * 17,
        ),
    ],
)
def test_refused_fields(body: Any, path: str) -> None:
    assert refused(SCHEMA, body) == path


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (dataset(schemaRef="https://example.com"), "/schemaRef"),
        (dataset(schemaRef="at://did:plc:a/b.c.d/e f"), "/schemaRef"),
        (dataset(schemaRef="at://did:plc:a/b.c.d/" + "e" * 480), "/schemaRef"),
        (dataset(storage=None), "/storage"),
        (dataset(storage={}), "/storage/$type"),
        (dataset(storage={"$type": "com.example.tape", "urls": ["x"]}), "/storage/$type"),
        (dataset(storage={"$type": "com.example.storageS3", "bucket": "b"}), "/storage/$type"),
        (dataset(storage={"urls": []}), "/storage/urls"),
        (dataset(storage={"urls": ["x" * 1001]}), "/storage/urls/0"),
        (dataset(storage={"shards": [{"url": "x" * 2001}]}), "/storage/shards/0/url"),
        (dataset(storage={"bucket": "b", "shards": [{}]}), "/storage/shards/0/key"),
        (blob(ref=None), "/storage/blobs/0/cid"),
        (blob(ref={"$link": "bafy"}), "/storage/blobs/0/ref"),
        (blob(size="5"), "/storage/blobs/0/size"),
        (dataset(size={"samples": True}), "/size/samples"),
        (dataset(size={"bytes": -1}), "/size/bytes"),
        (dataset(size={"samples": 2**63}), "/size/samples"),
        (dataset(metadata=bytes(100_001)), "/metadata"),
        (dataset(metadata={"$bytes": "!"}), "/metadata"),
        (dataset(metadata="abc"), "/metadata"),
        (dataset(tags="vision"), "/tags"),
        (dataset(license=7), "/license"),
    ],
)
def test_refused_datasets(body: Any, path: str) -> None:
    assert refused(DATASET, body) == path


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (lens(sourceSchema=None), "/sourceSchema"),
        (lens(getterCode={"repository": "r"}), "/getterCode/commit"),
        (
            lens(putterCode={"repository": "r", "commit": "c" * 41, "path": "p"}),
            "/putterCode/commit",
        ),
        (
            lens(metadata={"m": nested(DEEP, lambda inner: [inner], 1)}),
            "/metadata/'m'" + "/0" * 32,
        ),
    ],
)
def test_refused_lenses(body: Any, path: str) -> None:
    assert refused(LENS, body) == path


@pytest.mark.parametrize("body", [lens(name=None), {}])
def test_what_is_missing_is_called_so(body: Any) -> None:
    with pytest.raises(InvalidRecord, match=r"^record at /name: is missing$"):
        parse(LENS, body)


@pytest.mark.parametrize(
    "collection", ["ac.foundation.datasetx.record", "ac.foundation.dataset", "app.bsky.feed.post"]
)
def test_refused_collections(collection: str) -> None:
    assert refused(collection, dataset()) == ""


# --- tolerance ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, None])
def test_a_blob_of_unknown_size(size: int | None) -> None:
    found = parse(DATASET, blob(size=size))
    assert isinstance(found, DatasetRecord)
    assert found.storage == BlobStorage((BlobShard(BLOB, None, "application/x-tar"),))


def test_control_characters_are_kept_for_the_reader_to_show_harmlessly() -> None:
    name = "a\x00\x1b[31m\u202e"
    assert parse(DATASET, dataset(name=name)).name == name  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "string", "format": "byte"}, PrimitiveType("bytes")),
        ({"type": "string", "contentEncoding": "base64"}, PrimitiveType("bytes")),
        ({"type": "string", "format": "date"}, PrimitiveType("str")),
        ({"type": "string", "format": "byte", "x-atdata-dtype": "<f4"}, NdarrayType("<f4")),
        ({"$ref": "at://did:plc:abc/a.b.c/d"}, RefType("at://did:plc:abc/a.b.c/d")),
        ({"$ref": "https://example.com/1.0.0#/$defs/sparse"}, UnknownType("sparse")),
        ({"$ref": "https://example.com/ndarray"}, UnknownType("ndarray")),
        ({"type": "array", "items": [{"type": "string"}]}, UnknownType("tuple")),
        ({"type": ["string", "integer"]}, UnknownType("any")),
        ({}, UnknownType("any")),
        (True, UnknownType("any")),
    ],
)
def test_json_schema_types(value: Any, expected: FieldType) -> None:
    found = parse(SCHEMA, json_schema(value))
    assert isinstance(found, SchemaRecord)
    assert found.fields[0].type == expected


@pytest.mark.parametrize(
    "value",
    [
        {"type": ["string", "null"]},
        {"oneOf": [{"type": "null"}, {"type": "string"}]},
        {"anyOf": [{"type": ["null", "string"]}]},
    ],
)
def test_what_may_be_null_is_optional_even_where_required(value: Any) -> None:
    body = json_schema(value)
    body["schema"]["required"] = ["x"]
    found = parse(SCHEMA, body)
    assert isinstance(found, SchemaRecord)
    assert (found.fields[0].type, found.fields[0].optional) == (PrimitiveType("str"), True)


@pytest.mark.parametrize("name", ["content", "schemaBody"])
def test_json_schema_one_level_deeper(name: str) -> None:
    inner = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    found = parse(SCHEMA, schema(fields=None, schema={name: inner}))
    assert found == parse(SCHEMA, schema())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"primitive": "str"}, PrimitiveType("str")),
        ({"dtype": "float32", "shape": []}, NdarrayType("float32", ())),
        ({"items": {"ref": "at://x"}}, ArrayType(RefType("at://x"))),
        ({"$type": "#ndarray"}, NdarrayType()),
        ({"$type": "ndarray"}, NdarrayType()),
    ],
)
def test_field_types_without_their_full_name(value: Any, expected: FieldType) -> None:
    found = parse(SCHEMA, field(value))
    assert isinstance(found, SchemaRecord)
    assert found.fields[0].type == expected


@pytest.mark.parametrize("padding", ["", "="])
def test_metadata_in_base64_with_and_without_padding(padding: str) -> None:
    found = parse(DATASET, dataset(metadata={"$bytes": "gaFhAQ" + padding * 2}))
    assert isinstance(found, DatasetRecord)
    assert found.metadata == b"\x81\xa1a\x01"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2025-01-06T12:00:00Z", datetime(2025, 1, 6, 12, tzinfo=UTC)),
        ("2025-01-06T12:00:00.123456+00:00", datetime(2025, 1, 6, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2025-01-06T12:00:00+02:00", datetime(2025, 1, 6, 10, tzinfo=UTC)),
        ("2025-01-06T12:00:00", datetime(2025, 1, 6, 12, tzinfo=UTC)),
        ("2025-01-06T12:00:00.1235678912345Z", datetime(2025, 1, 6, 12, 0, 0, 123567, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:59", None),
        ("2025-13-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_moments(written: str, meant: datetime | None) -> None:
    assert moment(written) == meant
