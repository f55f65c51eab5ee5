"""Schema records: ``sampleSchema`` and ``schema``, in every body that writers have used.

Three generations: ``fields[]`` alone; a flat JSON Schema in ``schema``; the same one level deeper.
We write the first two into one record. Where both are present ``fields[]`` wins: an array keeps the
order of the fields, which the map of the JSON Schema loses on its way through DAG-CBOR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atdata.protocol.body import Body, array, text
from atdata.protocol.errors import InvalidRecord, InvalidSyntax, quote
from atdata.protocol.field_types import (
    read_field_type,
    read_property,
    with_choices,
    write_field_type,
    write_property,
)
from atdata.protocol.models import Field, FieldType, SchemaRecord
from atdata.protocol.namespaces import SCHEMA_COLLECTION
from atdata.protocol.versions import MAX_VERSION, semver_key

MAX_NAME = 100
MAX_DESCRIPTION = 5_000
MAX_LICENSE = 200
MAX_FIELDS = 1_000
MAX_FIELD_NAME = 200

JSON_SCHEMA = "http://json-schema.org/draft-07/schema#"


def read_schema(body: Body) -> SchemaRecord:
    """A schema of any generation."""
    metadata = body.plain("metadata") or {}
    known = Body(metadata, body.at("metadata"))
    return SchemaRecord(
        name=body.text("name", MAX_NAME),
        version=_version(body),
        fields=_read_fields(body),
        created_at=body.datetime_text("createdAt"),
        description=body.maybe_text("description", MAX_DESCRIPTION),
        license=known.maybe_text("license", MAX_LICENSE),
        tags=known.tags(),
        metadata={name: metadata[name] for name in metadata if name not in {"license", "tags"}},
    )


def write_schema(record: SchemaRecord) -> dict[str, Any]:
    """Both forms in one body, valid under the lexicon and readable by every generation."""
    metadata: dict[str, Any] = dict(record.metadata)
    if record.license is not None:
        metadata["license"] = record.license
    if record.tags:
        metadata["tags"] = list(record.tags)
    body = {
        "$type": SCHEMA_COLLECTION,
        "name": record.name,
        "version": record.version,
        "fields": [_write_field(field) for field in record.fields],
        "schemaType": "jsonSchema",
        "schema": _write_json_schema(record.fields),
        "description": record.description,
        "metadata": metadata or None,
        "createdAt": record.created_at,
    }
    return {name: value for name, value in body.items() if value is not None}


def _version(body: Body) -> str:
    version = body.text("version", MAX_VERSION)
    try:
        semver_key(version)
    except InvalidSyntax as error:
        raise InvalidRecord(body.at("version"), str(error)) from error
    return version


def _read_fields(body: Body) -> tuple[Field, ...]:
    if body.members.get("fields"):
        fields = tuple(
            _read_field(Body.of(item, path)) for item, path in body.items("fields", 1, MAX_FIELDS)
        )
        names = [field.name for field in fields]
        if len(set(names)) < len(names):
            raise InvalidRecord(body.at("fields"), "two fields have the same name")
        beside = _types_beside(body)
        return tuple(
            replace(field, type=with_choices(field.type, beside.get(field.name)))
            for field in fields
        )
    return _read_json_schema(_innermost(body.child("schema")))


def _types_beside(body: Body) -> dict[str, FieldType]:
    """What the JSON Schema beside ``fields[]`` says. It is not what the record is held to."""
    try:
        fields = _read_json_schema(_innermost(body.child("schema")))
    except InvalidRecord:
        return {}
    return {field.name: field.type for field in fields}


def _read_field(body: Body) -> Field:
    return Field(
        name=body.text("name", MAX_FIELD_NAME),
        type=read_field_type(body.value("fieldType"), body.at("fieldType")),
        optional=body.flag("optional"),
        description=body.maybe_text("description", MAX_DESCRIPTION),
    )


def _write_field(field: Field) -> dict[str, Any]:
    body = {
        "name": field.name,
        "fieldType": write_field_type(field.type),
        "optional": field.optional,
        "description": field.description,
    }
    return {name: value for name, value in body.items() if value is not None}


def _innermost(schema: Body) -> Body:
    """The JSON Schema itself: flat, or under ``content`` or ``schemaBody``."""
    if schema.has("properties"):
        return schema
    for name in ("content", "schemaBody"):
        if schema.has(name):
            return schema.child(name)
    return schema


def _read_json_schema(schema: Body) -> tuple[Field, ...]:
    properties = schema.child("properties")
    if not 1 <= len(properties.members) <= MAX_FIELDS:
        raise InvalidRecord(properties.path, f"expected 1 to {MAX_FIELDS} properties")
    required = _required(schema)
    return tuple(_read_named(name, properties, required) for name in properties.members)


def _required(schema: Body) -> frozenset[str]:
    if not schema.has("required"):
        return frozenset()
    path = schema.at("required")
    names = array(schema.value("required"), path, 0, MAX_FIELDS)
    return frozenset(text(name, path, MAX_FIELD_NAME) for name in names)


def _read_named(name: object, properties: Body, required: frozenset[str]) -> Field:
    key = text(name, properties.path, MAX_FIELD_NAME)
    path = properties.at(quote(key, 40))
    value = properties.members[key]
    kind, nullable = read_property(value, path)
    described = Body(value, path) if isinstance(value, Mapping) else Body({}, path)
    return Field(
        name=key,
        type=kind,
        optional=nullable or key not in required,
        description=described.maybe_text("description", MAX_DESCRIPTION),
    )


def _write_json_schema(fields: tuple[Field, ...]) -> dict[str, Any]:
    properties = {field.name: write_property(field.type) for field in fields}
    for field in fields:
        if field.description is not None:
            properties[field.name]["description"] = field.description
    return {
        "$type": f"{SCHEMA_COLLECTION}#jsonSchemaFormat",
        "$schema": JSON_SCHEMA,
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields if not field.optional],
        "arrayFormatVersions": {"ndarrayBytes": "1.0.0"},
    }
