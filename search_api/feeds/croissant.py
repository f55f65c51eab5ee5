"""A dataset as Croissant 1.1 JSON-LD, what dataset search engines and ML tools read. Pure.

Rule: nothing is claimed that the record does not say. A blob's SHA-256 is in its CID; a shard at a
URL without such a checksum makes the dataset a live one, which the format has for just that.
Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from atdata.protocol import cbor, records
from atdata.protocol.errors import ProtocolError
from atdata.protocol.models import BlobStorage, Checksum, DatasetRecord, ExternalStorage, Storage
from atdata.protocol.views import DatasetDetail, FieldView, SchemaView
from search_api.web.text import account, harmless, https_url, page_url

MEDIA_TYPE = "application/ld+json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
TAR = "application/x-tar"
MAX_FILES = 1_000  # shards that are listed; `url` leads to a page with the whole record

CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_TYPES = {"str": "sc:Text", "int": "sc:Integer", "float": "sc:Float", "bool": "sc:Boolean"}
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def document(detail: DatasetDetail, origin: str) -> dict[str, Any]:
    """The dataset's description, as JSON values."""
    view = detail.dataset
    record = _record(detail)
    files = [] if record is None else list(_files(record.storage, view.did, detail.pds))
    found: dict[str, Any] = {
        "@context": dict(CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": harmless(view.name),
        "description": harmless(view.description or view.name),
        "url": origin + page_url("/dataset", uri=view.uri),
        "identifier": view.uri,
        "creator": {
            "@type": "sc:Person",
            "name": account(view.handle, view.did),
            "url": origin + page_url("/", author=view.did),
        },
        "dateModified": view.indexed_at,
        "datePublished": view.created_at,
        "keywords": [harmless(tag) for tag in view.tags],
        "distribution": [*files, *_shards(files)],
    }
    if (license_text := view.license_spdx or view.license) is not None:
        found["license"] = harmless(license_text)
    if any("sha256" not in file for file in files):
        found["isLiveDataset"] = True
    if detail.schema is not None and files:
        found["recordSet"] = [_record_set(detail.schema)]
    return found


def _record(detail: DatasetDetail) -> DatasetRecord | None:
    """The record's body; None if it holds what this version cannot read."""
    collection = detail.dataset.uri.split("/")[3]
    try:
        record = records.parse(collection, cbor.record_from_json(detail.record))
    except ProtocolError:
        return None
    return record if isinstance(record, DatasetRecord) else None


def _files(storage: Storage, did: str, pds: str | None) -> Iterator[dict[str, Any]]:
    """A FileObject for each shard that anyone can fetch: blobs at the author's host, https URLs."""
    match storage:
        case BlobStorage(shards) if pds is not None:
            for number, blob in enumerate(shards[:MAX_FILES]):
                path = f"{pds.rstrip('/')}/xrpc/com.atproto.sync.getBlob"
                url = page_url(path, did=did, cid=str(blob.cid))
                yield _file(number, url, blob.size, blob.cid.digest.hex())
        case ExternalStorage(shards):
            for number, shard in enumerate(shards[:MAX_FILES]):
                if https_url(shard.url) is not None:
                    yield _file(number, shard.url, None, _sha256(shard.checksum))
        case _:
            return


def _file(number: int, url: str, size: int | None, sha256: str | None) -> dict[str, Any]:
    found = {
        "@type": "cr:FileObject",
        "@id": f"shard-{number}",
        "name": f"shard-{number}",
        "contentUrl": url,
        "encodingFormat": TAR,
    }
    if size is not None:
        found["contentSize"] = f"{size} B"
    if sha256 is not None:
        found["sha256"] = sha256
    return found


def _sha256(checksum: Checksum | None) -> str | None:
    if checksum is None or checksum.algorithm.lower().replace("-", "") != "sha256":
        return None
    return checksum.digest.lower() if _SHA256.fullmatch(checksum.digest) else None


def _shards(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The samples in all shards: one msgpack file each."""
    if not files:
        return []
    return [
        {
            "@type": "cr:FileSet",
            "@id": "samples",
            "name": "samples",
            "containedIn": [{"@id": file["@id"]} for file in files],
            "encodingFormat": "application/vnd.msgpack",
            "includes": "**/*.msgpack",
        }
    ]


def _record_set(schema: SchemaView) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "sample",
        "name": "sample",
        "description": harmless(f"{schema.name} {schema.version}"),
        "field": [_field(number, field) for number, field in enumerate(schema.fields)],
    }


def _field(number: int, field: FieldView) -> dict[str, Any]:
    """Fields are numbered, since a name may be any text. How msgpack is taken apart the format
    cannot say, so the source is the whole sample."""
    found: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"sample/{number}",
        "name": harmless(field.name),
        "description": harmless(field.description or field.name),
        "dataType": _data_type(field),
        "source": {"fileSet": {"@id": "samples"}, "extract": {"fileProperty": "content"}},
    }
    if field.kind in {"ndarray", "array"}:
        shape = field.shape if field.shape is not None and field.kind == "ndarray" else (None,)
        found["isArray"] = True
        found["arrayShape"] = ",".join("-1" if n is None else str(n) for n in shape)
    return found


def _data_type(field: FieldView) -> str:
    if field.kind == "ndarray":
        dtype = field.dtype or ""
        if dtype == "bool":
            return "sc:Boolean"
        return "sc:Integer" if dtype.startswith(("int", "uint")) else "sc:Float"
    if field.kind == "array":
        return _TYPES.get(field.items or "", "sc:Text")
    return _TYPES.get(field.kind, "sc:Text")
