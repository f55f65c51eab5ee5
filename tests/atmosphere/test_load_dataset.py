"""From a reference to samples: by way of the author's PDS, and by way of an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from numpy.typing import NDArray

import atdata
from atdata.atmosphere import (
    AtmosphereClient,
    AtmosphereIndex,
    DatasetPublisher,
    PDSBlobStore,
    SchemaPublisher,
)
from atdata.protocol import views
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import (
    CidMismatch,
    InvalidRecord,
    InvalidSample,
    InvalidShard,
    InvalidSyntax,
    NotFound,
    TypeMismatch,
)
from atdata.protocol.views import DatasetPage, DatasetView, LensPage, LensView, SchemaView
from deploy.devnet.devnet import Devnet
from tests.atmosphere.conftest import Configure
from tests.atmosphere.made import Feature, features, tar_of
from tests.atmosphere.test_search_results import XRPC, json_answer
from tests.network.local_server import LocalServer, content

pytestmark = pytest.mark.devnet

Accounts = Callable[[int, str], AtmosphereClient]
SAMPLES = features(12)
THEN = "2026-01-01T00:00:00Z"


@atdata.packable
class Other:
    features: NDArray
    label: str


def to_other(sample: Feature) -> Other:
    return Other(sample.features, str(sample.label))


@pytest.fixture
def author(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(1, "load-author")


@pytest.fixture
def uri(author: AtmosphereClient) -> str:
    schema = SchemaPublisher(author).publish(Feature)
    return DatasetPublisher(author).publish_with_blobs(
        [tar_of(SAMPLES[:7]), tar_of(SAMPLES[7:], 7)], schema, name="loaded"
    )


# --- straight from the author's PDS -----------------------------------------------------------


def test_without_an_index_the_authors_pds_is_asked(uri: str) -> None:
    decoded = atdata.load_dataset(uri)
    assert decoded.sample_type.__name__ == "Feature"
    assert [sample.label for sample in decoded] == [sample.label for sample in SAMPLES]
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert [dict(sample)["label"] for sample in atdata.load_dataset(uri, atdata.DictSample)] == [
        sample.label for sample in SAMPLES
    ]


def test_another_type_is_refused_with_the_reasons(uri: str) -> None:
    with pytest.raises(TypeMismatch) as caught:
        atdata.load_dataset(uri, Other)
    assert "Other does not fit Feature 1.0.0" in str(caught.value)
    assert "'label' is int, not" in str(caught.value)
    assert "'source' is not a field of Other" in str(caught.value)


def test_what_is_not_there_is_not_found(author: AtmosphereClient, uri: str) -> None:
    for wrong in (uri + "x", uri.rpartition("/")[0], f"at://{author.did}"):
        with pytest.raises(NotFound):
            atdata.load_dataset(wrong)
    with pytest.raises(InvalidSyntax):
        atdata.load_dataset("loaded")
    with pytest.raises(InvalidRecord, match="SchemaRecord"):
        atdata.load_dataset(SchemaPublisher(author).publish(Feature))


def test_a_dataset_without_its_schema_says_what_is_missing(author: AtmosphereClient) -> None:
    gone = f"at://{author.did}/ac.foundation.dataset.sampleSchema/gone"
    uri = DatasetPublisher(author).publish_with_blobs([tar_of(SAMPLES)], gone, name="orphan")
    with pytest.raises(NotFound, match="sampleSchema/gone"):
        atdata.load_dataset(uri)


# --- entries, and how they are read ------------------------------------------------------------


def test_an_entry_that_was_listed_is_loaded(author: AtmosphereClient, uri: str) -> None:
    (entry,) = (
        e for e in AtmosphereIndex(AtmosphereClient()).list_datasets(author.did) if e.uri == uri
    )
    assert entry.type.__name__ == "Feature"
    assert list(entry.load(Feature)) == SAMPLES
    assert list(atdata.load_dataset(entry, Feature)) == SAMPLES
    assert [sample.label for sample in entry.load()] == [sample.label for sample in SAMPLES]


def test_an_entry_that_was_just_inserted_is_loaded_and_pulled(
    author: AtmosphereClient, tmp_path: Path
) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of(SAMPLES))
    index = AtmosphereIndex(author, data_store=PDSBlobStore(author))
    entry = index.insert_dataset(atdata.Dataset[Feature](tmp_path / "a.tar"), name="inserted")
    assert list(entry.load(Feature)) == SAMPLES
    (pulled,) = entry.pull(tmp_path / "library")
    assert list(atdata.Dataset[Feature](pulled)) == SAMPLES
    assert index.get_dataset(entry.uri) == entry


def broken(author: AtmosphereClient) -> str:
    """A dataset of which one sample of two is none."""
    shard = tar_of(SAMPLES[:1]).rstrip(b"\0")
    shard += b"\0" * (-len(shard) % 512)
    worse = tar_of(SAMPLES[:1], 1)
    at = worse.index(SAMPLES[0].packed)
    schema = SchemaPublisher(author).publish(Feature)
    data = shard + worse[:at] + b"\xc1" + worse[at + 1 :]
    return DatasetPublisher(author).publish_with_blobs([data], schema, name="broken")


@pytest.mark.parametrize("sample_type", [Feature, None, atdata.DictSample])
def test_how_samples_are_read_can_be_said(
    author: AtmosphereClient, sample_type: type | None
) -> None:
    uri = broken(author)
    with pytest.raises(InvalidSample):
        list(atdata.load_dataset(uri, sample_type))
    dataset = atdata.load_dataset(uri, sample_type, on_error="skip", writable=True)
    (sample,) = dataset
    assert dataset.skipped.counts == {"sample": 1}
    sample.features[0] = 1.0
    with pytest.raises(InvalidShard):
        list(atdata.load_dataset(uri, sample_type, limits=atdata.Limits(member_bytes=10)))


def test_what_is_seen_through_a_lens_is_read_as_was_said(author: AtmosphereClient) -> None:
    entry = AtmosphereIndex(author).get_dataset(broken(author))
    lens = atdata.Lens(to_other, source_type=Feature, view_type=Other)
    dataset = entry.load(lens=lens, on_error="skip", writable=True)
    (sample,) = dataset
    assert sample.label == "0"
    assert dataset.skipped.total == 1
    sample.features[0] = 1.0


# --- by way of an index -----------------------------------------------------------------------


class Index:
    """An index that knows one dataset, as the API's methods would tell of it."""

    def __init__(self, author: AtmosphereClient, uri: str) -> None:
        self.dataset, self.author = author.get_record(uri), author
        self.schema = author.get_record(str(self.dataset.value["schemaRef"]))
        self.pds = author.pds
        self.server = LocalServer(
            {
                XRPC + "getDataset": self.get_dataset,
                XRPC + "searchDatasets": self.search_datasets,
                XRPC + "findLenses": self.find_lenses,
            }
        )

    def view(self) -> DatasetView:
        return DatasetView(
            uri=str(self.dataset.uri),
            cid=self.dataset.cid,
            did=self.author.did,
            indexed_at=THEN,
            name="loaded",
            schema_uri=str(self.schema.uri),
            storage_kind="blobs",
            created_at=THEN,
        )

    def detail(self) -> dict[str, Any]:
        schema = SchemaView(
            uri=str(self.schema.uri),
            cid=self.schema.cid,
            did=self.author.did,
            indexed_at=THEN,
            name="Feature",
            version="1.0.0",
            created_at=THEN,
        )
        return {
            "dataset": views.to_json(self.view()),
            "record": self.dataset.body(),
            "schema": views.to_json(schema),
            "schemaRecord": self.schema.body(),
            "pds": self.pds,
        }

    def get_dataset(self, request: BaseHTTPRequestHandler) -> None:
        (asked,) = parse_qs(urlsplit(request.path).query)["uri"]
        known = asked == str(self.dataset.uri)
        refusal = {"error": "RecordNotFound", "message": f"no {asked}"}
        json_answer(self.detail() if known else refusal, 200 if known else 404)(request)

    def search_datasets(self, request: BaseHTTPRequestHandler) -> None:
        json_answer(views.to_json(DatasetPage((self.view(),), 1)))(request)

    def find_lenses(self, request: BaseHTTPRequestHandler) -> None:
        (source,) = parse_qs(urlsplit(request.path).query)["source"]
        lens = LensView(
            uri="at://l",
            cid="c",
            did=self.author.did,
            indexed_at=THEN,
            name="to-other",
            source_schema=source,
            target_schema="at://did:plc:x/ac.foundation.dataset.sampleSchema/other",
            created_at=THEN,
        )
        json_answer(views.to_json(LensPage((lens,))))(request)


