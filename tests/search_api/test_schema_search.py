"""Schemas by words, by their fields, by what a type needs; and their versions."""

from __future__ import annotations

import numpy as np
import pytest

from atdata.protocol.errors import InvalidSyntax
from search_api.field_terms import FieldTerm, dtypes_read_as
from search_api.schema_search import SchemaQuestion, _conditions
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service


def names(service: Service, **params: object) -> list[str]:
    return [view["name"] for view in service.get("searchSchemas", **params)["schemas"]]


def test_the_whole_name_comes_first_then_its_beginning_then_words_anywhere(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    index.schema(did, "Image")
    index.schema(did, "ImageSet")
    index.schema(did, "BigImage")
    index.schema(did, "Photo", fields=[("image", "ndarray")])
    index.schema(did, "Sound", fields=[("wave", "ndarray")], description="No IMAGE at all")
    index.schema(did, "Text", fields=[("words", "str")])
    assert names(service, q="image") == ["Image", "ImageSet", "BigImage", "Sound", "Photo"]
    assert names(service, q="image photo") == ["Photo"]
    assert names(service, author="nobody.test") == []
    paged = service.every("searchSchemas", "schemas", q="image", limit=2)
    assert [view["name"] for view in paged] == names(service, q="image")


def test_eight_different_words_count_and_no_word_and_no_field_twice(
    index: IndexBuilder, service: Service
) -> None:
    words = "one two three four five six seven eight"
    index.schema(index.account("alice"), "Counted", description=words)
    assert names(service, q=f"{words} nine") == ["Counted"]
    assert names(service, q=words.replace("two", "nine")) == []
    once, often = (
        _conditions(
            SchemaQuestion("one" + " ONE" * more, fields=(FieldTerm("image"),) * (1 + more))
        )
        for more in (0, 19)
    )
    assert once == often


def test_by_fields(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    index.schema(did, "Photo", fields=[("image", "ndarray"), ("label", "str")])
    index.schema(did, "File", fields=[("image", "bytes"), ("label", "int")])
    index.connection.execute("UPDATE schema_fields SET optional = true WHERE kind = 'int'")
    assert names(service, fields="image") == ["File", "Photo"]
    assert names(service, fields="image:ndarray") == ["Photo"]
    assert names(service, fields="image:ndarray:float32") == ["Photo"]
    assert names(service, fields="image:ndarray:uint8") == []
    assert names(service, fields="*:bytes") == ["File"]
    assert names(service, fields="label?") == ["File"]
    assert names(service, fields="label!") == ["Photo"]
    assert names(service, fields=["image", "label:str"]) == ["Photo"]


def test_any_name_can_be_asked_for(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    odd = ("x:y", "why?", "a\\b", "*", "m:n:str", "plain")
    for number, name in enumerate(odd):
        index.schema(did, f"S{number}", fields=[(name, "str")])
    for number, term in enumerate((r"x\:y", r"why\?", r"a\\b", r"\*", r"m\:n\:str", r"\plain")):
        assert names(service, fields=term) == [f"S{number}"], term
        assert names(service, fields=f"{term}:str!") == [f"S{number}"], term
        assert names(service, needs=f"{term}:str") == [f"S{number}"], term
        assert names(service, fields=f"{term}:int") == []
    assert len(names(service, fields="*:str")) == len(odd)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("a", FieldTerm("a")),
        (" a : str ?", FieldTerm("a", "str", None, True)),
        ("what?now!", FieldTerm("what?now", None, None, False)),
        ("a?:str", FieldTerm("a?", "str")),
        ("a:*:", FieldTerm("a")),
        ("a:ndarray:<U3", FieldTerm("a", "ndarray", "<U3")),
        ("a:array:at://did:plc:x/y/z!", FieldTerm("a", "array", "at://did:plc:x/y/z", False)),
    ],
)
def test_a_field_is_a_name_a_kind_and_what_it_holds(text: str, term: FieldTerm) -> None:
    assert FieldTerm.parse(text) == term


def test_what_can_be_read_as_a_type(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    whole = index.schema(did, "Whole", fields=[("score", "int"), ("image", "ndarray")])
    index.schema(did, "Bare", fields=[("image", "ndarray")])
    index.schema(did, "Maybe", fields=[("score", "int"), ("image", "ndarray")])
    index.connection.execute(
        "UPDATE schema_fields SET optional = true WHERE name = 'score' AND doc = "
        "(SELECT doc FROM schemas WHERE name = 'Maybe')"
    )
    wanted = "image:ndarray:float64"
    assert names(service, needs=wanted) == ["Maybe", "Bare", "Whole"]
    assert names(service, needs="image:ndarray:uint8") == []
    assert names(service, needs=[wanted, "score:float"]) == ["Whole"]
    assert names(service, needs=[wanted, "score:float?"]) == ["Maybe", "Bare", "Whole"]
    assert names(service, needs=[wanted, "score:str?"]) == ["Bare"]
    assert names(service, compatible=whole) == ["Whole"]
    missing = whole.replace("whole", "missing")
    assert service.error("searchSchemas", compatible=missing)[:2] == (404, "SchemaNotFound")


def test_lists_can_be_read_as_their_items_can(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    uris = {}
    for name, items in (
        ("Ints", "int"),
        ("Floats", "float"),
        ("Texts", "str"),
        ("DeepInts", "list[list[int]]"),
        ("DeepFloats", "list[list[float]]"),
    ):
        uris[name] = index.schema(did, name, fields=[("values", "array")])
        index.connection.execute("UPDATE schema_fields SET items = ? WHERE items IS NULL", [items])
    assert names(service, compatible=uris["Floats"]) == ["Floats", "Ints"]
    assert names(service, compatible=uris["Ints"]) == ["Ints"]
    assert names(service, compatible=uris["Texts"]) == ["Texts"]
    assert names(service, compatible=uris["DeepFloats"]) == ["DeepFloats", "DeepInts"]
    assert names(service, needs="values:array:float") == ["Floats", "Ints"]
    assert names(service, needs="values:array:list[float") == []
    assert names(service, fields="values:array:float") == ["Floats"]


def test_schemas_of_hidden_accounts_are_not_found(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    uri = index.schema(did, "Photo")
    index.set_active(did, False)
    assert names(service, q="photo") == names(service, fields="image") == []
    assert service.error("listSchemaVersions", uri=uri)[:2] == (404, "SchemaNotFound")


@pytest.mark.parametrize("text", ["", ":str", "a:b", "a:str:x", "a?!", "a" * 301, "?", "a\\"])
def test_a_field_that_cannot_be_read_is_refused(service: Service, text: str) -> None:
    with pytest.raises(InvalidSyntax):
        FieldTerm.parse(text)
    assert service.error("searchSchemas", fields=text)[:2] == (400, "InvalidRequest")


def test_dtypes_widen_as_numpy_says() -> None:
    every = dtypes_read_as("complex128")
    assert len(every) == 14
    for want in every:
        for have in every:
            fits = np.can_cast(have, want, "safe")
            if {np.dtype(have).kind, np.dtype(want).kind} <= {"f", "c"}:
                fits = np.can_cast(have, want, "same_kind")
            assert (have in dtypes_read_as(want)) == fits, (have, want)
    assert dtypes_read_as("<U3") == ("<U3",)


def test_versions_are_in_the_order_of_semver(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    for version in ("1.9.0", "2.0.0-rc.1", "1.10.0"):
        uri = index.schema(did, "Image", version=version)
    index.schema(index.account("bob"), "Image", version="9.0.0", rkey="other.image:9.0.0")
    answer = service.get("listSchemaVersions", schemaId="test.image")
    expected = [("2.0.0-rc.1", True), ("1.10.0", False), ("1.9.0", False)]
    assert [(one["version"], one["prerelease"]) for one in answer["versions"]] == expected
    assert service.get("listSchemaVersions", uri=uri) == answer
    assert service.error("listSchemaVersions")[:2] == (400, "InvalidRequest")
    assert service.error("listSchemaVersions", schemaId="x")[:2] == (404, "SchemaNotFound")


def test_the_latest_schema_may_leave_pre_releases_out(
    index: IndexBuilder, service: Service
) -> None:
    did = index.account("alice")
    index.schema(did, "Image", version="2.0.0-rc.1")

    def latest(**params: str) -> str:
        found = service.get("getLatestSchema", schemaId="test.image", **params)
        return str(found["version"])

    assert latest(prereleases="false") == "2.0.0-rc.1"
    index.schema(did, "Image", version="1.0.0")
    assert latest() == "2.0.0-rc.1"
    assert latest(prereleases="false") == "1.0.0"


def test_datasets_by_schema(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    one, other = index.schema(did, "One"), index.schema(did, "Other")
    index.dataset(did, "Corals", one)
    index.dataset(did, "Birds", other)
    assert service.names(schema=one) == ["Corals"]
