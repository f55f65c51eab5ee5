"""Lexicons: what a document may say, what data must be, and where an error points."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import pytest

from atdata.protocol import lexicon_types as types
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import InvalidLexicon, InvalidRecord
from atdata.protocol.lexicon import Catalog, Lexicon, builtin_catalog

BLOB = {"$type": "blob", "ref": Cid.of(b"", RAW), "mimeType": "image/png", "size": 3}


def document(**defs: object) -> dict[str, object]:
    return {"lexicon": 1, "id": "com.example.thing", "defs": defs}


def catalog(**defs: object) -> Catalog:
    return Catalog.of([Lexicon.parse(document(**defs))])


def refusal(definition: Mapping[str, object], value: object) -> InvalidRecord:
    """How ``value`` is refused as the property ``x`` of an object."""
    box = {"type": "object", "properties": {"x": definition}}
    with pytest.raises(InvalidRecord) as caught:
        catalog(box=box).validate("com.example.thing#box", {"x": value})
    return caught.value


def accept(definition: Mapping[str, object], value: object) -> None:
    box = {"type": "object", "properties": {"x": definition}}
    catalog(box=box).validate("com.example.thing#box", {"x": value})


# --- data -------------------------------------------------------------------------------------

ACCEPTED: list[tuple[dict[str, object], object]] = [
    ({"type": "null"}, None),
    ({"type": "boolean", "const": True}, True),
    ({"type": "integer", "minimum": 1, "maximum": 1}, 1),
    ({"type": "string", "maxLength": 2}, "é"),
    ({"type": "string", "maxGraphemes": 1}, "👨‍👩‍👧‍👧"),
    ({"type": "string", "enum": ["a"]}, "a"),
    ({"type": "string", "knownValues": ["a"]}, "something else"),
    ({"type": "string", "format": "at-uri"}, "at://did:plc:abc/a.b.c/d"),
    ({"type": "bytes", "maxLength": 2}, b"ab"),
    ({"type": "cid-link"}, Cid.of(b"")),
    ({"type": "blob", "accept": ["image/*"], "maxSize": 3}, BLOB),
    ({"type": "blob", "accept": ["*/*"]}, BLOB),
    ({"type": "blob", "accept": ["text/plain", "image/png"]}, BLOB),
    ({"type": "array", "items": {"type": "integer"}, "maxLength": 1}, [1]),
    ({"type": "array", "items": {"type": "integer"}}, ()),
    ({"type": "unknown"}, {"anything": [1]}),
]
REFUSED: list[tuple[dict[str, object], object, str]] = [
    ({"type": "null"}, 0, "expected null"),
    ({"type": "boolean"}, 1, "expected a boolean"),
    ({"type": "boolean", "const": True}, False, "must be True"),
    ({"type": "integer"}, True, "expected an integer"),
    ({"type": "integer", "minimum": 1}, 0, "at least 1"),
    ({"type": "integer", "maximum": 1}, 2, "at most 1"),
    ({"type": "string"}, b"a", "expected text"),
    ({"type": "string", "maxLength": 1}, "é", "2 bytes"),
    ({"type": "string", "maxGraphemes": 1}, "ab", "2 graphemes"),
    ({"type": "string", "minGraphemes": 2}, "👨‍👩‍👧‍👧", "1 graphemes"),
    ({"type": "string", "const": "a"}, "b", "must be 'a'"),
    ({"type": "string", "format": "at-uri"}, "https://a.b", "not a valid AT URI"),
    ({"type": "string", "format": "language"}, "not_a_language", "not a valid language tag"),
    ({"type": "bytes"}, "YQ", "expected bytes"),
    ({"type": "cid-link"}, str(Cid.of(b"")), "expected a link"),
    ({"type": "blob"}, {**BLOB, "ref": str(BLOB["ref"])}, "expected a link"),
    ({"type": "blob"}, {**BLOB, "size": True}, "expected a size"),
    ({"type": "blob"}, {**BLOB, "size": -1}, "expected a size"),
    ({"type": "blob"}, {**BLOB, "mimeType": None}, "expected a media type"),
    ({"type": "blob", "maxSize": 2}, BLOB, "3 bytes of blob, at most 2"),
    ({"type": "blob", "accept": ["image/jpeg", "imag*"]}, BLOB, "got 'image/png'"),
    ({"type": "array", "items": {"type": "integer"}}, "12", "expected an array"),
    ({"type": "unknown"}, BLOB, "no blob"),
    ({"type": "unknown"}, [1], "expected an object"),
    ({"type": "ref", "ref": "#box"}, [1], "expected an object"),
    ({"type": "union", "refs": ["#box"]}, {"$type": ""}, "with a $type"),
    ({"type": "union", "refs": []}, {"$type": 1}, "with a $type"),
]


@pytest.mark.parametrize(("definition", "value"), ACCEPTED)
def test_accepted(definition: Mapping[str, object], value: object) -> None:
    accept(definition, value)


@pytest.mark.parametrize(("definition", "value", "why"), REFUSED)
def test_refused(definition: dict[str, object], value: object, why: str) -> None:
    error = refusal(definition, value)
    assert why in error.why
    assert error.path.startswith("/x")


def test_the_path_leads_to_the_fault() -> None:
    items = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    error = refusal({"type": "array", "items": items}, [{"a": 1}, {}])
    assert error.path == "/x/1/a"


def test_properties_without_a_definition_are_allowed() -> None:
    accept({"type": "object", "properties": {}}, {"new": 1})


def test_null_only_where_it_is_allowed() -> None:
    properties = {"a": {"type": "integer"}}
    nullable = {
        "type": "object",
        "required": ["a"],
        "nullable": ["a"],
        "properties": properties,
    }
    accept(nullable, {"a": None})
    assert refusal(nullable, {}).path == "/x/a"
    assert refusal({"type": "object", "properties": properties}, {"a": None}).path == "/x/a"


def test_a_token_is_its_own_full_name() -> None:
    things = catalog(
        red={"type": "token"},
        paint={"type": "object", "properties": {"x": {"type": "ref", "ref": "#red"}}},
    )
    things.validate("com.example.thing#paint", {"x": "com.example.thing#red"})
    with pytest.raises(InvalidRecord, match="token"):
        things.validate("com.example.thing#paint", {"x": "#red"})


def test_unions_open_and_closed() -> None:
    number = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    for closed in (False, True):
        union = {"type": "union", "refs": ["#number"], "closed": closed}
        things = catalog(number=number, box={"type": "object", "properties": {"x": union}}).validate
        things("com.example.thing#box", {"x": {"$type": "com.example.thing#number", "n": 1}})
        with pytest.raises(InvalidRecord, match="/x/n"):
            things("com.example.thing#box", {"x": {"$type": "com.example.thing#number"}})
        stranger = {"x": {"$type": "com.example.other"}}
        if closed:
            with pytest.raises(InvalidRecord, match="closed"):
                things("com.example.thing#box", stranger)
        else:
            things("com.example.thing#box", stranger)


def test_data_nested_without_end_is_refused() -> None:
    things = catalog(
        node={"type": "object", "properties": {"next": {"type": "ref", "ref": "#node"}}}
    )
    value: dict[str, object] = {}
    for _ in range(60):
        value = {"next": value}
    things.validate("com.example.thing#node", value)
    for _ in range(100_000):
        value = {"next": value}
    with pytest.raises(InvalidRecord, match="nested"):
        things.validate("com.example.thing#node", value)


# --- records and queries ------------------------------------------------------------------------


def a_record(key: str) -> Catalog:
    return catalog(
        main={"type": "record", "key": key, "record": {"type": "object", "properties": {}}}
    )


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("any", "anything~goes", "not/this"),
        ("tid", "3jzfcijpj2z2a", "3jzfcijpj2z2"),
        ("nsid", "com.example.name", "name"),
        ("literal:self", "self", "other"),
    ],
)
def test_record_keys(key: str, good: str, bad: str) -> None:
    body = {"$type": "com.example.thing"}
    a_record(key).validate_record("com.example.thing", good, body)
    with pytest.raises(InvalidRecord, match="record key"):
        a_record(key).validate_record("com.example.thing", bad, body)


@pytest.mark.parametrize("body", [{}, {"$type": "com.example.other"}, {"$type": None}])
def test_a_record_says_its_own_type(body: dict[str, object]) -> None:
    with pytest.raises(InvalidRecord, match=r"\$type"):
        a_record("any").validate_record("com.example.thing", "key", body)


def a_query() -> Catalog:
    limit = {"type": "integer", "minimum": 1, "maximum": 100, "default": 25}
    names = {"type": "array", "items": {"type": "string"}}
    output = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    return catalog(
        main={
            "type": "query",
            "parameters": {
                "type": "params",
                "required": ["names"],
                "properties": {"limit": limit, "names": names},
            },
            "output": {"encoding": "application/json", "schema": output},
            "errors": [{"name": "NoSuchThing", "description": "…"}],
        }
    )


def test_parameters_and_answer_of_a_query() -> None:
    things = a_query()
    things.validate_params("com.example.thing", {"names": ["a"], "limit": 100, "more": 1})
    things.validate_output("com.example.thing", {"n": 1})
    with pytest.raises(InvalidRecord, match="/names: is missing"):
        things.validate_params("com.example.thing", {})
    with pytest.raises(InvalidRecord, match="/limit"):
        things.validate_params("com.example.thing", {"names": [], "limit": 101})
    with pytest.raises(InvalidRecord, match="/n: is missing"):
        things.validate_output("com.example.thing", {})


def test_a_query_can_be_read_back() -> None:
    query = a_query().query("com.example.thing")
    assert query.errors[0].name == "NoSuchThing"
    limit = query.parameters.properties["limit"]
    assert isinstance(limit, types.Integer)
    assert (limit.minimum, limit.maximum, limit.default) == (1, 100, 25)


def test_what_no_lexicon_defines_is_our_fault() -> None:
    things = a_query()
    for wrong in ("com.example.missing", "com.example.thing#missing"):
        with pytest.raises(InvalidLexicon, match="no lexicon defines"):
            things.validate(wrong, {})
    with pytest.raises(InvalidLexicon, match="not a record"):
        things.validate_record("com.example.thing", "key", {})
    with pytest.raises(InvalidLexicon, match="not a query"):
        a_record("any").query("com.example.thing")
    with pytest.raises(InvalidLexicon, match="does not describe data"):
        things.validate("com.example.thing", {})


def test_two_documents_of_one_name() -> None:
    one = Lexicon.parse(document(a={"type": "null"}))
    with pytest.raises(InvalidLexicon, match="two lexicons"):
        Catalog.of([one, one])


# --- the lexicons that come with the library ------------------------------------------------------


def references(definition: object) -> Iterator[str]:
    """Every reference inside a definition."""
    if isinstance(definition, types.Ref):
        yield definition.ref
    elif isinstance(definition, types.Union):
        yield from definition.refs
    elif dataclasses.is_dataclass(definition):
        for field in dataclasses.fields(definition):
            yield from references(getattr(definition, field.name))
    elif isinstance(definition, dict):
        for item in definition.values():
            yield from references(item)


def test_every_reference_of_the_builtin_lexicons_leads_somewhere() -> None:
    builtin = builtin_catalog()
    found = {ref for definition in builtin.definitions.values() for ref in references(definition)}
    assert found
    assert found - set(builtin.definitions) == set()


def test_builtin_lexicons_have_the_records_and_a_query() -> None:
    builtin = builtin_catalog()
    for collection in ("sampleSchema", "record", "lens"):
        definition = builtin.definition(f"ac.foundation.dataset.{collection}")
        assert isinstance(definition, types.Record)
    assert builtin.query("ac.foundation.dataset.getLatestSchema").parameters.required
