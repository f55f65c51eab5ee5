"""Names of several licences at once, as words, as conditions and as filters."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_api.license_names import PUBLIC_DOMAIN, licenses_called
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import serving


@pytest.mark.parametrize(
    "text", ["public domain", "Public-Domain", "publicdomain", "PUBLIC DOMAIN license"]
)
def test_the_public_domain_in_any_spelling(text: str) -> None:
    assert licenses_called(text) == PUBLIC_DOMAIN


def test_one_licence_is_not_several() -> None:
    assert licenses_called("CC0") == licenses_called("domain") == licenses_called("") == ()


def test_who_asks_for_the_public_domain_finds_all_that_is_in_it(tmp_path: Path) -> None:
    index = IndexBuilder.create()
    did = index.account("alice")
    schema = index.schema(did)
    for name, written, spdx in (
        ("Zero", "cc0", "CC0-1.0"),
        ("Dedication", "PDDL", "PDDL-1.0"),
        ("In words", "Public Domain", None),
        ("Public By", "CC BY 4.0", "CC-BY-4.0"),
    ):
        index.dataset(did, name, schema, license_as_written=written, spdx=spdx)
    free = ["In words", "Dedication", "Zero"]
    with serving(index, tmp_path) as service:
        assert service.names(q='license:"public domain"') == free
        assert service.names(license="public domain") == ["In words"]  # as it is counted
        assert service.names(q="public domain", fuzzy="off") == free
        assert service.names(q='"public domain"') == free
        assert service.names(q='-license:"public domain"') == ["Public By"]
        both = 'license:"public domain" license:CC-BY-4.0'
        assert service.names(q=both) == ["Public By", *free]
        assert service.names(license="CC0-1.0") == ["Zero"]
    index.connection.close()
