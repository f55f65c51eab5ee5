"""What the search API answers: one frozen model per view, and the JSON codec for all of them.

Python names are snake_case, JSON names camelCase; absent values are left out of the JSON. The
lexicons under ``atdata/lexicons`` say the same in the protocol's own language, and tests hold the
two against each other.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from atdata.protocol.errors import InvalidRecord

# --- views ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of a schema. ``kind`` is str, int, float, bool, bytes, ndarray, array, ref or
    unknown; ``dtype`` and ``shape`` (None: any length) belong to ndarray, ``items`` (a type in
    Python spelling, ``list[str]``) to array."""

    name: str
    kind: str
    optional: bool
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    items: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class SizeView:
    """The author's claims."""

    samples: int | None = None
    bytes: int | None = None
    shards: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetView:
    """A dataset as a search hit. ``license`` is as written, ``license_spdx`` what it means.
    ``verification`` (verified, stale) says whether the index is in step with the signed repository
    that proved this version; ``record_url`` is the record on its author's host."""

    uri: str
    cid: str
    did: str
    indexed_at: str
    name: str
    schema_uri: str
    storage_kind: str
    created_at: str
    tags: tuple[str, ...] = ()
    size: SizeView = SizeView()
    handle: str | None = None
    description: str | None = None
    license: str | None = None
    license_spdx: str | None = None
    schema_name: str | None = None
    schema_version: str | None = None
    verification: str | None = None
    record_url: str | None = None


@dataclass(frozen=True, slots=True)
class SchemaView:
    """A schema with its fields in sample order."""

    uri: str
    cid: str
    did: str
    indexed_at: str
    name: str
    version: str
    created_at: str
    fields: tuple[FieldView, ...] = ()
    handle: str | None = None
    description: str | None = None
    verification: str | None = None
    record_url: str | None = None


@dataclass(frozen=True, slots=True)
class CodeRefView:
    """A function in a public repository, at one commit."""

    repository: str
    commit: str
    path: str
    branch: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class LensView:
    """A lens. The schemas are AT URIs as the author wrote them."""

    uri: str
    cid: str
    did: str
    indexed_at: str
    name: str
    source_schema: str
    target_schema: str
    created_at: str
    handle: str | None = None
    description: str | None = None
    language: str | None = None
    getter_code: CodeRefView | None = None
    putter_code: CodeRefView | None = None
    verification: str | None = None
    record_url: str | None = None


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag and the number of visible datasets that carry it."""

    tag: str
    count: int


@dataclass(frozen=True, slots=True)
class LicenseCount:
    """``license`` is an SPDX expression where the published text could be read as one."""

    license: str
    count: int


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """One version of a schema family."""

    uri: str
    version: str


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value and the number of hits that have it. ``value`` is what the parameter of that name
    takes; ``label`` is for people: a schema's name and version, an author's handle."""

    value: str
    count: int
    label: str | None = None


@dataclass(frozen=True, slots=True)
class FacetsView:
    """Most frequent values first, then by value; None for what was not asked for."""

    tags: tuple[FacetValue, ...] | None = None
    licenses: tuple[FacetValue, ...] | None = None
    storage: tuple[FacetValue, ...] | None = None
    schemas: tuple[FacetValue, ...] | None = None
    authors: tuple[FacetValue, ...] | None = None


# --- answers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueryFilterView:
    """A condition in the text of a query: ``name:value``, or with ``excluded`` ``-name:value``."""

    name: str
    value: str
    excluded: bool


@dataclass(frozen=True, slots=True)
class ParsedQueryView:
    """How the text of a query was read; ``words`` has those of the phrases, too."""

    words: tuple[str, ...]
    phrases: tuple[str, ...]
    excluded: tuple[str, ...]
    filters: tuple[QueryFilterView, ...]


@dataclass(frozen=True, slots=True)
class DatasetPage:
    """``hits_total`` and ``facets`` count every match, not only this page; ``facets`` is there
    where it was asked for, and ``query`` where a text was. ``showing_results_for`` are the words
    that were looked for beside those asked for, since little has these; ``relaxed``: datasets that
    lack some of the words are among the last hits."""

    datasets: tuple[DatasetView, ...]
    hits_total: int
    cursor: str | None = None
    facets: FacetsView | None = None
    query: ParsedQueryView | None = None
    showing_results_for: str | None = None
    relaxed: bool | None = None


