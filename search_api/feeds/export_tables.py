"""What the bulk export holds, as SQL: the columns are named as in the API's views.

Rule: every statement joins ``repos`` on active accounts. There is no order, which would need all
rows at once; a row is known by its ``uri``.
"""

from __future__ import annotations

from collections.abc import Mapping

_WHOSE = (
    "r.uri, r.cid, r.did, CASE WHEN p.handle_verified THEN p.handle END AS handle, "
    'r.created_at AS "createdAt", '
    "strftime(make_timestamp(epoch_us(r.indexed_at)), '%Y-%m-%dT%H:%M:%S.%gZ') AS \"indexedAt\""
)
_VISIBLE = "JOIN repos p ON p.repo = r.repo AND p.active"
_RECORD = "r.record::VARCHAR AS record"

TABLES: Mapping[str, str] = {
    "datasets": f"""
SELECT {_WHOSE}, d.name, d.description, coalesce(t.tags, []) AS tags, d.license,
       d.license_spdx AS "licenseSpdx", d.schema_uri AS "schemaUri",
       d.storage_kind AS "storageKind", d.samples, d.bytes, d.shards, {_RECORD}
FROM datasets d JOIN records r ON r.doc = d.doc {_VISIBLE}
LEFT JOIN (
    SELECT doc, list(tag ORDER BY position) AS tags FROM dataset_tags GROUP BY doc
) t ON t.doc = d.doc
""",  # noqa: S608
    "schemas": f"""
SELECT {_WHOSE}, s.name, s.version, s.description, {_RECORD}
FROM schemas s JOIN records r ON r.doc = s.doc {_VISIBLE}
""",  # noqa: S608
    "lenses": f"""
SELECT {_WHOSE}, l.name, l.description, l.source_uri AS "sourceSchema",
       l.target_uri AS "targetSchema", l.language, {_RECORD}
FROM lenses l JOIN records r ON r.doc = l.doc {_VISIBLE}
""",  # noqa: S608
    "labels": f"""
SELECT {_WHOSE}, b.name, b.dataset_uri AS "datasetUri", b.version, b.description, {_RECORD}
FROM labels b JOIN records r ON r.doc = b.doc {_VISIBLE}
""",  # noqa: S608
    "lens_verifications": f"""
SELECT {_WHOSE}, v.lens_uri AS lens, v.lens_commit AS "lensCommit",
       v.verification_method AS "verificationMethod", {_RECORD}
FROM lens_verifications v JOIN records r ON r.doc = v.doc {_VISIBLE}
""",  # noqa: S608
}