@pytest.fixture
def index(
    author: AtmosphereClient, uri: str, configure: Configure, devnet: Devnet
) -> Iterator[Index]:
    index = Index(author, uri)
    with index.server:
        # No directory: what the index answers must be enough.
        configure(api=index.server.url)
        yield index


def test_a_hit_is_loaded_with_what_the_index_knows(index: Index) -> None:
    (hit,) = atdata.search("loaded")
    assert (hit.name, hit.type.__name__, len(hit.entry.data_urls)) == ("loaded", "Feature", 2)
    assert list(hit.load(Feature)) == SAMPLES
    assert list(atdata.load_dataset(hit, Feature)) == SAMPLES
    assert list(atdata.load_dataset(hit.uri, Feature)) == SAMPLES
    assert [sample.label for sample in hit.load()] == [sample.label for sample in SAMPLES]
    assert next(iter(hit.load(writable=True))).features.flags.writeable
    assert list(hit.entry.load(Feature)) == SAMPLES


def test_a_mismatch_names_the_lenses_that_the_index_knows(index: Index) -> None:
    with pytest.raises(TypeMismatch, match="Lenses from this schema: 'to-other' to at://did:plc:x"):
        atdata.load_dataset(str(index.dataset.uri), Other)


def test_what_the_index_has_not_seen_yet_comes_from_the_pds(
    index: Index, author: AtmosphereClient, configure: Configure, devnet: Devnet
) -> None:
    newer = DatasetPublisher(author).publish_with_blobs(
        [tar_of(SAMPLES[:2])], str(index.schema.uri), name="newer"
    )
    configure(api=index.server.url, plc=devnet.plc)
    assert list(atdata.load_dataset(newer, Feature)) == SAMPLES[:2]


