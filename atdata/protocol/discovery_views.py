"""What the queries beside search answer: lens paths, similar datasets, profiles, labels.

As in ``views``, whose codec reads and writes these too: Python names are snake_case, JSON names
camelCase, absent values are left out. The lexicon of each query says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atdata.protocol.views import DatasetDetail, DatasetView, LensView, SchemaView


@dataclass(frozen=True, slots=True)
class VerificationView:
    """Somebody's statement that a lens, at the version that is shown, was verified."""

    uri: str
    did: str
    method: str
    handle: str | None = None


@dataclass(frozen=True, slots=True)
class LensDetail:
    """``record`` is the body as published; ``verifications`` are of this very version."""

    lens: LensView
    record: Mapping[str, Any]
    verifications: tuple[VerificationView, ...] = ()


@dataclass(frozen=True, slots=True)
class LensStep:
    """One lens of a path. ``direction``: ``get`` reads the lens's source as its target; ``put``
    puts a target back into a source that must be there already."""

    lens: LensView
    direction: str
    verified: bool


@dataclass(frozen=True, slots=True)
class LensPath:
    """Lenses in order, from schema ``source`` to schema ``target``; none where both are one."""

    source: str
    target: str
    verified: bool
    steps: tuple[LensStep, ...] = ()


@dataclass(frozen=True, slots=True)
class ReachableDataset:
    """A dataset that can be read as the target over so many lenses."""

    dataset: DatasetView
    hops: int


@dataclass(frozen=True, slots=True)
class LensPaths:
    """Fewest lenses first. ``reachable_total`` counts all datasets that lenses make readable as
    the target, of which ``reachable`` has the nearest; both are there if they were asked for."""

    paths: tuple[LensPath, ...]
    reachable: tuple[ReachableDataset, ...] | None = None
    reachable_total: int | None = None


@dataclass(frozen=True, slots=True)
class SchemaVersionView:
    """One version of a schema, with the version of its record."""

    uri: str
    version: str
    cid: str
    indexed_at: str
    prerelease: bool


@dataclass(frozen=True, slots=True)
class SchemaVersions:
    """By semantic version, newest first."""

    versions: tuple[SchemaVersionView, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why two datasets are alike. ``kind``: schema, tags, fields or words; ``values`` are what
    they share."""

    kind: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SimilarDataset:
    """``explanation`` says the reasons in words, the strongest first."""

    dataset: DatasetView
    reasons: tuple[Reason, ...]
    explanation: str


@dataclass(frozen=True, slots=True)
class SimilarDatasets:
    """Most alike first."""

    datasets: tuple[SimilarDataset, ...]


@dataclass(frozen=True, slots=True)
class DatasetList:
    """Those of the datasets asked for that are visible, in the order asked for."""

    datasets: tuple[DatasetDetail, ...]


@dataclass(frozen=True, slots=True)
class LabelView:
    """A name that an author gave to a dataset."""

    uri: str
    cid: str
    did: str
    indexed_at: str
    name: str
    dataset_uri: str
    created_at: str
    handle: str | None = None
    version: str | None = None
    description: str | None = None
    verification: str | None = None
    record_url: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedLabel:
    """``dataset`` is what the label names, if the index has it; ``record`` the label's body."""

    label: LabelView
    record: Mapping[str, Any]
    dataset: DatasetView | None = None


@dataclass(frozen=True, slots=True)
class ProfileCounts:
    """How many records of each kind an account has."""

    datasets: int
    schemas: int
    lenses: int
    labels: int


@dataclass(frozen=True, slots=True)
class ProfileView:
    """An account, with its newest records of each kind."""

    did: str
    verification: str
    counts: ProfileCounts
    datasets: tuple[DatasetView, ...] = ()
    schemas: tuple[SchemaView, ...] = ()
    lenses: tuple[LensView, ...] = ()
    labels: tuple[LabelView, ...] = ()
    handle: str | None = None
    pds: str | None = None
