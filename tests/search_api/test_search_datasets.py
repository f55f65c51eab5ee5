"""searchDatasets: filters, exact totals, and paging that neither repeats nor skips."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from atdata.protocol.keys import key_of
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.service import Service, serving


@dataclass(frozen=True)
class Shelf:
    """A service over three authors, two schemas and four datasets; URIs by name. Read only."""

    service: Service
    uris: dict[str, str]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    index = IndexBuilder.create()
    uris = filled(index)
    with serving(index, tmp_path_factory.mktemp("shelf")) as service:
        yield Shelf(service, uris)
    index.connection.close()


def filled(index: IndexBuilder) -> dict[str, str]:
    alice, bob = index.account("alice"), index.account("bob")
    carol = index.account("carol", verified=False)
    image = index.schema(alice, "ImageSample")
    sound = index.schema(bob, "Utterance", fields=[("waveform", "ndarray")])
    return {
        "image": image,
        "sound": sound,
        "Corals": index.dataset(
            alice,
            "Corals",
            image,
            tags=["Images", "Marine"],
            license_as_written="CC BY 4.0",
            spdx="CC-BY-4.0",
            storage="blobs",
        ),
        "Streets": index.dataset(
            alice, "Streets", image, tags=["images"], license_as_written="MIT", spdx="MIT"
        ),
        "Whispers": index.dataset(
            bob,
            "Whispers",
            sound,
            tags=["audio"],
            license_as_written="my own terms",
            description="Marine radio",
        ),
        "Bells": index.dataset(carol, "Bells", sound, tags=["audio", "ÉTÉ"], storage="s3"),
    }


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["Bells", "Whispers", "Streets", "Corals"]),
        ({"q": ""}, ["Bells", "Whispers", "Streets", "Corals"]),
        ({"q": "marine"}, ["Corals", "Whispers"]),
        ({"q": "waveform"}, ["Bells", "Whispers"]),
        ({"q": "alice"}, ["Streets", "Corals"]),
        ({"q": "carol"}, []),  # an unverified handle counts for nothing
        ({"tags": "images"}, ["Streets", "Corals"]),
        ({"tags": ["images", "MARINE"]}, ["Corals"]),
        ({"tags": ["images", "audio"]}, []),
        ({"tags": " été "}, ["Bells"]),
        ({"license": "CC-BY-4.0"}, ["Corals"]),
        ({"license": "cc by 4.0"}, ["Corals"]),
        ({"license": "My own terms"}, ["Whispers"]),
        ({"storage": "s3"}, ["Bells"]),
        ({"storage": "blobs"}, ["Corals"]),
        ({"author": "alice.test"}, ["Streets", "Corals"]),
        ({"author": "ALICE.test"}, ["Streets", "Corals"]),
        ({"author": "carol.test"}, []),
        ({"author": "nobody.test"}, []),
        ({"author": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}, []),
        ({"q": "marine", "author": "bob.test"}, ["Whispers"]),
        ({"unknown": "ignored", "tags": "marine"}, ["Corals"]),
    ],
)
def test_filters(shelf: Shelf, params: dict[str, str], names: list[str]) -> None:
    answer = shelf.service.get("searchDatasets", **params)
    assert [view["name"] for view in answer["datasets"]] == names
    assert answer["hitsTotal"] == len(names)
    assert "cursor" not in answer


def test_filter_by_schema_with_did_or_handle(shelf: Shelf) -> None:
    assert shelf.service.names(schema=shelf.uris["sound"]) == ["Bells", "Whispers"]
    did = shelf.uris["sound"].split("/")[2]
    by_handle = shelf.uris["sound"].replace(did, "bob.test")
    assert shelf.service.names(schema=by_handle) == ["Bells", "Whispers"]
    assert shelf.service.names(schema=shelf.uris["sound"] + "0") == []


def test_a_hit_says_everything_that_is_known(shelf: Shelf) -> None:
    (hit,) = shelf.service.get("searchDatasets", q="corals")["datasets"]
    assert hit == {
        "uri": shelf.uris["Corals"],
        "cid": hit["cid"],
        "did": shelf.uris["Corals"].split("/")[2],
        "handle": "alice.test",
        "indexedAt": "2025-10-09T08:56:20.000Z",
        "createdAt": "2025-10-09T08:00:00+00:00",
        "name": "Corals",
        "schemaUri": shelf.uris["image"],
        "schemaName": "ImageSample",
        "schemaVersion": "1.0.0",
        "storageKind": "blobs",
        "license": "CC BY 4.0",
        "licenseSpdx": "CC-BY-4.0",
        "size": {"samples": 100, "bytes": 123456, "shards": 2},
        "tags": ["Images", "Marine"],
        "verification": "verified",
        "recordUrl": hit["recordUrl"],
    }
    (bells,) = shelf.service.get("searchDatasets", q="bells")["datasets"]
    assert bells["handle"] == "handle.invalid"


@pytest.mark.parametrize("q", ["", "part", "part 1"])
@pytest.mark.parametrize("limit", [1, 7])
def test_pages_lead_to_the_last_dataset(
    index: IndexBuilder, service: Service, q: str, limit: int
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(20):
        index.dataset(did, f"Part {number}" if number % 3 else f"Other part {number}", schema)
    all_at_once = service.names(q=q, limit=100)
    page_by_page = service.every("searchDatasets", "datasets", q=q, limit=limit)
    assert [view["name"] for view in page_by_page] == all_at_once
    assert len(all_at_once) == (20 if q != "part 1" else 11)


@pytest.mark.parametrize("q", ["", "part"])
def test_pages_are_stable_while_datasets_come_and_go(
    index: IndexBuilder, service: Service, q: str
) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    old = [index.dataset(did, f"Part {number}", schema) for number in range(20)]
    doomed = set(old[::5])
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for turn in range(100):
        page = service.get("searchDatasets", q=q, limit=2, **cursor)
        seen += [view["uri"] for view in page["datasets"]]
        if "cursor" not in page:
            break
        cursor = {"cursor": page["cursor"]}
        index.dataset(did, f"Part, new in turn {turn}", schema)
        index.dataset(did, "part", schema)
        if doomed - set(seen):
            gone = sorted(doomed - set(seen))[0]
            doomed.discard(gone)
            index.delete(gone)
            old.remove(gone)
    assert len(seen) == len(set(seen)), "a dataset was repeated"
    assert set(old) <= set(seen), "a dataset was skipped"


def test_a_word_that_arrives_between_two_pages_takes_no_hit_away(
    index: IndexBuilder, service: Service
) -> None:
    """What is read as its noun since nobody has it goes on being read so."""
    did = index.account("alice")
    schema = index.schema(did)
    old = [index.dataset(did, f"orchest {number}", schema) for number in range(8)]
    page = service.get("searchDatasets", q="orchestal", limit=3)
    seen = [view["uri"] for view in page["datasets"]]
    index.dataset(did, "orchestal", schema)
    while "cursor" in page:
        page = service.get("searchDatasets", q="orchestal", limit=3, cursor=page["cursor"])
        seen += [view["uri"] for view in page["datasets"]]
    assert seen == old[::-1]
    assert service.names(q="orchestal") == ["orchestal"]


def test_newest_is_first_and_a_tie_is_broken_by_key(index: IndexBuilder, service: Service) -> None:
    did = index.account("alice")
    schema = index.schema(did)
    for number in range(12):
        index.dataset(did, f"Part {number}", schema)
    index.connection.execute(
        "UPDATE records SET sort_at = make_timestamptz(1760000000000000) WHERE kind = 'dataset'"
    )
    uris = [view["uri"] for view in service.every("searchDatasets", "datasets", limit=5)]
    low_bits = [key_of(uri) % 2**21 for uri in uris]
    assert all(above >= below for above, below in pairwise(low_bits))
    assert len(set(uris)) == 12


def test_a_cursor_belongs_to_its_question(shelf: Shelf) -> None:
    cursor = shelf.service.get("searchDatasets", q="marine", limit=1)["cursor"]
    assert shelf.service.names(q="marine", limit=5, cursor=cursor) == ["Whispers"]
    for params in ({"q": "other"}, {}, {"q": "marine", "tags": "images"}):
        status, error, message = shelf.service.error("searchDatasets", cursor=cursor, **params)
        assert (status, error) == (400, "InvalidRequest")
        assert "another query" in message
    assert shelf.service.error("listSchemas", cursor=cursor)[0] == 400


def forged(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "not a cursor", "é", "a" * 999, "[]", "%00"),
        *(forged(), forged(1), forged(2, "x", 1), forged({"a": 1}), forged(1, None, 1, 2, 3)),
        base64.urlsafe_b64encode(b"[" * 700).decode(),
    ],
)
def test_a_malformed_cursor_is_a_400(shelf: Shelf, cursor: str) -> None:
    for method in ("searchDatasets", "listSchemas", "findLenses", "listTags", "listLicenses"):
        status, error, message = shelf.service.error(method, cursor=cursor)
        assert (status, error) == (400, "InvalidRequest")
        assert "cursor" in message


@pytest.mark.parametrize(
    "keys", [[-(2**63) - 1, 5, 5], [True, 5, 5], [1, 2**63, 5], [1.5, 2, 3], [1, 2]]
)
def test_a_cursor_with_keys_out_of_range_is_a_400(shelf: Shelf, keys: list[object]) -> None:
    real = shelf.service.get("searchDatasets", limit=1)["cursor"]
    version, question, *_ = json.loads(base64.urlsafe_b64decode(real + "=" * (-len(real) % 4)))
    assert shelf.service.error("searchDatasets", cursor=forged(version, question, *keys))[0] == 400


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "1.0"}, "limit"),
        ({"limit": "9" * 30}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"q": ["a", "b"]}, "q"),
        ({"q": "x" * 501}, "q"),
        ({"q": "é" * 251}, "q"),
        ({"tags": ["t"] * 31}, "tags"),
        ({"tags": "t" * 151}, "tags"),
        ({"license": "l" * 201}, "license"),
        ({"schema": "https://example.com"}, "schema"),
        ({"schema": ""}, "schema"),
        ({"author": "not an account"}, "author"),
        ({"author": "did:plc:"}, "author"),
        ({"storage": "tape"}, "storage"),
        ({"x": "y" * 20_000}, "too long"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it(
    shelf: Shelf, params: dict[str, str], named: str
) -> None:
    status, error, message = shelf.service.error("searchDatasets", **params)
    assert (status, error) == (400, "InvalidRequest")
    assert named in message


@pytest.mark.parametrize("q", [*"'\"%\\*(-\x00\u202e🪸", "AND", "a OR", "name:", "’s", "'--"])
def test_no_punctuation_breaks_a_query(shelf: Shelf, q: str) -> None:
    shelf.service.get("searchDatasets", q=q)
    shelf.service.get("listSchemas", q=q)
    shelf.service.get("listTags", prefix=q)
    shelf.service.get("searchDatasets", tags=q, license=q)
