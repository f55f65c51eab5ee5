"""Publishing the schema of a sample type, and reading schemas back as types.

Rule: a published schema is never given other fields. Datasets refer to it by URI, so the same name
and version with other fields becomes a record of its own, and publishing the same again changes
nothing.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from atdata.atmosphere.client import AtmosphereClient
from atdata.atmosphere.entries import read_as
from atdata.atmosphere.repository import RecordBody, StoredRecord, collections_of
from atdata.protocol import cbor, records
from atdata.protocol.errors import InvalidRecord, NotFound
from atdata.protocol.namespaces import SCHEMA_COLLECTION, Kind
from atdata.protocol.records import SchemaRecord
from atdata.protocol.syntax import AtUri
from atdata.schema import schema_of, type_of

log = logging.getLogger(__name__)


class SchemaPublisher:
    """Writes schemas into the session's repository.

    Source: lexicon ``ac.foundation.dataset.sampleSchema``; semantic versions (semver.org 2.0.0).
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self._client = client

    def publish(
        self,
        sample_type: type,
        *,
        name: str | None = None,
        version: str = "1.0.0",
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        rkey: str | None = None,
    ) -> str:
        """Publish the schema of ``sample_type``; returns its AT URI.

        ``name`` is the class's own if not given, ``version`` a semantic version. The record key is
        ``name:version`` unless ``rkey`` is given: publishing the same again gives the same URI
        and writes nothing, a new description or metadata is written over the old, and other fields
        under the same name and version get a key of their own.

        Raises ``NotLoggedIn``, ``UnsupportedType``, ``InvalidRecord`` and ``XrpcError``.
        """
        schema = schema_of(
            sample_type,
            name=name,
            version=version,
            description=description,
            metadata=metadata,
            created_at=now(),
        )
        if rkey is not None:
            return self._write(schema, rkey)
        return self._publish_once(schema)

    def _publish_once(self, schema: SchemaRecord) -> str:
        key = schema_key(schema)
        there = self._there(key)
        if there is not None and not same_schema(there, schema):
            log.warning(
                "%s %s is already published with other fields; this one gets a URI of its own. "
                "A new version number tells them apart.",
                schema.name,
                schema.version,
            )
            key = f"{key}:{fields_digest(schema)}"
            there = self._there(key)
        if there is not None and replace(there, created_at=schema.created_at) == schema:
            return str(self._uri(key))
        if there is not None:
            schema = replace(schema, created_at=there.created_at)
        return self._write(schema, key)

    def _uri(self, key: str) -> AtUri:
        return AtUri.of(self._client.did, SCHEMA_COLLECTION, key)

    def _there(self, key: str) -> SchemaRecord | None:
        try:
            return read_as(SchemaRecord, self._client.get_record(self._uri(key)))
        except NotFound:
            return None

    def _write(self, schema: SchemaRecord, key: str) -> str:
        return self._client.put_record(self._uri(key), records.to_body(schema)).uri


class SchemaLoader:
    """Reads schemas of any account, of every generation.

    Source: lexicons ``ac.foundation.dataset.sampleSchema`` and ``science.alt.dataset.schema``.
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self._client = client

    def get(self, uri: str) -> RecordBody:
        """The JSON body of a schema: ``schema["name"]``, ``schema["version"]`` …

        Raises ``NotFound``, ``InvalidRecord`` if it is no schema.
        """
        stored = self._client.get_record(uri)
        read_as(SchemaRecord, stored)
        return stored.body()

    def list_all(self, repo: str | None = None) -> Iterator[RecordBody]:
        """The body of every schema in a repository (the session's own if not given), lazily.
        Raises ``NotLoggedIn`` without either, ``NetworkError``."""
        return (stored.body() for stored in list_kind(self._client, Kind.SCHEMA, repo))

    def record(self, uri: str) -> SchemaRecord:
        """A schema as a model. Raises as ``get`` does."""
        return read_as(SchemaRecord, self._client.get_record(uri))

    def decode(self, uri: str) -> type:
        """The Python type of samples of a schema, with its dtypes; one type for one content.

        Raises as ``get`` does, and ``UnsupportedType`` for what no Python type can say.
        """
        return type_of(self.record(uri))


def list_kind(client: AtmosphereClient, kind: Kind, repo: str | None) -> Iterator[StoredRecord]:
    """Every readable record of one kind in a repository, from all collections that hold it."""
    for collection in collections_of(kind):
        for stored in client.list_records(repo, collection):
            try:
                records.parse(collection, stored.value)
            except InvalidRecord as error:
                log.warning("left out: %s: %s", stored.uri, error)
            else:
                yield stored


def now() -> str:
    """The present as the protocol writes it: UTC, milliseconds, ``Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def schema_key(schema: SchemaRecord) -> str:
    """``name:version`` as a record key: what a key cannot hold becomes ``-``."""
    name, version = (
        re.sub(r"[^A-Za-z0-9._~-]+", "-", part) for part in (schema.name, schema.version)
    )
    return f"{name}:{version}"


def same_schema(a: SchemaRecord, b: SchemaRecord) -> bool:
    """Whether samples of one are samples of the other, under the same name and version."""
    return (a.name, a.version, a.fields) == (b.name, b.version, b.fields)


def fields_digest(schema: SchemaRecord) -> str:
    """Eight hex digits that tell schemas of one name and version apart."""
    body = records.to_body(schema)
    identity = {name: body[name] for name in ("name", "version", "fields")}
    return hashlib.sha256(cbor.encode(identity)).hexdigest()[:8]
