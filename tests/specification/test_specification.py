"""Every code block of the specification, run against a real PDS; only hosts and logins differ.

Each test holds what its block leaves behind against what the text says about it. The blocks share
one namespace and run in the order of the text (``walk.py``).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from importlib.metadata import metadata
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata.atmosphere import (
    AtmosphereClient,
    AtmosphereIndex,
    AtUri,
    DatasetLoader,
    DatasetPublisher,
    PDSBlobStore,
    SchemaLoader,
)
from atdata.index import AbstractIndex, IndexEntry
from atdata.protocol.records import (
    ArrayType,
    Field,
    NdarrayType,
    PrimitiveType,
    SchemaRecord,
    to_body,
)
from atdata.schema import schema_of, type_of
from tests.specification.blocks import COPY, ORIGINAL, table
from tests.specification.walk import BLOCKS, CREATED, MySample, Walk, made

T = TypeVar("T", bound=Callable[..., None])

SHOWN: set[int] = set()
"""The blocks that a test of this file shows."""


def block(number: int) -> Callable[[T], T]:
    """The test shows this block; on the devnet, unless it needs none."""

    def mark(test: T) -> T:
        SHOWN.add(number)
        marked: T = pytest.mark.block(number)(test)
        return pytest.mark.devnet(marked) if "walk" in test.__annotations__ else marked

    return mark


def same(read: list[Any], written: list[Any]) -> bool:
    """Whether two lists of samples hold the same values, whatever their types are called."""
    return [sample.packed for sample in read] == [sample.packed for sample in written]


# --- the text itself ------------------------------------------------------------------------------


def test_the_copy_is_the_specification_word_for_word() -> None:
    if not ORIGINAL.exists():
        pytest.skip("left out: comparing with the specification, which is not beside this checkout")
    assert COPY.read_bytes() == ORIGINAL.read_bytes()


def test_every_block_is_shown_and_nothing_else_is_code() -> None:
    assert len(BLOCKS) == 23
    assert set(BLOCKS) == SHOWN
    code = {line for each in BLOCKS.values() for line in each.text.splitlines()}
    left = [line for line in COPY.read_text(encoding="utf-8").splitlines() if line not in code]
    assert not [
        line for line in left if re.search(r"\w\(.*\)$|^import |^from | = |^\s*[@#)]", line)
    ]
    for each in list(BLOCKS.values())[1:]:
        ast.parse(each.text)


@block(1)
def test_installation() -> None:
    extra, _, alone = BLOCKS[1].text.splitlines()
    assert (extra, alone) == ("pip install atdata[atmosphere]", "pip install atproto")
    distribution = metadata("atdata")
    assert "atmosphere" in (distribution.get_all("Provides-Extra") or [])
    required = distribution.get_all("Requires-Dist") or []
    assert [name for name in required if 'extra == "atmosphere"' in name and "atproto" in name]


# --- client ---------------------------------------------------------------------------------------


@block(2)
def test_a_client_logs_in_with_an_app_password(walk: Walk) -> None:
    trace = walk.trace(2)
    assert trace.printed.split() == [walk.author.did, walk.author.handle]
    assert trace.last("client").is_authenticated


@block(3)
def test_a_session_is_saved_and_restored(walk: Walk) -> None:
    restored = walk.trace(3).last("new_client")
    assert (restored.did, restored.pds) == (walk.author.did, walk.author.pds_url)
    written = restored.create_record("test.specification.thing", {"n": 1})
    assert restored.get_record(written.uri).value["n"] == 1


@block(4)
def test_another_host(walk: Walk) -> None:
    client = walk.trace(4).last("client")
    assert client.pds == walk.author.pds_url
    assert not client.is_authenticated
    client.login(walk.author.handle, walk.app_password)
    assert client.did == walk.author.did


# --- blobs ----------------------------------------------------------------------------------------


@block(5)
def test_shards_become_blobs_and_are_streamed(walk: Walk) -> None:
    trace = walk.trace(5)
    urls = trace.last("urls")
    assert len(urls) == 2
    for url in urls:
        assert re.fullmatch(rf"at://{walk.author.did}/blob/bafkrei[a-z2-7]{{52}}", url)
    cid = urls[0].rpartition("/")[2]
    host = f"{walk.author.pds_url}/xrpc/com.atproto.sync.getBlob"
    assert trace.last("http_url") == f"{host}?did={walk.author.did}&cid={cid}"
    assert trace.last("source").list_shards() == urls
    assert same(list(trace.last("ds")), made(32))


@block(6)
def test_shards_keep_to_the_sizes_asked_for(walk: Walk) -> None:
    urls = walk.trace(6).last("urls")
    store: PDSBlobStore = walk.names["store"]
    uploaded = store.uploaded(urls)
    assert [each.samples for each in uploaded] == [5_000, 5_000, 1]
    assert all((each.blob.size or 0) <= 50e6 for each in uploaded)
    assert same(list(atdata.Dataset[MySample](store.create_source(urls))), made(10_001))


@block(7)
def test_blob_sources_from_references_and_from_a_store(walk: Walk) -> None:
    trace = walk.trace(7)
    from_refs, from_store = trace.bound["source"]
    assert from_refs.list_shards() == walk.trace(5).last("urls")
    assert same(list(atdata.Dataset[MySample](from_refs)), made(32))
    assert from_store.list_shards() == walk.trace(6).last("urls")
    assert sum(map(len, walk.batches[:313])) == 10_001
    assert walk.batches[0].image.shape == (32, 2, 3)
    assert same(list(trace.last("ds")), made(10_001))


# --- the unified interface ------------------------------------------------------------------------


@block(8)
def test_an_index_without_and_with_blob_storage(walk: Walk) -> None:
    without, with_store = walk.trace(8).bound["index"]
    for index in (without, with_store):
        assert isinstance(index, AbstractIndex)
    assert without.data_store is None
    assert isinstance(with_store.data_store, PDSBlobStore)


@block(9)
def test_a_schema_is_published(walk: Walk) -> None:
    trace = walk.trace(9)
    uri, sample_type = trace.last("schema_uri"), trace.last("ImageSample")
    assert uri.startswith(f"at://{walk.author.did}/ac.foundation.dataset.sampleSchema/")
    record = SchemaLoader(walk.other).record(uri)
    assert (record.name, record.version) == ("ImageSample", "1.0.0")
    assert record.description == "Image classification sample"
    assert record.fields == schema_of(sample_type).fields
    assert schema_of(type_of(record)).fields == record.fields


@block(10)
def test_a_dataset_of_ten_shards_is_published(walk: Walk) -> None:
    trace = walk.trace(10)
    entry = trace.last("entry")
    assert isinstance(entry, IndexEntry)
    assert trace.printed == f"{entry.uri}\n{entry.data_urls}\n"
    seen = AtmosphereIndex(walk.other).get_dataset(entry.uri)
    assert seen == entry
    assert (seen.name, seen.description) == ("imagenet-subset", "ImageNet subset")
    assert (seen.tags, seen.license) == (("images", "classification"), "MIT")
    assert seen.schema_ref == walk.trace(9).last("schema_uri")
    assert (len(seen.data_urls), seen.size.shards, seen.size.samples) == (10, 10, 50)
    # All ten shards are kept by the PDS, and anybody can read them.
    assert same(list(atdata.load_dataset(entry.uri)), made(50))


@block(11)
def test_datasets_and_schemas_are_listed_and_decoded(walk: Walk) -> None:
    trace = walk.trace(11)
    published = walk.trace(10).last("entry")
    assert f"imagenet-subset: {published.schema_ref}\n" in trace.printed
    assert "\ntheirs\n" in trace.printed
    assert "ImageSample v1.0.0\n" in trace.printed
    assert trace.last("entry") == published
    decoded = trace.last("SampleType")
    assert decoded.__name__ == "ImageSample"
    assert list(decoded.__annotations__) == ["image", "label", "confidence"]


# --- publishers -----------------------------------------------------------------------------------


@block(12)
def test_the_schema_publisher(walk: Walk) -> None:
    uri = walk.trace(12).last("uri")
    record = SchemaLoader(walk.other).record(uri)
    assert (record.name, record.description) == ("ImageSample", "Image with label")
    assert record.metadata == {"source": "training"}


@block(13)
def test_the_dataset_publisher(walk: Walk) -> None:
    record = DatasetLoader(walk.other).get(walk.trace(13).last("uri"))
    assert record["name"] == "training-images"
    assert record["schemaRef"] == walk.trace(9).last("schema_uri")
    assert (record["tags"], record["license"]) == (["training", "images"], "MIT")
    assert record["storage"]["urls"] == ["data-{000000..000009}.tar"]


@block(14)
def test_approach_1_a_store_with_an_index(walk: Walk) -> None:
    trace = walk.trace(14)
    assert trace.last("entry").name == "my-dataset"
    assert trace.last("ds").list_shards() == trace.last("entry").data_urls
    assert same(list(trace.last("ds")), made(50))


@block(15)
def test_approach_2_blobs_by_hand(walk: Walk) -> None:
    uri = walk.trace(15).last("uri")
    record = DatasetLoader(walk.other).get(uri)
    tar = walk.trace(15).last("tar_buffer").getvalue()
    assert record["storage"]["blobs"][0]["size"] == len(tar)
    assert record["size"] == {"samples": 70, "bytes": len(tar), "shards": 1}
    assert (record["name"], record["tags"]) == ("small-dataset", ["small", "demo"])


@block(16)
def test_blob_stored_datasets_are_loaded(walk: Walk) -> None:
    trace = walk.trace(16)
    assert trace.last("storage_type") == "blobs"
    assert [url.split("?")[0] for url in trace.last("blob_urls")] == [
        f"{walk.author.pds_url}/xrpc/com.atproto.sync.getBlob"
    ]
    assert len(trace.last("batch")) == 6
    assert [len(batch) for batch in trace.last("dataset").ordered(batch_size=32)] == [32, 32, 6]
    assert same(list(trace.last("dataset")), made(70))


@block(17)
def test_the_lens_publisher(walk: Walk) -> None:
    written, from_object = walk.trace(17).bound["uri"]
    by_hand = walk.other.get_record(written).body()
    assert (by_hand["name"], by_hand["description"]) == ("simplify", "Extract label only")
    assert by_hand["getterCode"] == {
        "repository": "https://github.com/org/repo",
        "commit": "abc123def...",
        "path": "transforms/simplify.py:simplify_getter",
    }
    assert by_hand["putterCode"]["path"] == "transforms/simplify.py:simplify_putter"
    made_from = walk.other.get_record(from_object).body()
    assert made_from["name"] == "simplify"
    for body in (by_hand, made_from):
        assert body["sourceSchema"] == walk.names["full_schema_uri"]
        assert body["targetSchema"] == walk.names["simple_schema_uri"]
    full = walk.names["FullSample"](np.zeros(1), "kept")
    assert walk.trace(17).last("simplify")(full).label == "kept"


# --- loaders --------------------------------------------------------------------------------------


@block(18)
def test_the_schema_loader(walk: Walk) -> None:
    trace = walk.trace(18)
    assert trace.printed.splitlines()[0] == "FullSample 1.0.0"
    assert sorted(trace.printed.splitlines()[1:]) == ["FullSample", "SimpleSample"]


@block(19)
def test_the_dataset_loader(walk: Walk) -> None:
    trace = walk.trace(19)
    assert trace.last("record")["name"] == "theirs"
    assert (trace.last("storage_type"), len(trace.last("urls"))) == ("blobs", 1)
    assert same(list(trace.last("dataset")), made(70))


@pytest.mark.devnet
def test_the_dataset_loader_of_shards_elsewhere(walk: Walk) -> None:
    """The other branch of block 19, and the metadata of a record that has some."""
    walk.trace(19)
    uri = DatasetPublisher(walk.names["client"]).publish_with_urls(
        ["https://data.example.org/{0..2}.tar"],
        walk.other_schema,
        name="elsewhere",
        metadata={"epochs": 3},
    )
    loader = DatasetLoader(walk.other)
    assert loader.get_storage_type(uri) == "external"
    assert loader.get_urls(uri) == ["https://data.example.org/{0..2}.tar"]
    assert loader.get_metadata(uri) == {"epochs": 3}
    assert len(loader.to_dataset(uri, MySample).list_shards()) == 3


@block(20)
def test_the_lens_loader(walk: Walk) -> None:
    trace = walk.trace(20)
    simple = trace.printed.splitlines()[1].rpartition("> ")[2]
    lines = ["theirs", f"{walk.other_schema} -> {simple}", "simplify", "simplify"]
    assert trace.printed.splitlines() == lines
    assert {lens.uri for lens in trace.last("lenses")} == set(walk.trace(17).bound["uri"])


@block(21)
def test_at_uris(walk: Walk) -> None:
    trace = walk.trace(21)
    assert isinstance(trace.last("uri"), AtUri)
    assert trace.printed.splitlines() == [
        "did:plc:abc123",
        "ac.foundation.dataset.sampleSchema",
        "xyz",
        "at://did:plc:abc123/ac.foundation.dataset.sampleSchema/xyz",
    ]


# --- the table of field types ---------------------------------------------------------------------

FIELDS: dict[str, tuple[Any, Field]] = {
    "str": (str, Field("x", PrimitiveType("str"))),
    "int": (int, Field("x", PrimitiveType("int"))),
    "float": (float, Field("x", PrimitiveType("float"))),
    "bool": (bool, Field("x", PrimitiveType("bool"))),
    "bytes": (bytes, Field("x", PrimitiveType("bytes"))),
    "NDArray": (NDArray, Field("x", NdarrayType("float32"))),
    "NDArray[np.float64]": (NDArray[np.float64], Field("x", NdarrayType("float64"))),
    "list[str]": (list[str], Field("x", ArrayType(PrimitiveType("str")))),
    "T | None": (str | None, Field("x", PrimitiveType("str"), optional=True)),
}


@pytest.mark.parametrize(("python", "described"), table(COPY.read_text(encoding="utf-8")))
def test_a_row_of_the_table_of_field_types(python: str, described: str) -> None:
    hint, field = FIELDS[python]
    sample_type = atdata.packable(type("Row", (), {"__annotations__": {"x": hint}}))
    schema = schema_of(sample_type, created_at=CREATED)
    assert schema == SchemaRecord("Row", "1.0.0", (field,), CREATED)
    (written,) = to_body(schema)["fields"]
    kind = written["fieldType"]
    shown = f"{kind['$type'].rpartition('#')[2]}/{kind.get('primitive', '')}".rstrip("/")
    if "dtype" in kind:
        shown += f" (dtype: {kind['dtype']})"
    if "items" in kind:
        shown += " with items"
    said = "Optional field" if written["optional"] else shown
    assert said == described.replace("default ", "")
    assert schema_of(type_of(schema), created_at=CREATED) == schema


# --- the complete example -------------------------------------------------------------------------


@block(22)
def test_the_complete_example(walk: Walk) -> None:
    trace = walk.trace(22)
    entry, samples = trace.last("entry"), trace.last("samples")
    assert trace.printed.splitlines() == [
        f"Published: {entry.uri}",
        f"Blob URLs: {entry.data_urls}",
        "Found: synthetic-features-v1",
        "(32, 128)",
    ]
    assert trace.last("SampleType").__name__ == "FeatureSample"
    assert same(list(trace.last("ds")), samples)
    assert same(list(atdata.load_dataset(entry.uri)), samples)


@block(23)
def test_the_complete_example_with_shards_elsewhere(walk: Walk) -> None:
    trace = walk.trace(23)
    entry = trace.last("entry")
    assert entry.data_urls == ["features.tar"]
    assert entry.storage_kind == "external"
    assert same(list(trace.last("ds")), walk.trace(22).last("samples"))


def test_a_client_without_a_host_asks_the_one_of_the_text() -> None:
    assert AtmosphereClient().pds == "https://bsky.social"
