"""Lexicon documents, parsed from JSON.

Rule: a ``Lexicon`` that exists is well-formed, and nothing but ``InvalidLexicon`` is raised for any
document. Attributes that the specification does not name are ignored. References are made absolute;
whether they lead anywhere is for the catalog to say. Source: https://atproto.com/specs/lexicon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from atdata.protocol import lexicon_types as types
from atdata.protocol.errors import InvalidSyntax, quote
from atdata.protocol.lexicon_attributes import DEFINITION_NAME, Attributes, absolute, cut
from atdata.protocol.string_formats import FORMATS
from atdata.protocol.syntax import Nsid, RecordKey


@dataclass(frozen=True, slots=True)
class Lexicon:
    """A document: ``id`` and its definitions by name; ``main`` is the one called like it."""

    id: Nsid
    defs: Mapping[str, types.Definition]
    description: str | None = None

    @classmethod
    def parse(cls, document: object) -> Self:
        """From decoded JSON. Raises ``InvalidLexicon``."""
        top = Attributes.of(document, "", "")
        if top.integer("lexicon") != 1:
            raise top.wrong("lexicon", "must be 1")
        try:
            nsid = Nsid.parse(top.needed("id", str))
        except InvalidSyntax as error:
            raise top.wrong("id", str(error)) from error
        defs = Attributes.of(top.values.get("defs"), "/defs", nsid)
        if not defs.values:
            raise top.wrong("defs", "defines nothing")
        named = {name: _named(defs.child(name), name) for name in defs.values}
        return cls(nsid, named, top.text("description"))


# --- definitions ---------------------------------------------------------------------------------


def _named(at: Attributes, name: str) -> types.Definition:
    """A definition directly under ``defs``."""
    if DEFINITION_NAME.fullmatch(name) is None:
        raise at.wrong("", "is not a name for a definition")
    kind = at.needed("type", str)
    if kind in _PRIMARY and name != "main":
        raise at.wrong("type", f"a {kind} must be called main")
    if kind == "token":
        value = absolute(at.nsid, name)
        return types.Token(description=at.text("description"), value=value)
    reader = _PRIMARY.get(kind) or _READERS.get(kind)
    if reader is None or kind in _NAMELESS:
        raise at.wrong("type", f"{quote(kind)} cannot stand by itself")
    return reader(at)


def _definition(at: Attributes) -> types.Definition:
    """A definition inside another."""
    kind = at.needed("type", str)
    reader = _READERS.get(kind)
    if reader is None:
        raise at.wrong("type", f"{quote(kind)} is not a type of value")
    return reader(at)


def _null(at: Attributes) -> types.Null:
    return types.Null(description=at.text("description"))


def _boolean(at: Attributes) -> types.Boolean:
    return types.Boolean(
        description=at.text("description"),
        default=at.maybe("default", bool),
        const=at.maybe("const", bool),
    )


def _integer(at: Attributes) -> types.Integer:
    at.range("minimum", "maximum")
    return types.Integer(
        description=at.text("description"),
        minimum=at.integer("minimum"),
        maximum=at.integer("maximum"),
        enum=at.items("enum", int),
        default=at.integer("default"),
        const=at.integer("const"),
    )


def _string(at: Attributes) -> types.String:
    text_format = at.text("format")
    if text_format is not None and text_format not in FORMATS:
        raise at.wrong("format", f"{quote(text_format)} is not a known format")
    at.range("minLength", "maxLength")
    at.range("minGraphemes", "maxGraphemes")
    return types.String(
        description=at.text("description"),
        format=text_format,
        min_length=at.length("minLength"),
        max_length=at.length("maxLength"),
        min_graphemes=at.length("minGraphemes"),
        max_graphemes=at.length("maxGraphemes"),
        known_values=at.items("knownValues", str),
        enum=at.items("enum", str),
        default=at.text("default"),
        const=at.text("const"),
    )


def _bytes(at: Attributes) -> types.Bytes:
    at.range("minLength", "maxLength")
    return types.Bytes(
        description=at.text("description"),
        min_length=at.length("minLength"),
        max_length=at.length("maxLength"),
    )


def _cid_link(at: Attributes) -> types.CidLink:
    return types.CidLink(description=at.text("description"))


def _blob(at: Attributes) -> types.Blob:
    return types.Blob(
        description=at.text("description"),
        accept=at.items("accept", str),
        max_size=at.length("maxSize"),
    )


def _array(at: Attributes) -> types.Array:
    at.range("minLength", "maxLength")
    return types.Array(
        description=at.text("description"),
        items=_definition(at.child("items")),
        min_length=at.length("minLength"),
        max_length=at.length("maxLength"),
    )


def _properties(at: Attributes) -> dict[str, types.Definition]:
    if at.values.get("properties") is None:
        return {}
    properties = at.child("properties")
    return {name: _definition(properties.child(name)) for name in properties.values}


def _required(at: Attributes, properties: Mapping[str, types.Definition]) -> tuple[str, ...]:
    required = at.items("required", str) or ()
    for name in required:
        if name not in properties:
            raise at.wrong("required", f"{quote(name)} is not a property")
    return required


def _object(at: Attributes) -> types.Object:
    properties = _properties(at)
    return types.Object(
        description=at.text("description"),
        properties=properties,
        required=_required(at, properties),
        nullable=at.items("nullable", str) or (),
    )


def _ref(at: Attributes) -> types.Ref:
    target = at.reference("ref", at.needed("ref", str))
    return types.Ref(description=at.text("description"), ref=target)


def _union(at: Attributes) -> types.Union:
    refs = tuple(at.reference("refs", ref) for ref in at.items("refs", str) or ())
    closed = at.maybe("closed", bool) or False
    if closed and not refs:
        raise at.wrong("refs", "a closed union of nothing has no values")
    return types.Union(description=at.text("description"), refs=refs, closed=closed)


def _unknown(at: Attributes) -> types.Unknown:
    return types.Unknown(description=at.text("description"))


# --- primary definitions -------------------------------------------------------------------------


def _record(at: Attributes) -> types.Record:
    key = at.needed("key", str)
    literal = key.removeprefix("literal:")
    if key not in {"tid", "nsid", "any"}:
        try:
            RecordKey.parse(literal)
        except InvalidSyntax as error:
            raise at.wrong("key", str(error)) from error
        if literal == key:
            raise at.wrong("key", f"{quote(key)} is not tid, nsid, any or literal:…")
    record = _definition(at.child("record"))
    if not isinstance(record, types.Object):
        raise at.wrong("record", "must be an object")
    return types.Record(description=at.text("description"), key=key, record=record)


def _params(at: Attributes) -> types.Params:
    if at.values.get("parameters") is None:
        return types.Params(properties={})
    params = at.child("parameters")
    if params.needed("type", str) != "params":
        raise params.wrong("type", "must be params")
    properties = _properties(params)
    for name, definition in properties.items():
        single = definition.items if isinstance(definition, types.Array) else definition
        if not isinstance(single, types.Boolean | types.Integer | types.String):
            raise params.wrong(f"properties/{cut(name)}", "cannot be written in a query string")
    return types.Params(
        description=params.text("description"),
        properties=properties,
        required=_required(params, properties),
    )


def _body(at: Attributes, name: str) -> types.Body | None:
    if at.values.get(name) is None:
        return None
    body = at.child(name)
    schema = None if body.values.get("schema") is None else _definition(body.child("schema"))
    if schema is not None and not isinstance(schema, types.Object | types.Ref | types.Union):
        raise body.wrong("schema", "must be an object, a ref or a union")
    encoding = body.needed("encoding", str)
    return types.Body(description=body.text("description"), encoding=encoding, schema=schema)


def _errors(at: Attributes) -> tuple[types.ErrorName, ...]:
    entries = at.items("errors", dict) or ()
    found = (at.of(entry, f"{at.path}/errors", at.nsid) for entry in entries)
    return tuple(
        types.ErrorName(description=error.text("description"), name=error.needed("name", str))
        for error in found
    )


def _query(at: Attributes) -> types.Query:
    return types.Query(
        description=at.text("description"),
        parameters=_params(at),
        output=_body(at, "output"),
        errors=_errors(at),
    )


def _procedure(at: Attributes) -> types.Procedure:
    return types.Procedure(
        description=at.text("description"),
        parameters=_params(at),
        input=_body(at, "input"),
        output=_body(at, "output"),
        errors=_errors(at),
    )


def _subscription(at: Attributes) -> types.Subscription:
    message = None
    if at.values.get("message") is not None:
        schema = _definition(at.child("message").child("schema"))
        if not isinstance(schema, types.Union):
            raise at.wrong("message", "its schema must be a union")
        message = schema
    return types.Subscription(
        description=at.text("description"),
        parameters=_params(at),
        message=message,
        errors=_errors(at),
    )


def _permission_set(at: Attributes) -> types.PermissionSet:
    permissions: list[types.Permission] = []
    for entry in at.items("permissions", dict) or ():
        permission = at.of(entry, f"{at.path}/permissions", at.nsid)
        if permission.needed("type", str) != "permission":
            raise permission.wrong("type", "must be permission")
        permissions.append(types.Permission(resource=permission.needed("resource", str)))
    if not permissions:
        raise at.wrong("permissions", "is missing")
    return types.PermissionSet(
        description=at.text("description"),
        permissions=tuple(permissions),
        title=at.text("title"),
        detail=at.text("detail"),
    )


_Reader = Callable[[Attributes], types.Definition]

_READERS: dict[str, _Reader] = {
    "null": _null,
    "boolean": _boolean,
    "integer": _integer,
    "string": _string,
    "bytes": _bytes,
    "cid-link": _cid_link,
    "blob": _blob,
    "array": _array,
    "object": _object,
    "ref": _ref,
    "union": _union,
    "unknown": _unknown,
}
_NAMELESS = frozenset({"ref", "union", "unknown"})
_PRIMARY: dict[str, _Reader] = {
    "record": _record,
    "query": _query,
    "procedure": _procedure,
    "subscription": _subscription,
    "permission-set": _permission_set,
}
