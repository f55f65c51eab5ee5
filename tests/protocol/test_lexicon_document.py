"""Lexicon documents: what is read from them, and which are refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol import lexicon_types as types
from atdata.protocol.errors import InvalidLexicon
from atdata.protocol.lexicon import Lexicon


def document(**defs: object) -> dict[str, object]:
    return {"lexicon": 1, "id": "com.example.thing", "defs": defs}


def test_references_are_made_absolute() -> None:
    text = document(
        u={
            "type": "object",
            "properties": {
                "x": {"type": "union", "refs": ["#a", "#main", "a.b.c", "a.b.c#main", "a.b.c#d"]}
            },
        }
    )
    box = Lexicon.parse(text).defs["u"]
    assert isinstance(box, types.Object)
    union = box.properties["x"]
    assert isinstance(union, types.Union)
    assert union.refs == (
        "com.example.thing#a",
        "com.example.thing",
        "a.b.c",
        "a.b.c",
        "a.b.c#d",
    )


QUERY = {"type": "query"}
WRONG_DEFS: dict[str, dict[str, object]] = {
    "nothing": {},
    "not an object": {"a": 1},
    "no type": {"a": {}},
    "type unknown to us": {"a": {"type": "float"}},
    "type is a list": {"a": {"type": ["object"]}},
    "union alone": {"a": {"type": "union", "refs": ["#b"]}},
    "params alone": {"a": {"type": "params"}},
    "permission alone": {"a": {"type": "permission", "resource": "repo"}},
    "name with a dash": {"a-b": {"type": "null"}},
    "limits crossed": {"a": {"type": "string", "minLength": 2, "maxLength": 1}},
    "negative limit": {"a": {"type": "bytes", "maxLength": -1}},
    "limit is a boolean": {"a": {"type": "bytes", "maxLength": True}},
    "enum of the wrong type": {"a": {"type": "integer", "enum": ["a"]}},
    "enum of booleans": {"a": {"type": "integer", "enum": [True]}},
    "unknown format": {"a": {"type": "string", "format": "email"}},
    "array of nothing": {"a": {"type": "array"}},
    "required is not defined": {"a": {"type": "object", "required": ["x"]}},
    "reference to no NSID": {"a": {"type": "array", "items": {"type": "ref", "ref": "x#y"}}},
    "reference to no name": {"a": {"type": "array", "items": {"type": "ref", "ref": "#"}}},
    "closed union of nothing": {
        "a": {"type": "array", "items": {"type": "union", "refs": [], "closed": True}}
    },
    "record without a key": {"main": {"type": "record", "record": {"type": "object"}}},
    "record with a wrong key": {
        "main": {"type": "record", "key": "self", "record": {"type": "object"}}
    },
    "record with a wrong literal": {
        "main": {"type": "record", "key": "literal:a/b", "record": {"type": "object"}}
    },
    "record that is no object": {
        "main": {"type": "record", "key": "tid", "record": {"type": "null"}}
    },
    "parameters that are no params": {"main": {**QUERY, "parameters": {"type": "object"}}},
    "parameter that is an object": {
        "main": {
            **QUERY,
            "parameters": {"type": "params", "properties": {"x": {"type": "object"}}},
        }
    },
    "output without an encoding": {"main": {**QUERY, "output": {}}},
    "output that is a string": {
        "main": {**QUERY, "output": {"encoding": "a/b", "schema": {"type": "string"}}}
    },
    "error without a name": {"main": {**QUERY, "errors": [{}]}},
    "message that is no union": {
        "main": {"type": "subscription", "message": {"schema": {"type": "object"}}}
    },
    "permission set of nothing": {"main": {"type": "permission-set", "permissions": []}},
    "permission without a resource": {
        "main": {"type": "permission-set", "permissions": [{"type": "permission"}]}
    },
    "permission of another type": {
        "main": {"type": "permission-set", "permissions": [{"type": "p", "resource": "x"}]}
    },
}


@pytest.mark.parametrize("defs", WRONG_DEFS.values(), ids=WRONG_DEFS.keys())
def test_wrong_documents_are_refused(defs: dict[str, object]) -> None:
    with pytest.raises(InvalidLexicon) as caught:
        Lexicon.parse(document(**defs))
    assert " at /defs" in str(caught.value)


def test_documents_nested_without_end_are_refused() -> None:
    definition: dict[str, object] = {"type": "null"}
    for _ in range(10_000):
        definition = {"type": "array", "items": definition}
    with pytest.raises(InvalidLexicon, match="nested"):
        Lexicon.parse(document(a=definition))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
ATTRIBUTES = """
    type items properties required nullable refs ref closed key record parameters output schema
    encoding errors message permissions enum maxLength minLength format const default
"""
KINDS = """
    null boolean integer string bytes cid-link blob array object token ref union unknown record
    query procedure subscription permission-set
"""
attributes = st.sampled_from(ATTRIBUTES.split())
names = st.sampled_from(KINDS.split())
definitions: st.SearchStrategy[Any] = st.deferred(
    lambda: st.builds(
        lambda kind, rest: {**rest, "type": kind},
        names,
        st.dictionaries(attributes, json_values | definitions | names, max_size=4),
    )
)


@given(json_values | st.builds(document, main=definitions, x=definitions))
def test_any_document_is_parsed_or_refused(value: object) -> None:
    with contextlib.suppress(InvalidLexicon):
        Lexicon.parse(value)
