"""Lens records and the verifications of lenses. Code references may be absent in old lenses."""

from __future__ import annotations

from typing import Any

from atdata.protocol.body import MAX_AT_URI, Body
from atdata.protocol.models import Checksum, CodeRef, LensRecord, LensVerificationRecord
from atdata.protocol.namespaces import LENS_COLLECTION, SUCCESSOR
from atdata.protocol.storage_body import read_checksum, write_checksum

MAX_NAME = 100
MAX_DESCRIPTION = 1_000
MAX_LANGUAGE = 50
MAX_VERSION = 100
MAX_REPOSITORY = 500
MAX_COMMIT = 40
MAX_PATH = 500
MAX_BRANCH = 100
MAX_RECORD_COMMIT = 128
MAX_METHOD = 100
MAX_HASH = 200
MAX_PROOF = 1_000


def read_lens(body: Body) -> LensRecord:
    """A lens of either namespace."""
    return LensRecord(
        name=body.text("name", MAX_NAME),
        source_schema=body.text("sourceSchema", MAX_AT_URI),
        target_schema=body.text("targetSchema", MAX_AT_URI),
        created_at=body.datetime_text("createdAt"),
        getter_code=_read_code(body.maybe_child("getterCode")),
        putter_code=_read_code(body.maybe_child("putterCode")),
        description=body.maybe_text("description", MAX_DESCRIPTION),
        language=body.maybe_text("language", MAX_LANGUAGE),
        metadata=body.plain("metadata") or {},
        source_schema_version=body.maybe_text("sourceSchemaVersion", MAX_VERSION),
        target_schema_version=body.maybe_text("targetSchemaVersion", MAX_VERSION),
    )


def write_lens(record: LensRecord) -> dict[str, Any]:
    """A ``lens``. Without code references it is readable, but not valid under the lexicon."""
    body = {
        "$type": LENS_COLLECTION,
        "name": record.name,
        "sourceSchema": record.source_schema,
        "targetSchema": record.target_schema,
        "getterCode": _write_code(record.getter_code),
        "putterCode": _write_code(record.putter_code),
        "description": record.description,
        "language": record.language,
        "metadata": dict(record.metadata) or None,
        "createdAt": record.created_at,
        "sourceSchemaVersion": record.source_schema_version,
        "targetSchemaVersion": record.target_schema_version,
    }
    return {name: value for name, value in body.items() if value is not None}


def _read_code(code: Body | None) -> CodeRef | None:
    if code is None:
        return None
    return CodeRef(
        repository=code.text("repository", MAX_REPOSITORY),
        commit=code.text("commit", MAX_COMMIT),
        path=code.text("path", MAX_PATH),
        branch=code.maybe_text("branch", MAX_BRANCH),
        language=code.maybe_text("language", MAX_LANGUAGE),
    )


def _write_code(code: CodeRef | None) -> dict[str, Any] | None:
    if code is None:
        return None
    body = {
        "repository": code.repository,
        "commit": code.commit,
        "path": code.path,
        "branch": code.branch,
        "language": code.language,
    }
    return {name: value for name, value in body.items() if value is not None}


def read_verification(body: Body) -> LensVerificationRecord:
    """A ``lensVerification``, which exists in the successor namespace only."""
    return LensVerificationRecord(
        lens=body.at_uri("lens"),
        lens_commit=body.text("lensCommit", MAX_RECORD_COMMIT),
        verification_method=body.text("verificationMethod", MAX_METHOD),
        created_at=body.datetime_text("createdAt") if body.has("createdAt") else None,
        code_hash=_read_hash(body),
        proof_ref=_read_proof(body),
    )


def write_verification(record: LensVerificationRecord) -> dict[str, Any]:
    """A ``lensVerification``."""
    code_hash, proof = record.code_hash, record.proof_ref
    body = {
        "$type": f"{SUCCESSOR}.lensVerification",
        "lens": record.lens,
        "lensCommit": record.lens_commit,
        "verificationMethod": record.verification_method,
        "codeHash": write_checksum(code_hash) if isinstance(code_hash, Checksum) else code_hash,
        "proofRef": _write_code(proof) if isinstance(proof, CodeRef) else proof,
        "createdAt": record.created_at,
    }
    return {name: value for name, value in body.items() if value is not None}


def _read_hash(body: Body) -> Checksum | str | None:
    if isinstance(body.members.get("codeHash"), str):
        return body.text("codeHash", MAX_HASH)
    return read_checksum(body, "codeHash")


def _read_proof(body: Body) -> CodeRef | str | None:
    if isinstance(body.members.get("proofRef"), str):
        return body.text("proofRef", MAX_PROOF)
    return _read_code(body.maybe_child("proofRef"))
