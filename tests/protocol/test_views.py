"""The views and the lexicons say the same: names, types, what is required; and the JSON codec."""

from __future__ import annotations

import dataclasses
import types as python
import typing
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atdata.protocol import lexicon_types as types
from atdata.protocol import status_views, views
from atdata.protocol.errors import InvalidRecord
from atdata.protocol.lexicon import builtin_catalog

NS = "ac.foundation.dataset"
CATALOG = builtin_catalog()
ANSWERS: dict[str, type] = {
    "searchDatasets": views.DatasetPage,
    "getDataset": views.DatasetDetail,
    "listSchemas": views.SchemaPage,
    "getSchema": views.SchemaDetail,
    "findLenses": views.LensPage,
    "listTags": views.TagPage,
    "listLicenses": views.LicensePage,
    "getIndexStatus": status_views.IndexStatus,
    "getLatestSchema": views.LatestSchema,
}
CLASSES: dict[str, type] = {
    name: cls
    for module in (views, status_views)
    for name, cls in vars(module).items()
    if isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__
}
# A lexicon's array cannot mix integers and nulls: described there in prose.
UNDECLARED = {(views.FieldView, "shape")}
EXAMPLES = {
    None: "text",
    "at-uri": "at://did:plc:abc123/ac.foundation.dataset.record/3kabc",
    "cid": "bafyreiebfojbltjpbz7kihzsvbawqa66fph25ulmioxficx4mwrbri62by",
    "did": "did:plc:abc123",
    "handle": "alice.example.com",
    "datetime": "2026-01-01T00:00:00.000Z",
}


def output(name: str) -> types.Object:
    """The object that a query answers with."""
    body = CATALOG.query(f"{NS}.{name}").output
    assert body is not None
    schema = body.schema
    if isinstance(schema, types.Ref):
        schema = typing.cast("types.Object", CATALOG.definition(schema.ref))
    assert isinstance(schema, types.Object)
    return schema


def pairs() -> dict[str, tuple[types.Object, type]]:
    """Each definition that the API answers with, and the class that stands for it."""
    found = {name: (output(name), cls) for name, cls in ANSWERS.items()}
    for name, definition in CATALOG.definitions.items():
        if name.startswith(f"{NS}.defs#"):
            assert isinstance(definition, types.Object)
            view = name.rpartition("#")[2]
            found[view] = (definition, CLASSES[view[0].upper() + view[1:]])
    return found


PAIRS = pairs()


def assert_same_type(definition: types.Definition, hint: Any) -> None:
    if typing.get_origin(hint) in {python.UnionType, typing.Union}:
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not python.NoneType)
    match definition:
        case types.String():
            assert hint is str
        case types.Integer():
            assert hint is int
        case types.Boolean():
            assert hint is bool
        case types.Unknown():
            assert typing.get_origin(hint) is Mapping
        case types.Array(items=items):
            assert typing.get_origin(hint) is tuple
            assert_same_type(items, typing.get_args(hint)[0])
        case types.Ref(ref=ref):
            assert PAIRS[ref.rpartition("#")[2]][1] is hint
        case _:
            pytest.fail(f"{definition} has no counterpart")


def test_every_view_has_a_definition() -> None:
    assert {cls for _, cls in PAIRS.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", PAIRS)
def test_view_and_lexicon_are_the_same(name: str) -> None:
    definition, cls = PAIRS[name]
    hints = typing.get_type_hints(cls)
    members = [f for f in dataclasses.fields(cls) if (cls, f.name) not in UNDECLARED]
    required = [
        views.camel(f.name)
        for f in members
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    assert {views.camel(f.name) for f in members} == set(definition.properties)
    assert set(required) == set(definition.required)
    for f in members:
        assert_same_type(definition.properties[views.camel(f.name)], hints[f.name])


def example(definition: types.Definition, full: bool) -> Any:
    """A valid value, with all optional members or with none."""
    match definition:
        case types.String():
            return EXAMPLES[definition.format]
        case types.Integer():
            return 7
        case types.Boolean():
            return True
        case types.Unknown():
            return {"$type": "com.example.any", "n": [1, None]}
        case types.Array():
            return [example(definition.items, full)]
        case types.Ref():
            return example(CATALOG.definition(definition.ref), full)
        case types.Object():
            names = definition.properties if full else definition.required
            return {name: example(definition.properties[name], full) for name in names}
    raise AssertionError(definition)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_full_answer_survives_both_ways(name: str) -> None:
    body = example(output(name), full=True)
    CATALOG.validate_output(f"{NS}.{name}", body)
    assert views.to_json(views.from_json(ANSWERS[name], body)) == body


@pytest.mark.parametrize("name", ANSWERS)
def test_a_bare_answer_is_valid_both_ways(name: str) -> None:
    body = example(output(name), full=False)
    CATALOG.validate_output(f"{NS}.{name}", body)
    view: Any = views.from_json(ANSWERS[name], body)
    CATALOG.validate_output(f"{NS}.{name}", views.to_json(view))
    assert views.from_json(ANSWERS[name], views.to_json(view)) == view


def test_absent_members_are_left_out_and_nulls_inside_arrays_stay() -> None:
    view = views.FieldView("image", "ndarray", False, "float32", (None, 3))
    body = {"name": "image", "kind": "ndarray", "optional": False, "dtype": "float32"}
    assert views.to_json(view) == {**body, "shape": [None, 3]}
    assert views.from_json(views.FieldView, {**body, "shape": [None, 3]}) == view


def test_members_of_later_versions_are_ignored() -> None:
    body = {"tag": "vision", "count": 3, "trend": "up"}
    assert views.from_json(views.TagCount, body) == views.TagCount("vision", 3)


def test_null_is_the_same_as_absent() -> None:
    body: dict[str, Any] = {"tags": [], "cursor": None}
    assert views.from_json(views.TagPage, body) == views.TagPage(())
    body = {"sources": None, "counts": None}
    with pytest.raises(InvalidRecord, match="is missing"):
        views.from_json(status_views.IndexStatus, body)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({}, "/tags"),
        ({"tags": {}}, "/tags"),
        ({"tags": [{"tag": "a"}]}, "/tags/0/count"),
        ({"tags": [{"tag": "a", "count": True}]}, "/tags/0/count"),
        ({"tags": [{"tag": "a", "count": 1.0}]}, "/tags/0/count"),
        ({"tags": [{"tag": 1, "count": 1}]}, "/tags/0/tag"),
        ({"tags": [None]}, "/tags/0"),
        ({"tags": [], "cursor": 5}, "/cursor"),
    ],
)
def test_wrong_answers_are_refused_with_their_path(body: object, path: str) -> None:
    with pytest.raises(InvalidRecord) as caught:
        views.from_json(views.TagPage, body)
    assert caught.value.path == path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["datasets", "hitsTotal", "cursor", "uri", "tags", "size"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(ANSWERS)), json_values)
def test_any_answer_is_read_or_refused(name: str, body: object) -> None:
    try:
        view: Any = views.from_json(ANSWERS[name], body)
    except InvalidRecord:
        return
    assert isinstance(view, ANSWERS[name])
