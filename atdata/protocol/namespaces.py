"""The one table of collections: which NSID holds which kind of record, in both namespaces.

Nothing else in the project knows that there are two namespaces. Look-alikes
(``ac.foundation.datasetx.*``, ``ac.foundation.dataset`` itself) do not match: lookup is by the
whole NSID.
"""

from __future__ import annotations

from enum import StrEnum

FOUNDATION = "ac.foundation.dataset"
SUCCESSOR = "science.alt.dataset"


class Kind(StrEnum):
    """What a record is, whatever its collection is called."""

    SCHEMA = "schema"
    DATASET = "dataset"
    LENS = "lens"
    LABEL = "label"
    LENS_VERIFICATION = "lensVerification"


COLLECTIONS: dict[str, Kind] = {
    f"{FOUNDATION}.sampleSchema": Kind.SCHEMA,
    f"{FOUNDATION}.schema": Kind.SCHEMA,
    f"{FOUNDATION}.record": Kind.DATASET,
    f"{FOUNDATION}.entry": Kind.DATASET,
    f"{FOUNDATION}.lens": Kind.LENS,
    f"{FOUNDATION}.label": Kind.LABEL,
    f"{SUCCESSOR}.schema": Kind.SCHEMA,
    f"{SUCCESSOR}.entry": Kind.DATASET,
    f"{SUCCESSOR}.lens": Kind.LENS,
    f"{SUCCESSOR}.label": Kind.LABEL,
    f"{SUCCESSOR}.lensVerification": Kind.LENS_VERIFICATION,
}

# A frame that holds neither prefix cannot touch an indexed collection: definite-length DAG-CBOR
# text is contiguous, so an op path such as b"ac.foundation.dataset.record/3k…" is found by a scan.
SCAN_PREFIXES: tuple[bytes, ...] = (FOUNDATION.encode() + b".", SUCCESSOR.encode() + b".")

SCHEMA_COLLECTION = f"{FOUNDATION}.sampleSchema"
DATASET_COLLECTION = f"{FOUNDATION}.record"
LENS_COLLECTION = f"{FOUNDATION}.lens"
LABEL_COLLECTION = f"{FOUNDATION}.label"


def kind_of(collection: str) -> Kind | None:
    """The kind of record that ``collection`` holds, or None if it is not one of ours."""
    return COLLECTIONS.get(collection)


def namespace_of(collection: str) -> str:
    """The NSID without its last segment: ``ac.foundation.dataset`` or ``science.alt.dataset``."""
    return collection.rpartition(".")[0]
