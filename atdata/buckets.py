"""Shards in a bucket (storageS3) as addresses: what anyone may read over https, without a login.

Rule: nothing in a record leads out of the bucket that it names. What it says of bucket, region,
endpoint and key is put into the address as text, and refused where it would be read as more.
Source: ``science.alt.dataset.storageS3``; path-style requests of the S3 API.
"""

from __future__ import annotations

import re
from urllib.parse import quote as percent
from urllib.parse import urlsplit

from atdata.protocol.errors import InvalidRecord, quote
from atdata.protocol.records import S3Storage

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


def bucket_urls(storage: S3Storage) -> list[str]:
    """``{endpoint}/{bucket}/{key}`` of every shard, in order; without an endpoint, Amazon's of the
    region. Keys are percent-encoded, so that none is a pattern.

    Raises ``InvalidRecord`` for what is no bucket, region, endpoint (an address with nothing after
    its path) or key. Whether the endpoint may be fetched from is for the guarded client to say.
    """
    if _NAME.fullmatch(storage.bucket) is None:
        raise InvalidRecord("/storage/bucket", f"{quote(storage.bucket)} is no name of a bucket")
    base = f"{_endpoint(storage)}/{storage.bucket}/"
    return [base + _path(i, shard.key) for i, shard in enumerate(storage.shards)]


def _endpoint(storage: S3Storage) -> str:
    if storage.endpoint is None:
        region = storage.region
        if region is None:
            return "https://s3.amazonaws.com"
        if _REGION.fullmatch(region) is None:
            raise InvalidRecord("/storage/region", f"{quote(region)} is no region")
        return f"https://s3.{region}.amazonaws.com"
    endpoint = storage.endpoint
    if "://" not in endpoint or any(mark in endpoint for mark in "?#{}"):
        raise InvalidRecord("/storage/endpoint", f"{quote(endpoint)} is no address of a server")
    try:
        if urlsplit(endpoint).hostname is None:
            raise ValueError("no host")
    except ValueError as error:
        raise InvalidRecord("/storage/endpoint", f"{quote(endpoint)}: {error}") from error
    return endpoint.rstrip("/")


def _path(number: int, key: str) -> str:
    # A client that follows the rules takes "a/../b" for "b".
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise InvalidRecord(f"/storage/shards/{number}/key", f"{quote(key)} can't be in an address")
    return percent(key, safe="/~")
