"""Dataset records (``record``, ``entry``) and the labels that name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atdata.protocol.body import Body
from atdata.protocol.models import DatasetRecord, DatasetSize, LabelRecord
from atdata.protocol.namespaces import DATASET_COLLECTION, LABEL_COLLECTION
from atdata.protocol.storage_body import read_storage, write_storage

MAX_NAME = 200
MAX_DESCRIPTION = 5_000
MAX_LICENSE = 200
MAX_METADATA = 100_000
MAX_LABEL_VERSION = 100


def read_dataset(body: Body) -> DatasetRecord:
    """A dataset of either namespace."""
    metadata, plain = _read_metadata(body)
    return DatasetRecord(
        name=body.text("name", MAX_NAME),
        schema_ref=body.at_uri("schemaRef"),
        storage=read_storage(body.child("storage")),
        created_at=body.datetime_text("createdAt"),
        description=body.maybe_text("description", MAX_DESCRIPTION),
        tags=body.tags(),
        license=body.maybe_text("license", MAX_LICENSE),
        size=_read_size(body.maybe_child("size")),
        metadata=metadata,
        content_metadata=body.plain("contentMetadata") if body.has("contentMetadata") else plain,
        metadata_schema_ref=body.maybe_at_uri("metadataSchemaRef"),
    )


def write_dataset(record: DatasetRecord) -> dict[str, Any]:
    """A ``record``; the successor's members only where the model has them."""
    size = {
        "samples": record.size.samples,
        "bytes": record.size.bytes,
        "shards": record.size.shards,
    }
    body = {
        "$type": DATASET_COLLECTION,
        "name": record.name,
        "schemaRef": record.schema_ref,
        "storage": write_storage(record.storage),
        "description": record.description,
        "metadata": record.metadata,
        "tags": list(record.tags) or None,
        "size": {name: value for name, value in size.items() if value is not None} or None,
        "license": record.license,
        "createdAt": record.created_at,
        "contentMetadata": _plain(record.content_metadata),
        "metadataSchemaRef": record.metadata_schema_ref,
    }
    return {name: value for name, value in body.items() if value is not None}


def _read_metadata(body: Body) -> tuple[bytes | None, dict[str, Any] | None]:
    """msgpack bytes, or the plain object that later writers put in the same place."""
    written = body.members.get("metadata")
    if written is None:
        return None, None
    if isinstance(written, Mapping) and "$bytes" not in written:
        return None, body.plain("metadata")
    return body.octets("metadata", MAX_METADATA), None


def _read_size(size: Body | None) -> DatasetSize:
    if size is None:
        return DatasetSize()
    return DatasetSize(
        samples=size.maybe_count("samples"),
        bytes=size.maybe_count("bytes"),
        shards=size.maybe_count("shards"),
    )


def _plain(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)


def read_label(body: Body) -> LabelRecord:
    """A label of either namespace."""
    return LabelRecord(
        name=body.text("name", MAX_NAME),
        dataset_uri=body.at_uri("datasetUri"),
        created_at=body.datetime_text("createdAt"),
        version=body.maybe_text("version", MAX_LABEL_VERSION),
        description=body.maybe_text("description", MAX_DESCRIPTION),
    )


def write_label(record: LabelRecord) -> dict[str, Any]:
    """A ``label``."""
    body = {
        "$type": LABEL_COLLECTION,
        "name": record.name,
        "datasetUri": record.dataset_uri,
        "version": record.version,
        "description": record.description,
        "createdAt": record.created_at,
    }
    return {name: value for name, value in body.items() if value is not None}