def test_an_index_cannot_pass_off_other_records_or_other_bytes(index: Index) -> None:
    uri = str(index.dataset.uri)
    true_detail = index.detail

    def forged(**changes: Any) -> None:
        index.detail = lambda: true_detail() | changes  # type: ignore[method-assign]

    forged(record=index.dataset.body() | {"name": "forged"})
    with pytest.raises(CidMismatch):
        atdata.load_dataset(uri)
    forged(schemaRecord=index.schema.body() | {"fields": []})
    with pytest.raises(CidMismatch):
        atdata.load_dataset(uri)
    forged(dataset=views.to_json(index.view()) | {"uri": uri + "x"})
    with pytest.raises(InvalidRecord, match="asked for"):
        atdata.load_dataset(uri)

    # A host that serves other bytes for the blobs gives an error with both CIDs and no sample.
    wrong = tar_of(SAMPLES[:1])
    index.server.routes["/xrpc/com.atproto.sync.getBlob"] = content(wrong)
    forged(pds=index.server.url)
    with pytest.raises(CidMismatch) as caught:
        next(iter(atdata.load_dataset(uri)))
    assert str(Cid.of(wrong, RAW)) in str(caught.value)
    assert str(Cid.of(tar_of(SAMPLES[:7]), RAW)) in str(caught.value)


# --- by name -----------------------------------------------------------------------------------


def test_a_dataset_by_handle_and_name(
    author: AtmosphereClient, uri: str, configure: Configure, devnet: Devnet
) -> None:
    configure(plc=devnet.plc)
    with pytest.raises(NotFound, match="published no dataset called 'nothing'"):
        atdata.load_dataset(f"@{author.did}/nothing")
    assert list(atdata.load_dataset(f"@{author.did}/loaded", Feature)) == SAMPLES