@dataclass(frozen=True, slots=True)
class DatasetDetail:
    """``record`` is the body as published (JSON data model); ``pds`` the author's host."""

    dataset: DatasetView
    record: Mapping[str, Any]
    schema: SchemaView | None = None
    schema_record: Mapping[str, Any] | None = None
    pds: str | None = None


@dataclass(frozen=True, slots=True)
class SchemaPage:
    """``cursor`` leads to the next page; it is absent on the last, here and in every page."""

    schemas: tuple[SchemaView, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SchemaDetail:
    """``record`` is the body as published."""

    schema: SchemaView
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LatestSchema:
    """The newest version of a family, with its body as published; ``all_versions`` newest first."""

    uri: str
    version: str
    record: Mapping[str, Any]
    all_versions: tuple[SchemaVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class LensPage:
    """Lenses by the schemas between which they lead."""

    lenses: tuple[LensView, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class TagPage:
    """Most used first."""

    tags: tuple[TagCount, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class LicensePage:
    """Most used first."""

    licenses: tuple[LicenseCount, ...]
    cursor: str | None = None


# --- codec ------------------------------------------------------------------------------------

View = TypeVar("View")


@cache
def camel(name: str) -> str:
    """``indexed_at`` → ``indexedAt``."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


_PLAIN = frozenset({str, int, float, bool, type(None)})


@cache
def _members(cls: type) -> tuple[tuple[str, str], ...]:
    """The fields of a view's class, with their names in JSON."""
    return tuple((field.name, camel(field.name)) for field in dataclasses.fields(cls))


def to_json(view: Any) -> Any:
    """A view as JSON values; None is left out of objects, and kept inside arrays."""
    cls = type(view)
    if cls in _PLAIN:
        return view
    if dataclasses.is_dataclass(cls):
        shown: dict[str, Any] = {}
        for name, member in _members(cls):
            value = getattr(view, name)
            if value is not None:
                shown[member] = value if type(value) in _PLAIN else to_json(value)
        return shown
    if isinstance(view, tuple | list):
        return [item if type(item) in _PLAIN else to_json(item) for item in view]
    if isinstance(view, Mapping):  # JSON already, or views under names: its nulls mean something
        return {name: to_json(value) for name, value in view.items()}
    return view


def from_json(cls: type[View], data: object, path: str = "") -> View:
    """A view out of JSON that came over the network. Unknown members are ignored.

    Raises ``InvalidRecord`` with the path of the member that is missing or of the wrong type.
    """
    value: View = _read(cls, data, path)
    return value


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _read(hint: Any, data: object, path: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return data
    if origin is types.UnionType or origin is typing.Union:
        (inner,) = (arg for arg in typing.get_args(hint) if arg is not types.NoneType)
        return None if data is None else _read(inner, data, path)
    if dataclasses.is_dataclass(hint):
        return _read_object(hint, data, path)
    if origin is tuple:
        if not isinstance(data, list):
            raise InvalidRecord(path, "expected an array")
        item = typing.get_args(hint)[0]
        return tuple(_read(item, value, f"{path}/{i}") for i, value in enumerate(data))
    expected = dict if origin is not None else hint
    if not isinstance(data, expected) or (expected is int and isinstance(data, bool)):
        raise InvalidRecord(path, f"expected {expected.__name__}, got {type(data).__name__}")
    return data


def _read_object(cls: Any, data: object, path: str) -> Any:
    if not isinstance(data, Mapping):
        raise InvalidRecord(path, "expected an object")
    values: dict[str, Any] = {}
    for f in dataclasses.fields(cls):
        name = camel(f.name)
        if data.get(name) is not None:
            values[f.name] = _read(_hints(cls)[f.name], data[name], f"{path}/{name}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise InvalidRecord(f"{path}/{name}", "is missing")
    return cls(**values)
