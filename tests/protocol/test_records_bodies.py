"""Every known body, in ``bodies/``, against the model that it stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from atdata.protocol.namespaces import COLLECTIONS
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
    UnknownType,
    parse,
)

BODIES = Path(__file__).parent / "bodies"
STR, INT, FLOAT = PrimitiveType("str"), PrimitiveType("int"), PrimitiveType("float")
BOOL, BYTES = PrimitiveType("bool"), PrimitiveType("bytes")

OLD = "at://did:plc:abc123/ac.foundation.dataset"
NEW = "at://did:plc:abc123/science.alt.dataset"
SHARD_0 = Cid.parse("bafkreibh65j5upi5akafhkdzzeyqxpcbggs3nj3p7m6i5ultjotocoisum")
SHARD_1 = Cid.parse("bafkreidnhmpnpbasdheqgrbwiyfel4wdjq5qud5jdw5neywyxo4re3t3ee")
COMMIT = "a1b2c3d4e5f6789abcdef0123456789abcdef012"

EXPECTED: dict[str, Record] = {
    "dataset_as_entry": DatasetRecord(
        name="mnist",
        schema_ref=f"{OLD}.schema/3kabc",
        storage=ExternalStorage((ExternalShard("https://example.com/0.tar"),)),
        created_at="2025-11-07T10:30:00Z",
    ),
    "schema_fields": SchemaRecord(
        name="ImageSample",
        version="1.0.0",
        fields=(
            Field("image", NdarrayType("float32", (None, None, 3))),
            Field("caption", STR, optional=True, description="In English"),
            Field("boxes", ArrayType(ArrayType(INT))),
            Field("source", RefType(f"{OLD}.sampleSchema/3kabc")),
        ),
        created_at="2025-01-06T12:00:00Z",
        description="Images with captions",
        license="MIT",
        tags=("vision",),
        metadata={"notes": "first cut"},
    ),
    # The order of a JSON Schema's fields is that of DAG-CBOR: by length, then by byte.
    "schema_flat": SchemaRecord(
        name="Everything",
        version="2.10.0-rc.1+build.5",
        fields=(
            Field("raw", BYTES),
            Field("zip", BYTES, optional=True),
            Field("count", INT),
            Field("image", NdarrayType()),
            Field("label", STR, description="What it shows"),
            Field("score", FLOAT),
            Field("valid", BOOL),
            Field("words", ArrayType(STR)),
        ),
        created_at="2025-02-03T04:05:06.789012+00:00",
    ),
    "schema_flat_hints": SchemaRecord(
        name="Annotated",
        version="1.0.0",
        fields=(
            Field("a", NdarrayType("uint8", (None, None, 3)), description="RGB"),
            Field("b", STR, optional=True),
            Field("c", INT, optional=True),
            Field("d", UnknownType("object")),
            Field("e", ArrayType(UnknownType("any"))),
            Field("f", UnknownType("union")),
        ),
        created_at="2025-01-06T12:00:00+00:00",
    ),
    "schema_nested": SchemaRecord(
        name="Nested",
        version="0.1.0",
        fields=(
            Field("x", FLOAT),
            Field("y", NdarrayType("float64", (None, 64)), optional=True),
        ),
        created_at="2026-01-06T12:00:00.000Z",
    ),
    "schema_successor_fields": SchemaRecord(
        name="Sparse",
        version="1.0.0",
        fields=(
            Field("m", UnknownType("sparse")),
            Field("x", NdarrayType()),
            Field("q", UnknownType("com.example.types#quaternion")),
            Field("t", UnknownType("timestamp")),
        ),
        created_at="2026-03-01T00:00:00Z",
    ),
    "schema_both": SchemaRecord(
        name="FeatureSample",
        version="1.0.0",
        fields=(
            Field("features", NdarrayType("float32", chosen=True)),
            Field("label", INT),
            Field("id", BYTES, optional=True),
        ),
        created_at="2026-06-01T10:00:00.000Z",
        description="Feature vectors with labels",
        license="CC-BY-4.0",
        tags=("features", "synthetic"),
    ),
    "dataset_external": DatasetRecord(
        name="cifar10-train",
        schema_ref=f"{OLD}.sampleSchema/com.example.image@1.0.0",
        storage=ExternalStorage(
            (
                ExternalShard("s3://bucket/cifar10-{000000..000049}.tar"),
                ExternalShard("https://example.com/extra.tar"),
            )
        ),
        created_at="2025-01-06T12:00:00Z",
        description="CIFAR-10 as WebDataset",
        tags=("vision", "classification"),
        license="MIT",
        size=DatasetSize(samples=50000, bytes=178456789, shards=51),
        metadata=b"\x81\xa5split\xa5train",
    ),
    "dataset_blobs": DatasetRecord(
        name="small",
        schema_ref=f"{OLD}.sampleSchema/3kabc",
        storage=BlobStorage(
            (
                BlobShard(SHARD_0, 1234567, "application/x-tar"),
                BlobShard(SHARD_1, None, "image/png"),
                BlobShard(SHARD_1, 0, "text/plain"),
            )
        ),
        created_at="2025-01-07T10:30:00.123456+00:00",
    ),
    "dataset_untyped_storage": DatasetRecord(
        name="untyped",
        schema_ref="at://alice.example.com/ac.foundation.dataset.sampleSchema/3kabc",
        storage=ExternalStorage((ExternalShard("https://example.com/a.tar"),)),
        created_at="2025-01-07T10:30:00+02:00",
        content_metadata={"split": "train", "steps": ["normalise"], "seed": 7},
    ),
    "entry_http": DatasetRecord(
        name="mnist",
        schema_ref=f"{NEW}.schema/mnist@1.0.0",
        storage=ExternalStorage(
            (
                ExternalShard("https://example.com/0.tar", Checksum("sha256", "00ff")),
                ExternalShard("https://example.com/1.tar", Checksum("none", "")),
                ExternalShard("https://example.com/2.tar"),
            )
        ),
        created_at="2026-01-07T10:30:00Z",
        content_metadata={"instrument": {"name": "scanner", "dpi": 300}},
        metadata_schema_ref=f"{NEW}.schema/meta@1.0.0",
    ),
    "entry_s3": DatasetRecord(
        name="bucket",
        schema_ref=f"{NEW}.schema/mnist@1.0.0",
        storage=S3Storage(
            bucket="data",
            shards=(S3Shard("v1/0.tar", Checksum("blake3", "aa")),),
            region="eu-central-1",
            endpoint="https://s3.example.com",
        ),
        created_at="2026-01-07T10:30:00Z",
    ),
    "entry_blobs": DatasetRecord(
        name="blobs",
        schema_ref=f"{NEW}.schema/mnist@1.0.0",
        storage=BlobStorage(
            (
                BlobShard(SHARD_0, 10, "application/x-tar", Checksum("sha256", "27f7")),
                BlobShard(SHARD_1, 20, "application/x-tar"),
            )
        ),
        created_at="2026-01-07T10:30:00Z",
    ),
    "lens": LensRecord(
        name="simplify",
        source_schema=f"{OLD}.sampleSchema/full",
        target_schema=f"{OLD}.sampleSchema/simple",
        created_at="2025-01-07T14:00:00Z",
        getter_code=CodeRef(
            "https://example.com/org/repo", COMMIT, "lenses/simplify.py:getter", "main"
        ),
        putter_code=CodeRef("https://example.com/org/repo", COMMIT, "lenses/simplify.py:putter"),
        description="Label only",
        language="python",
        metadata={"reversible": False},
    ),
    "lens_without_code": LensRecord(
        name="bare",
        source_schema=f"{OLD}.sampleSchema/full",
        target_schema=f"{OLD}.sampleSchema/simple",
        created_at="2024-12-07T14:00:00.000001+00:00",
    ),
    "lens_successor": LensRecord(
        name="versions",
        source_schema=f"{NEW}.schema/a@1.0.0",
        target_schema=f"{NEW}.schema/a@2.0.0",
        created_at="2026-01-07T14:00:00Z",
        getter_code=CodeRef("https://example.com/r", "abc", "a.py:get", language="python"),
        putter_code=CodeRef("https://example.com/r", "abc", "a.ts:put", language="typescript"),
        source_schema_version="1.0.0",
        target_schema_version="2.0.0",
    ),
    "label": LabelRecord(
        name="mnist",
        dataset_uri=f"{OLD}.record/3kabc",
        created_at="2025-11-01T00:00:00Z",
    ),
    "label_successor": LabelRecord(
        name="mnist",
        dataset_uri=f"{NEW}.entry/3kabc",
        created_at="2026-01-01T00:00:00Z",
        version="1.2.0",
        description="With the corrected labels",
    ),
    "verification": LensVerificationRecord(
        lens=f"{NEW}.lens/3kabc",
        lens_commit="bafyreiebfojbltjpbz7kihzsvbawqa66fph25ulmioxficx4mwrbri62by",
        verification_method="automatedTest",
        created_at="2026-02-01T00:00:00Z",
        code_hash=Checksum("sha256", "00ff"),
        proof_ref=CodeRef("https://example.com/r", "abc", "tests/test_lens.py"),
    ),
    "verification_text": LensVerificationRecord(
        lens=f"{NEW}.lens/3kabc",
        lens_commit="a1b2c3",
        verification_method="signedHash",
        code_hash="sha256:00ff",
        proof_ref="https://example.com/proof",
    ),
}


def load(name: str) -> dict[str, Any]:
    case: dict[str, Any] = json.loads((BODIES / f"{name}.json").read_text(encoding="utf-8"))
    return case


def test_every_body_has_its_model_and_every_collection_a_body() -> None:
    assert {path.stem for path in BODIES.glob("*.json")} == set(EXPECTED)
    assert {load(name)["collection"] for name in EXPECTED} == set(COLLECTIONS)


@pytest.mark.parametrize("name", EXPECTED)
def test_body_as_it_comes_over_the_wire(name: str) -> None:
    case = load(name)
    body = cbor.decode(cbor.encode(cbor.from_json(case["body"])))
    assert isinstance(body, dict)
    assert parse(case["collection"], body) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_body_as_a_pds_answers_it_in_json(name: str) -> None:
    """``{"$link": …}`` and ``{"$bytes": …}`` mean the same as links and bytes."""
    case = load(name)
    found, expected = parse(case["collection"], case["body"]), EXPECTED[name]
    if isinstance(found, SchemaRecord) and isinstance(expected, SchemaRecord):
        assert sorted(map(repr, found.fields)) == sorted(map(repr, expected.fields))
    else:
        assert found == expected
