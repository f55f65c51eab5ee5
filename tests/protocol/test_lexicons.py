"""Our lexicons: what the formats demand of records, what the search API promises, and that the
record models enforce the very limits that the documents declare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from atdata.protocol import lexicon_types as types
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.lexicon import builtin_catalog
from atdata.protocol.records import (
    BlobShard,
    BlobStorage,
    CodeRef,
    DatasetRecord,
    Field,
    LabelRecord,
    LensRecord,
    PrimitiveType,
    Record,
    SchemaRecord,
    collection_of,
    parse,
    to_body,
)

NS = "ac.foundation.dataset"
CATALOG = builtin_catalog()
TID = "3jzfcijpj2z2a"
AT_URI = f"at://did:plc:abc123/{NS}.sampleSchema/x"
CREATED = "2025-01-01T00:00:00.000Z"
CODE = CodeRef("https://example.com/r", "c0ffee", "a.py:f", "main")

RECORDS: dict[str, Record] = {
    "sampleSchema": SchemaRecord(
        "S", "1.0.0", (Field("x", PrimitiveType("int")),), CREATED, "d", "MIT", ("t",)
    ),
    "record": DatasetRecord(
        "D",
        AT_URI,
        BlobStorage((BlobShard(Cid.of(b"", RAW), 0, "application/x-tar"),)),
        CREATED,
        "d",
        ("t",),
        "MIT",
        metadata=b"\x80",
    ),
    "lens": LensRecord("L", AT_URI, AT_URI, CREATED, CODE, CODE, "d", "python"),
    "label": LabelRecord("N", AT_URI, CREATED, "1", "d"),
}
QUERIES = {
    "searchDatasets": (
        (
            "q tags tagsAny license schema fields author storage namespace minSamples maxSamples "
            "minBytes maxBytes createdAfter createdBefore sort fuzzy facets limit cursor"
        ),
        "",
    ),
    "getDataset": ("uri", "uri"),
    "listSchemas": ("author q limit cursor", ""),
    "getSchema": ("uri", "uri"),
    "findLenses": ("source target limit cursor author", ""),
    "listTags": ("prefix limit cursor with", ""),
    "listLicenses": ("limit cursor prefix with", ""),
    "getIndexStatus": ("", ""),
    "getLatestSchema": ("schemaId prereleases", "schemaId"),
    "findLensPath": ("source dataset target needs hops limit putters verified reachable", ""),
    "getDatasets": ("uris", "uris"),
    "getLens": ("uri", "uri"),
    "getProfile": ("actor limit", "actor"),
    "getSimilarDatasets": ("uri limit", "uri"),
    "listSchemaVersions": ("schemaId uri", ""),
    "resolveLabel": ("author name version", "author name"),
    "searchSchemas": ("q author fields needs compatible limit cursor", ""),
}
SUCCESSOR = "science.alt.dataset"
SUCCESSOR_NAMES = (
    *("defs", "getEntries", "getEntry", "getSchema", "listEntries", "listLenses", "listSchemas"),
    *("resolveLabel", "resolveSchema", "searchDatasets", "searchLenses"),
)


def record(name: str) -> types.Record:
    found = CATALOG.definition(f"{NS}.{name}")
    assert isinstance(found, types.Record)
    return found


def children(definition: types.Definition) -> Iterator[types.Definition]:
    """Every definition inside a definition, itself included."""
    yield definition
    inner: list[types.Definition] = []
    match definition:
        case types.Object() | types.Params():
            inner = list(definition.properties.values())
        case types.Array():
            inner = [definition.items]
        case types.Record():
            inner = [definition.record]
        case types.Query(parameters=parameters, output=output):
            inner = [parameters, *([output.schema] if output and output.schema else [])]
    for child in inner:
        yield from children(child)


def test_one_file_for_each_record_storage_query_and_for_the_views() -> None:
    expected = {*RECORDS, *QUERIES, "storageExternal", "storageBlobs", "schemaType", "defs"}
    expected.add("subscribeChanges")
    successor = {f"{SUCCESSOR}.{name}" for name in SUCCESSOR_NAMES}
    assert set(CATALOG.lexicons) == {f"{NS}.{name}" for name in expected} | successor
    for name in expected:
        path = resources.files("atdata") / "lexicons/ac/foundation/dataset" / f"{name}.json"
        assert json.loads(path.read_text(encoding="utf-8"))["id"] == f"{NS}.{name}"


def test_every_reference_leads_somewhere() -> None:
    refs = [
        ref
        for definition in CATALOG.definitions.values()
        for child in children(definition)
        for ref in getattr(child, "refs", [getattr(child, "ref", None)])
        if ref is not None
    ]
    assert len(refs) > 20
    assert [ref for ref in refs if not ref.startswith((NS, SUCCESSOR))] == []
    for ref in refs:
        CATALOG.definition(ref)


def test_everything_with_a_name_is_described() -> None:
    bare = [
        f"{name}/{member}"
        for name, definition in CATALOG.definitions.items()
        for child in children(definition)
        if isinstance(child, types.Object | types.Params)
        for member, property_ in child.properties.items()
        if not property_.description
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("name", "key", "required"),
    [
        ("sampleSchema", "any", "name version schemaType schema createdAt"),
        ("record", "tid", "name schemaRef storage createdAt"),
        ("lens", "tid", "name sourceSchema targetSchema getterCode putterCode createdAt"),
        ("label", "tid", "name datasetUri createdAt"),
    ],
)
def test_keys_and_required_members(name: str, key: str, required: str) -> None:
    assert record(name).key == key
    assert record(name).record.required == tuple(required.split())


@pytest.mark.parametrize(
    ("ref", "member", "limit"),
    [
        ("sampleSchema", "name", 100),
        ("sampleSchema", "description", 5000),
        ("record", "name", 200),
        ("record", "schemaRef", 500),
        ("record", "description", 5000),
        ("record", "metadata", 100_000),
        ("record", "tags", 30),
        ("record", "license", 200),
        ("lens", "name", 100),
        ("lens", "sourceSchema", 500),
        ("lens", "targetSchema", 500),
        ("lens", "description", 1000),
        ("lens", "language", 50),
        ("lens#codeReference", "repository", 500),
        ("lens#codeReference", "commit", 40),
        ("lens#codeReference", "path", 500),
        ("lens#codeReference", "branch", 100),
    ],
)
def test_limits(ref: str, member: str, limit: int) -> None:
    found = CATALOG.definition(f"{NS}.{ref}")
    holder = found.record if isinstance(found, types.Record) else found
    assert isinstance(holder, types.Object)
    assert holder.properties[member].max_length == limit  # type: ignore[attr-defined]


def texts(name: str) -> Iterator[tuple[str, types.String | types.Bytes]]:
    for member, definition in record(name).record.properties.items():
        if isinstance(definition, types.String | types.Bytes) and definition.max_length:
            yield member, definition


def filled(definition: types.String | types.Bytes, member: str, length: int) -> Any:
    """A value of exactly that length and of the declared format."""
    if isinstance(definition, types.Bytes):
        return bytes(length)
    prefix = {"at-uri": AT_URI, None: ""}[definition.format]
    prefix = "1.0.0-" if member == "version" else prefix
    return prefix.ljust(length, "x")


@pytest.mark.parametrize(
    ("name", "member"), [(name, member) for name in RECORDS for member, _ in texts(name)]
)
def test_lexicon_and_model_draw_the_line_at_the_same_length(name: str, member: str) -> None:
    definition = dict(texts(name))[member]
    limit = definition.max_length or 0
    collection, body = f"{NS}.{name}", to_body(RECORDS[name])
    body[member] = filled(definition, member, limit)
    CATALOG.validate_record(collection, TID, body)
    parse(collection, body)
    body[member] = filled(definition, member, limit + 1)
    with pytest.raises(InvalidRecord) as of_lexicon:
        CATALOG.validate_record(collection, TID, body)
    with pytest.raises(InvalidRecord) as of_model:
        parse(collection, body)
    assert of_lexicon.value.path == of_model.value.path == f"/{member}"


@pytest.mark.parametrize("member", ["repository", "commit", "path", "branch"])
def test_lexicon_and_model_draw_the_line_at_the_same_length_of_code_references(member: str) -> None:
    definition = CATALOG.definition(f"{NS}.lens#codeReference")
    assert isinstance(definition, types.Object)
    limit = definition.properties[member].max_length  # type: ignore[attr-defined]
    body = to_body(RECORDS["lens"])
    body["putterCode"][member] = "x" * limit
    parse(f"{NS}.lens", body)
    body["putterCode"][member] += "x"
    with pytest.raises(InvalidRecord):
        parse(f"{NS}.lens", body)


@pytest.mark.parametrize(
    ("name", "member"),
    [(name, m) for name in RECORDS for m in record(name).record.required],
)
def test_lexicon_and_model_require_the_same_members(name: str, member: str) -> None:
    """But for what old writers left out: one form of a schema is enough, code may be absent."""
    collection, body = collection_of(RECORDS[name]), to_body(RECORDS[name])
    CATALOG.validate_record(collection, TID, body)
    del body[member]
    with pytest.raises(InvalidRecord):
        CATALOG.validate_record(collection, TID, body)
    if member in {"schemaType", "schema", "getterCode", "putterCode"}:
        parse(collection, body)
    else:
        with pytest.raises(InvalidRecord):
            parse(collection, body)


@pytest.mark.parametrize("name", QUERIES)
def test_parameters(name: str) -> None:
    parameters = CATALOG.query(f"{NS}.{name}").parameters
    members, required = QUERIES[name]
    assert list(parameters.properties) == members.split()
    assert list(parameters.required) == required.split()


def test_paging_is_the_same_everywhere() -> None:
    paged = [name for name, (members, _) in QUERIES.items() if "cursor" in members]
    assert len(paged) == 6
    for name in paged:
        query = CATALOG.query(f"{NS}.{name}")
        limit, cursor = query.parameters.properties["limit"], query.parameters.properties["cursor"]
        assert isinstance(limit, types.Integer)
        assert (limit.minimum, limit.maximum, limit.default) == (1, 100, 25)
        assert isinstance(cursor, types.String)
        assert cursor.max_length == 1000
        assert query.output is not None
        assert isinstance(query.output.schema, types.Object)
        assert "cursor" in query.output.schema.properties
        assert "cursor" not in query.output.schema.required


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("searchDatasets", {"q": "x" * 501}),
        ("searchDatasets", {"limit": 0}),
        ("searchDatasets", {"limit": 101}),
        ("searchDatasets", {"author": "no one"}),
        ("searchDatasets", {"storage": "tape"}),
        ("searchDatasets", {"schema": "https://example.com"}),
        ("searchDatasets", {"tags": ["t"] * 31}),
        ("getDataset", {}),
        ("getLatestSchema", {"schemaId": ""}),
    ],
)
def test_parameters_that_are_refused(name: str, params: dict[str, object]) -> None:
    with pytest.raises(InvalidRecord):
        CATALOG.validate_params(f"{NS}.{name}", params)


def test_errors_have_names() -> None:
    named = {name: {e.name for e in CATALOG.query(f"{NS}.{name}").errors} for name in QUERIES}
    assert named.pop("getIndexStatus") == set()
    assert all("InvalidRequest" in names for names in named.values())
    special = {name: names - {"InvalidRequest"} for name, names in named.items()}
    assert {name: names for name, names in special.items() if names} == {
        "getDataset": {"RecordNotFound"},
        "getSchema": {"RecordNotFound"},
        "getLatestSchema": {"SchemaNotFound"},
        "findLensPath": {"RecordNotFound"},
        "getLens": {"RecordNotFound"},
        "getProfile": {"ProfileNotFound"},
        "getSimilarDatasets": {"RecordNotFound"},
        "listSchemaVersions": {"SchemaNotFound"},
        "resolveLabel": {"LabelNotFound"},
        "searchSchemas": {"SchemaNotFound"},
    }
