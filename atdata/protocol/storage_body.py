"""Where a dataset's shards are: the ``storage`` union, in the words of both namespaces.

Rule: members are told apart by ``$type``, and without one by what they hold. What
``ac.foundation.dataset`` cannot say (checksums, buckets) is written in the successor's words; the
union is open, so the record stays valid.
"""

from __future__ import annotations

from typing import Any

from atdata.protocol.body import MAX_TYPE, Body, link, text
from atdata.protocol.errors import InvalidRecord, quote
from atdata.protocol.models import (
    BlobShard,
    BlobStorage,
    Checksum,
    ExternalShard,
    ExternalStorage,
    S3Shard,
    S3Storage,
    Storage,
)
from atdata.protocol.namespaces import FOUNDATION, SUCCESSOR

MAX_SHARDS = 50_000  # more do not fit into a record of 1,000,000 bytes
MAX_EXTERNAL_URL = 1_000
MAX_HTTP_URL = 2_000
MAX_KEY = 1_024  # what S3 allows
MAX_NAME = 255
MAX_ENDPOINT = 500
MAX_ALGORITHM = 20
MAX_DIGEST = 128

_TELLTALE = {
    "urls": "storageExternal",
    "bucket": "storageS3",
    "blobs": "storageBlobs",
    "shards": "storageHttp",
}


def read_storage(body: Body) -> Storage:
    """Any member of the union; at least one shard."""
    match _type_name(body):
        case "storageExternal":
            urls = body.items("urls", 1, MAX_SHARDS)
            return ExternalStorage(
                tuple(ExternalShard(text(url, path, MAX_EXTERNAL_URL)) for url, path in urls)
            )
        case "storageHttp":
            return ExternalStorage(tuple(_read_http(shard) for shard in _shards(body)))
        case "storageBlobs":
            blobs = body.items("blobs", 1, MAX_SHARDS)
            return BlobStorage(tuple(_read_blob(Body.of(item, path)) for item, path in blobs))
        case "storageS3":
            return S3Storage(
                bucket=body.text("bucket", MAX_NAME),
                shards=tuple(_read_s3(shard) for shard in _shards(body)),
                region=body.maybe_text("region", MAX_NAME),
                endpoint=body.maybe_text("endpoint", MAX_ENDPOINT),
            )
        case other:
            raise InvalidRecord(body.at("$type"), f"{quote(other)} is no known storage")


def _type_name(body: Body) -> str:
    written = body.maybe_text("$type", MAX_TYPE)
    if written is None:
        for member, name in _TELLTALE.items():
            if body.has(member):
                return name
        raise InvalidRecord(body.at("$type"), "is missing")
    namespace, _, name = written.rpartition(".")
    return name if namespace in {FOUNDATION, SUCCESSOR} else written


def _shards(body: Body) -> list[Body]:
    return [Body.of(item, path) for item, path in body.items("shards", 1, MAX_SHARDS)]


def _read_http(shard: Body) -> ExternalShard:
    return ExternalShard(shard.text("url", MAX_HTTP_URL), read_checksum(shard))


def _read_s3(shard: Body) -> S3Shard:
    return S3Shard(shard.text("key", MAX_KEY), read_checksum(shard))


def _read_blob(item: Body) -> BlobShard:
    """A bare reference, typed or of the old kind, or ``{blob, checksum}`` around one."""
    ref = item.child("blob") if item.has("blob") else item
    name = "ref" if ref.has("ref") else "cid"
    size = ref.value("size") if ref.has("size") else None
    if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
        raise InvalidRecord(ref.at("size"), "expected an integer")
    return BlobShard(
        cid=link(ref.value(name), ref.at(name)),
        size=ref.maybe_count("size") if size is not None and size >= 0 else None,
        mime_type=ref.maybe_text("mimeType", MAX_NAME),
        checksum=read_checksum(item) if ref is not item else None,
    )


def read_checksum(body: Body, name: str = "checksum") -> Checksum | None:
    """``{algorithm, digest}``, or None where the member is absent."""
    checksum = body.maybe_child(name)
    if checksum is None:
        return None
    return Checksum(checksum.text("algorithm", MAX_ALGORITHM), checksum.text("digest", MAX_DIGEST))


def write_checksum(checksum: Checksum) -> dict[str, Any]:
    """The object that ``read_checksum`` reads back."""
    return {"algorithm": checksum.algorithm, "digest": checksum.digest}


def write_storage(storage: Storage) -> dict[str, Any]:
    """The union member that every reader of its shape knows."""
    checked = any(shard.checksum is not None for shard in storage.shards)
    match storage:
        case ExternalStorage(shards) if not checked and not _any_long(shards):
            urls = [shard.url for shard in shards]
            return {"$type": f"{FOUNDATION}.storageExternal", "urls": urls}
        case ExternalStorage(shards):
            entries = [_entry({"url": shard.url}, shard.checksum) for shard in shards]
            return {"$type": f"{SUCCESSOR}.storageHttp", "shards": entries}
        case BlobStorage(shards) if not checked:
            refs = [_write_blob(i, shard) for i, shard in enumerate(shards)]
            return {"$type": f"{FOUNDATION}.storageBlobs", "blobs": refs}
        case BlobStorage(shards):
            entries = [
                _entry({"blob": _write_blob(i, shard)}, shard.checksum)
                for i, shard in enumerate(shards)
            ]
            return {"$type": f"{SUCCESSOR}.storageBlobs", "blobs": entries}
        case S3Storage(bucket, shards, region, endpoint):
            entries = [_entry({"key": shard.key}, shard.checksum) for shard in shards]
            place = {"region": region, "endpoint": endpoint}
            given = {name: value for name, value in place.items() if value is not None}
            return {
                "$type": f"{SUCCESSOR}.storageS3",
                "bucket": bucket,
                "shards": entries,
                **given,
            }


def _any_long(shards: tuple[ExternalShard, ...]) -> bool:
    return any(len(shard.url.encode()) > MAX_EXTERNAL_URL for shard in shards)


def _entry(shard: dict[str, Any], checksum: Checksum | None) -> dict[str, Any]:
    return shard if checksum is None else {**shard, "checksum": write_checksum(checksum)}


def _write_blob(index: int, shard: BlobShard) -> dict[str, Any]:
    if shard.size is None or shard.mime_type is None:
        why = "a blob reference is written with its size and MIME type"
        raise InvalidRecord(f"/storage/blobs/{index}", why)
    return {
        "$type": "blob",
        "ref": shard.cid,
        "mimeType": shard.mime_type,
        "size": shard.size,
    }
