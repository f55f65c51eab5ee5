"""Lexicon documents and record data against the protocol's own cases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atdata.protocol import cbor
from atdata.protocol.errors import InvalidLexicon, InvalidRecord
from atdata.protocol.lexicon import Catalog, Lexicon
from tests.protocol.interop_fixtures import INTEROP, cases, needs_interop

pytestmark = needs_interop("lexicons and record validation")

COLLECTION = "example.lexicon.record"
FILES = {"permission-set", "procedure", "query", "record", "subscription"}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    paths = sorted((INTEROP / "lexicon" / "catalog").iterdir())
    assert {path.stem for path in paths} == FILES
    return Catalog.of(Lexicon.parse(json.loads(path.read_text())) for path in paths)


def refused_at(catalog: Catalog, rkey: str, data: Any) -> str | None:
    """The path at which a record is refused; None for a valid one."""
    try:
        catalog.validate_record(COLLECTION, rkey, cbor.from_json(data))
    except InvalidRecord as error:
        return error.path
    return None


def test_valid_documents() -> None:
    for case in cases("lexicon/lexicon-valid.json", 3):
        assert Lexicon.parse(case["lexicon"]).id == case["lexicon"]["id"]


def test_invalid_documents() -> None:
    def is_refused(document: object) -> bool:
        try:
            Lexicon.parse(document)
        except InvalidLexicon:
            return True
        return False

    found = cases("lexicon/lexicon-invalid.json", 7)
    assert [case["name"] for case in found if not is_refused(case["lexicon"])] == []


def test_valid_records(catalog: Catalog) -> None:
    for case in cases("lexicon/record-data-valid.json", 3):
        assert refused_at(catalog, case["rkey"], case["data"]) is None, case["name"]


def test_invalid_records(catalog: Catalog) -> None:
    found = cases("lexicon/record-data-invalid.json", 50)
    passed = [c["name"] for c in found if refused_at(catalog, c["rkey"], c["data"]) is None]
    assert passed == []


def test_invalid_records_are_refused_for_the_reason_that_their_name_says(
    catalog: Catalog,
) -> None:
    """Some of the cases lack the one required field, so they would fail for any reader: with it
    added, each is still refused, and at the field that it is about."""
    for case in cases("lexicon/record-data-invalid.json", 50):
        data = case["data"]
        about = set(data) - {"$type", "integer"} or {"integer"}
        where = refused_at(catalog, case["rkey"], {"integer": 1, **data})
        if case["name"] == "missing required field":
            assert where is None
        else:
            assert where is not None, case["name"]
            assert where.split("/")[1] in about
