"""What a lexicon document can define: one frozen model per kind of definition.

Rule: references are absolute (``nsid``, or ``nsid#name`` for other than ``main``), so that a
definition means the same wherever it stands. Source: https://atproto.com/specs/lexicon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What every definition has."""

    description: str | None = None


# --- values ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Null(Definition):
    """Only null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boolean(Definition):
    default: bool | None = None
    const: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer(Definition):
    minimum: int | None = None
    maximum: int | None = None
    enum: tuple[int, ...] | None = None
    default: int | None = None
    const: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class String(Definition):
    """Lengths are in UTF-8 bytes; ``known_values`` is advice, ``enum`` is a rule."""

    format: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_graphemes: int | None = None
    max_graphemes: int | None = None
    known_values: tuple[str, ...] | None = None
    enum: tuple[str, ...] | None = None
    default: str | None = None
    const: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes(Definition):
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CidLink(Definition):
    """A link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob(Definition):
    """``accept`` holds media types, with ``*`` for any: ``image/*``. ``max_size`` is in bytes."""

    accept: tuple[str, ...] | None = None
    max_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Array(Definition):
    items: Definition
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Object(Definition):
    properties: Mapping[str, Definition]
    required: tuple[str, ...] = ()
    nullable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Definition):
    """A name that stands for itself: ``value`` is ``nsid#name``."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref(Definition):
    """The definition called ``ref`` (absolute)."""

    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Union(Definition):
    """One of ``refs`` (absolute), told by ``$type``; another type too unless ``closed``."""

    refs: tuple[str, ...]
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Definition):
    """Any object."""


# --- primary definitions -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Definition):
    """``key`` is ``tid``, ``nsid``, ``any`` or ``literal:…``."""

    key: str
    record: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Params(Definition):
    """Query parameters: booleans, integers, strings, and arrays of these."""

    properties: Mapping[str, Definition]
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Body(Definition):
    """A body of a request or an answer. ``encoding`` is a media type."""

    encoding: str
    schema: Object | Ref | Union | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorName(Definition):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Definition):
    parameters: Params
    output: Body | None = None
    errors: tuple[ErrorName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure(Definition):
    parameters: Params
    input: Body | None = None
    output: Body | None = None
    errors: tuple[ErrorName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription(Definition):
    parameters: Params
    message: Union | None = None
    errors: tuple[ErrorName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission(Definition):
    """One permission; what its ``resource`` (``repo``, ``rpc`` …) means is not read here."""

    resource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionSet(Definition):
    permissions: tuple[Permission, ...]
    title: str | None = None
    detail: str | None = None


Primary: TypeAlias = Record | Query | Procedure | Subscription | PermissionSet
