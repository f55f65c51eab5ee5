"""``author:`` and ``did:`` in the query box: one account, by its DID, its handle or the handle's
first label, and never whoever has a word in common with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atdata.protocol.keys import key_of
from tests.search_api.index_builder import IndexBuilder, did_of
from tests.search_api.service import Service, serving

ACCOUNTS = ("sound-lab", "weather-lab", "lab", "sound", "sound-lab.eu", "sound.lab")


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Each account's dataset is called like the account, whose handle ends in ``.test``."""
    index = IndexBuilder.create()
    for name in ACCOUNTS:
        did = index.account(name)
        index.dataset(did, name, index.schema(did))
    unverified = index.account("claimed-lab", verified=False)
    index.dataset(unverified, "claimed", index.schema(unverified))
    with serving(index, tmp_path_factory.mktemp("labs")) as service:
        yield service
    index.connection.close()


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("author:sound-lab", ["sound-lab.eu", "sound-lab"]),
        ("author:sound-lab.test", ["sound-lab"]),
        ("author:@Sound-Lab.TEST", ["sound-lab"]),
        ("author:sound-lab.eu.test", ["sound-lab.eu"]),
        ("author:lab", ["lab"]),
        ("author:sound", ["sound.lab", "sound"]),
        ("author:test", []),
        ("author:-lab", []),
        ('author:"sound lab"', []),
        (f"author:{did_of('lab')}", ["lab"]),
        ("author:lab author:weather-lab", ["lab", "weather-lab"]),
        (f"author:{did_of('lab')} author:weather-lab.test", ["lab", "weather-lab"]),
        ("did:weather-lab", ["weather-lab"]),
        ("did:weather-lab.test", ["weather-lab"]),
        (f"did:{did_of('lab')}", ["lab"]),
        (did_of("lab"), ["lab"]),
        ("author:claimed-lab", []),
        ("author:claimed-lab.test", []),
        ("-author:sound-lab -author:lab", ["claimed", "sound.lab", "sound", "weather-lab"]),
    ],
)
def test_an_author_is_one_account(labs: Service, q: str, names: list[str]) -> None:
    assert labs.names(q=q, fuzzy="off") == names


def test_an_author_in_the_box_does_not_shrink_the_facet_of_authors(labs: Service) -> None:
    answer = labs.get("searchDatasets", q="author:lab", facets="authors")
    assert answer["hitsTotal"] == 1
    assert len(answer["facets"]["authors"]) == len(ACCOUNTS) + 1


def test_a_new_handle_is_the_one_that_counts(tmp_path: Path) -> None:
    index = IndexBuilder.create()
    did = index.account("sound-lab")
    uri = index.dataset(did, "Tones", index.schema(did))
    with serving(index, tmp_path) as service:
        assert service.names(q="author:sound-lab") == ["Tones"]
        index.connection.execute("UPDATE repos SET handle = 'tone-lab.test'")
        index._change(key_of(uri), "visibility")
        assert service.names(q="author:tone-lab", fuzzy="off") == ["Tones"]
        assert service.names(q="author:sound-lab", fuzzy="off") == []
    index.connection.close()
