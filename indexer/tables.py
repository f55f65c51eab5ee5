"""The rows of the index: one frozen type per table of ``schema.sql``, fields named as columns.

Pure values. ``doc`` and ``repo`` are ``key_of`` the AT URI and the DID; times are microseconds
since 1970; columns of type JSON hold JSON text.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordRow:
    """Times are microseconds since 1970; ``record`` is JSON text."""

    doc: int
    repo: int
    uri: str
    did: str
    kind: str
    namespace: str
    collection: str
    rkey: str
    cid: str
    rev: str
    indexed_at: int
    created_at: str
    sort_at: int
    record: str


@dataclass(frozen=True, slots=True)
class DatasetRow:
    doc: int
    name: str
    description: str | None
    schema_uri: str
    schema_doc: int
    license: str | None
    license_spdx: str | None
    storage_kind: str
    samples: int | None
    bytes: int | None
    shards: int | None


@dataclass(frozen=True, slots=True)
class TagRow:
    doc: int
    position: int
    tag: str


@dataclass(frozen=True, slots=True)
class SchemaRow:
    doc: int
    name: str
    version: str
    description: str | None
    family: str


@dataclass(frozen=True, slots=True)
class FieldRow:
    """``shape`` is JSON text: an array with null for a dimension of any length."""

    doc: int
    position: int
    name: str
    kind: str
    dtype: str | None
    shape: str | None
    items: str | None
    optional: bool
    description: str | None


@dataclass(frozen=True, slots=True)
class LensRow:
    """``getter_code`` and ``putter_code`` are JSON text in the lexicon's names."""

    doc: int
    name: str
    description: str | None
    source_uri: str
    target_uri: str
    source_doc: int
    target_doc: int
    language: str | None
    getter_code: str | None
    putter_code: str | None


@dataclass(frozen=True, slots=True)
class LabelRow:
    doc: int
    name: str
    dataset_uri: str
    dataset_doc: int
    version: str | None
    description: str | None


@dataclass(frozen=True, slots=True)
class LensVerificationRow:
    doc: int
    lens_uri: str
    lens_doc: int
    lens_commit: str
    verification_method: str


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """The newest version of a record that no known lexicon explains. ``source`` is the firehose or
    the PDS that it came from; ``block`` are its bytes, ``size`` long, or None where they are not
    kept (``size`` 0): then its repo has to be fetched to judge it again. ``kept_at`` is
    microseconds since 1970."""

    doc: int
    repo: int
    did: str
    collection: str
    rkey: str
    cid: str
    rev: str
    reason: str
    detail: str
    source: str
    kept_at: int
    size: int
    block: bytes | None


Detail = DatasetRow | SchemaRow | LensRow | LabelRow | LensVerificationRow


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of one record."""

    record: RecordRow
    detail: Detail
    tags: tuple[TagRow, ...] = ()
    fields: tuple[FieldRow, ...] = ()
