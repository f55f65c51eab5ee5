"""A dataset as Croissant 1.1 JSON-LD, what dataset search engines and ML tools read. Pure.

Rule: nothing is claimed that the record does not say, or that a reader of the format could not
have. A blob's SHA-256 is in its CID; a shard at a URL without such a checksum makes the dataset a
live one, which the format has for just that. A sample is one msgpack file, and the format cannot
say how that is taken apart: records have its bytes, and the dataset says what is measured in them.
Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from atdata.protocol import cbor, records
from atdata.protocol.errors import InvalidSyntax, ProtocolError
from atdata.protocol.models import (
    BlobStorage,
    Checksum,
    DatasetRecord,
    ExternalShard,
    ExternalStorage,
    Storage,
)
from atdata.protocol.shard_patterns import expand
from atdata.protocol.views import DatasetDetail, FieldView, SchemaView
from search_api.web.text import account, harmless, https_url, page_url, type_text

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
# A pattern's `*` may go over slashes, as in fnmatch, or not: the two find each file once both ways.
SAMPLES = ("*.msgpack", "**/*.msgpack")
_KEY = r"(.*)\.msgpack"
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
    if files:
        found["recordSet"] = [_record_set()]
    if detail.schema is not None:
        found["variableMeasured"] = _measured(detail.schema)
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
            urls = chain.from_iterable(map(_urls, shards))
            for number, (url, sha256) in enumerate(islice(urls, MAX_FILES)):
                if https_url(url) is not None:
                    yield _file(number, url, None, sha256)
        case _:
            return


def _urls(shard: ExternalShard) -> list[tuple[str, str | None]]:
    """The address, or those that its pattern stands for, with the SHA-256. One beside a pattern
    cannot be that of each shard; a pattern without measure stands for nothing."""
    try:
        urls = expand(shard.url)
    except InvalidSyntax:
        return []
    sha256 = _sha256(shard.checksum) if urls == [shard.url] else None
    return [(url, sha256) for url in urls]


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
            "includes": list(SAMPLES),
        }
    ]


def _record_set() -> dict[str, Any]:
    """One record for each sample: its key in the shard, and its bytes, for which the format has no
    type of their own."""
    return {
        "@type": "cr:RecordSet",
        "@id": "sample",
        "name": "sample",
        "description": "The samples, each a msgpack map of the fields that variableMeasured names.",
        "field": [
            _field("key", "The key of the sample in its shard.", "fullpath", _KEY),
            _field("content", "The sample in msgpack.", "content"),
        ],
    }


def _field(name: str, text: str, of_file: str, regex: str | None = None) -> dict[str, Any]:
    source: dict[str, Any] = {
        "fileSet": {"@id": "samples"},
        "extract": {"fileProperty": of_file},
    }
    if regex is not None:
        source["transform"] = {"regex": regex}
    return {
        "@type": "cr:Field",
        "@id": f"sample/{name}",
        "name": name,
        "description": text,
        "dataType": "sc:Text",
        "source": source,
    }


def _measured(schema: SchemaView) -> list[dict[str, Any]]:
    """The schema's fields in the words of schema.org: name, type and what is said of it."""
    return [
        {
            "@type": "sc:PropertyValue",
            "name": harmless(field.name),
            "description": harmless(_type_of(field)),
        }
        for field in schema.fields
    ]


def _type_of(field: FieldView) -> str:
    """``float32 [any, 3], optional: What it is.``"""
    found = type_text(field) + (", optional" if field.optional else "")
    return f"{found}: {field.description}" if field.description else found
