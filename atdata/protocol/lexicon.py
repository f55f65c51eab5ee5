"""Lexicons at work: a catalog of documents, and the validation of data against them.

Rule: data is valid or ``InvalidRecord`` names the path and the reason; a definition that is missing
is ``InvalidLexicon``, our fault and never the data's. Data is in the CBOR data model (``Cid``,
``bytes``): JSON goes through ``cbor.from_json`` first. Source: https://atproto.com/specs/lexicon.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Self

from atdata.protocol import graphemes, syntax
from atdata.protocol import lexicon_types as types
from atdata.protocol.cid import Cid
from atdata.protocol.errors import InvalidLexicon, InvalidRecord, InvalidSyntax, quote
from atdata.protocol.lexicon_attributes import absolute
from atdata.protocol.lexicon_document import Lexicon
from atdata.protocol.string_formats import FORMATS

__all__ = ["Catalog", "Lexicon", "builtin_catalog"]

# One level of data can take two of these: the reference and the object that it names.
MAX_DEPTH = 128


@dataclass(frozen=True, slots=True)
class Catalog:
    """Lexicons by id, and all their definitions by full name (``nsid``, ``nsid#name``)."""

    lexicons: Mapping[str, Lexicon]
    definitions: Mapping[str, types.Definition]

    @classmethod
    def of(cls, lexicons: Iterable[Lexicon]) -> Self:
        """Raises ``InvalidLexicon`` if two documents have one id."""
        by_id: dict[str, Lexicon] = {}
        definitions: dict[str, types.Definition] = {}
        for lexicon in lexicons:
            if lexicon.id in by_id:
                raise InvalidLexicon(f"two lexicons are called {lexicon.id}")
            by_id[lexicon.id] = lexicon
            for name, definition in lexicon.defs.items():
                definitions[absolute(lexicon.id, name)] = definition
        return cls(by_id, definitions)

    def definition(self, ref: str) -> types.Definition:
        """The definition called ``ref``. Raises ``InvalidLexicon`` if there is none."""
        found = self.definitions.get(ref.removesuffix("#main"))
        if found is None:
            raise InvalidLexicon(f"no lexicon defines {quote(ref)}")
        return found

    def query(self, nsid: str) -> types.Query:
        """The query called ``nsid``. Raises ``InvalidLexicon``."""
        found = self.definition(nsid)
        if not isinstance(found, types.Query):
            raise InvalidLexicon(f"{quote(nsid)} is not a query")
        return found

    def validate(self, ref: str, value: object) -> None:
        """Check ``value`` against the definition called ``ref``. Raises ``InvalidRecord``."""
        _check(self, self.definition(ref), value, "", MAX_DEPTH)

    def validate_record(self, collection: str, rkey: str, record: object) -> None:
        """Check a record, its ``$type`` and its key. Raises ``InvalidRecord``."""
        definition = self.definition(collection)
        if not isinstance(definition, types.Record):
            raise InvalidLexicon(f"{quote(collection)} is not a record")
        _check_key(definition.key, rkey)
        _check(self, definition.record, record, "", MAX_DEPTH)
        found = record.get("$type") if isinstance(record, Mapping) else None
        if found != collection:
            raise InvalidRecord("/$type", f"expected {collection}, got {_shown(found)}")

    def validate_params(self, nsid: str, params: Mapping[str, object]) -> None:
        """Check the parameters of a query. Raises ``InvalidRecord``; unknown ones are ignored."""
        _check_properties(self, self.query(nsid).parameters, params, "", MAX_DEPTH)

    def validate_output(self, nsid: str, body: object) -> None:
        """Check a query's answer (through ``cbor.from_json``). Raises ``InvalidRecord``."""
        output = self.query(nsid).output
        if output is not None and output.schema is not None:
            _check(self, output.schema, body, "", MAX_DEPTH)


@cache
def builtin_catalog() -> Catalog:
    """The lexicons that come with the library: ``atdata/lexicons``."""
    folder = resources.files("atdata") / "lexicons"
    return Catalog.of(Lexicon.parse(json.loads(text)) for text in _documents(folder))


def _documents(folder: Traversable) -> Iterator[str]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _documents(entry)
        elif entry.name.endswith(".json"):
            yield entry.read_text(encoding="utf-8")


# --- checks --------------------------------------------------------------------------------------


def _check(
    catalog: Catalog, definition: types.Definition, value: object, path: str, depth: int
) -> None:
    if depth == 0:
        raise InvalidRecord(path[:200], "nested too deeply")
    match definition:
        case types.String():
            _check_string(definition, value, path)
        case types.Integer():
            _check_integer(definition, value, path)
        case types.Boolean():
            _expect(isinstance(value, bool), "a boolean", value, path)
            _check_choice(definition.const, None, value, path)
        case types.Array():
            _check_array(catalog, definition, value, path, depth)
        case types.Object():
            if not isinstance(value, Mapping):
                raise _unexpected("an object", value, path)
            _check_properties(catalog, definition, value, path, depth)
        case types.Ref():
            _check(catalog, catalog.definition(definition.ref), value, path, depth - 1)
        case types.Union():
            _check_union(catalog, definition, value, path, depth)
        case types.Unknown():
            ok = isinstance(value, Mapping) and value.get("$type") != "blob"
            _expect(ok, "an object that is no blob", value, path)
        case _:
            _check_leaf(definition, value, path)


def _check_leaf(definition: types.Definition, value: object, path: str) -> None:
    match definition:
        case types.Null():
            _expect(value is None, "null", value, path)
        case types.CidLink():
            _expect(isinstance(value, Cid), "a link", value, path)
        case types.Token():
            _expect(value == definition.value, f"the token {definition.value}", value, path)
        case types.Bytes():
            if not isinstance(value, bytes):
                raise _unexpected("bytes", value, path)
            limits = (definition.min_length, definition.max_length)
            _check_size(len(value), *limits, "bytes", path)
        case types.Blob():
            _check_blob(definition, value, path)
        case _:
            raise InvalidLexicon(f"a {type(definition).__name__} does not describe data")


def _check_string(definition: types.String, value: object, path: str) -> None:
    if not isinstance(value, str):
        raise _unexpected("text", value, path)
    size = len(value.encode("utf-8", "surrogatepass"))
    _check_size(size, definition.min_length, definition.max_length, "bytes of text", path)
    least, most = definition.min_graphemes, definition.max_graphemes
    # Graphemes are never more than code points, so most texts need no counting.
    if least is not None or (most is not None and len(value) > most):
        _check_size(graphemes.count(value), least, most, "graphemes", path)
    _check_choice(definition.const, definition.enum, value, path)
    if definition.format is not None:
        _check_format(definition.format, value, path)


def _check_integer(definition: types.Integer, value: object, path: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _unexpected("an integer", value, path)
    if definition.minimum is not None and value < definition.minimum:
        raise InvalidRecord(path, f"must be at least {definition.minimum}, got {_shown(value)}")
    if definition.maximum is not None and value > definition.maximum:
        raise InvalidRecord(path, f"must be at most {definition.maximum}, got {_shown(value)}")
    _check_choice(definition.const, definition.enum, value, path)


def _check_blob(definition: types.Blob, value: object, path: str) -> None:
    if not isinstance(value, Mapping) or value.get("$type") != "blob":
        raise _unexpected("a blob", value, path)
    size, mime_type = value.get("size"), value.get("mimeType")
    _expect(isinstance(value.get("ref"), Cid), "a link", value.get("ref"), f"{path}/ref")
    if not isinstance(mime_type, str):
        raise _unexpected("a media type", mime_type, f"{path}/mimeType")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _unexpected("a size", size, f"{path}/size")
    _check_size(size, None, definition.max_size, "bytes of blob", path)
    if definition.accept and not any(_accepts(own, mime_type) for own in definition.accept):
        wanted = ", ".join(definition.accept)
        raise InvalidRecord(f"{path}/mimeType", f"expected {wanted}, got {quote(mime_type)}")


def _accepts(pattern: str, mime_type: str) -> bool:
    if pattern in {"*/*", mime_type}:
        return True
    return pattern.endswith("/*") and mime_type.startswith(pattern[:-1])


def _check_array(
    catalog: Catalog, definition: types.Array, value: object, path: str, depth: int
) -> None:
    if not isinstance(value, list | tuple):
        raise _unexpected("an array", value, path)
    _check_size(len(value), definition.min_length, definition.max_length, "items", path)
    for index, item in enumerate(value):
        _check(catalog, definition.items, item, f"{path}/{index}", depth - 1)


def _check_properties(
    catalog: Catalog,
    definition: types.Object | types.Params,
    value: Mapping[str, object],
    path: str,
    depth: int,
) -> None:
    """Properties that the definition does not name are allowed: lexicons grow."""
    nullable = definition.nullable if isinstance(definition, types.Object) else ()
    for name in definition.required:
        if name not in value:
            raise InvalidRecord(f"{path}/{name}", "is missing")
    for name, expected in definition.properties.items():
        if name in value and not (value[name] is None and name in nullable):
            _check(catalog, expected, value[name], f"{path}/{name}", depth - 1)


def _check_union(
    catalog: Catalog, definition: types.Union, value: object, path: str, depth: int
) -> None:
    name = value.get("$type") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or not name:
        raise _unexpected("an object with a $type", value, path)
    if name in definition.refs:
        _check(catalog, catalog.definition(name), value, path, depth - 1)
    elif definition.closed:
        raise InvalidRecord(f"{path}/$type", f"{quote(name)} is not in the closed union")


def _check_size(size: int, least: int | None, most: int | None, unit: str, path: str) -> None:
    if least is not None and size < least:
        raise InvalidRecord(path, f"{size} {unit}, at least {least} are needed")
    if most is not None and size > most:
        raise InvalidRecord(path, f"{size} {unit}, at most {most} are allowed")


def _check_choice(const: object, enum: tuple[object, ...] | None, value: object, path: str) -> None:
    if const is not None and value != const:
        raise InvalidRecord(path, f"must be {const!r}, got {_shown(value)}")
    if enum is not None and value not in enum:
        raise InvalidRecord(path, f"{_shown(value)} is not one of the allowed values")


def _check_key(rule: str, rkey: str) -> None:
    try:
        syntax.RecordKey.parse(rkey)
        if rule == "tid":
            syntax.Tid.parse(rkey)
        elif rule == "nsid":
            syntax.Nsid.parse(rkey)
    except InvalidSyntax as error:
        raise InvalidRecord("", f"record key: {error}") from error
    if rule.startswith("literal:") and rkey != rule.removeprefix("literal:"):
        raise InvalidRecord("", f"record key: must be {rule[8:]}, got {quote(rkey)}")


def _check_format(name: str, value: str, path: str) -> None:
    try:
        FORMATS[name](value)
    except InvalidSyntax as error:
        raise InvalidRecord(path, str(error)) from error


def _expect(ok: bool, wanted: str, value: object, path: str) -> None:
    if not ok:
        raise _unexpected(wanted, value, path)


def _unexpected(wanted: str, value: object, path: str) -> InvalidRecord:
    return InvalidRecord(path, f"expected {wanted}, got {_shown(value)}")


def _shown(value: object) -> str:
    """A value for a message: short text and small numbers as they are, otherwise the type."""
    if isinstance(value, str) or value is None:
        return "nothing" if value is None else quote(value)
    if isinstance(value, int) and value.bit_length() <= 64:
        return str(value)
    return f"a value of type {type(value).__name__}"
