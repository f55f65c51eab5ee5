"""A dataset whose schema is gone, wrong or out of reach: everything that does without it works."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import atdata
from atdata import DictSample
from atdata.atmosphere.repository import StoredRecord
from atdata.protocol import cbor
from atdata.protocol.cid import Cid
from atdata.protocol.errors import InvalidRecord, InvalidSample, NetworkError, NotFound
from atdata.protocol.syntax import AtUri
from tests.discovery.conftest import Configure
from tests.discovery.host import Host
from tests.library.shards import Feature, features, shard
from tests.library.test_dataset import Label

SAMPLES = features(0, 3)


@pytest.fixture(params=["deleted", "out of reach"])
def uri(request: pytest.FixtureRequest, host: Host, library: Path) -> str:
    schema = host.schema(Feature)
    uri = host.dataset(schema, [shard(SAMPLES)])
    del host.records[schema]
    if request.param == "out of reach":
        far = f"at://did:plc:{'z' * 24}/ac.foundation.dataset.sampleSchema/x"
        uri = host.dataset(far, [shard(SAMPLES)])
    return uri


def test_a_type_of_ones_own_reads_it(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert f"{uri} is read without its schema" in caplog.text
    with pytest.raises(InvalidSample, match="Label has no field"):
        list(atdata.load_dataset(uri, Label))


def test_a_schema_that_is_none_is_as_good_as_gone(
    host: Host, library: Path, configure: Configure
) -> None:
    schema = host.schema(Feature)
    uri = host.dataset(schema, [shard(SAMPLES)])
    body = {"$type": "ac.foundation.dataset.sampleSchema", "name": 1}
    host.records[schema] = StoredRecord(AtUri.parse(schema), str(Cid.of(cbor.encode(body))), body)
    configure(plc=host.server.url)  # no index
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert [sample.label for sample in atdata.load_dataset(uri, DictSample)] == [0, 1, 2]
    with pytest.raises(InvalidRecord):
        atdata.load_dataset(uri)


def test_samples_without_a_type_are_read(uri: str) -> None:
    assert [sample.label for sample in atdata.load_dataset(uri, DictSample)] == [0, 1, 2]


def test_a_hit_has_its_entry(uri: str) -> None:
    hit = next(hit for hit in atdata.search() if hit.uri == uri)
    assert hit.entry.uri == uri


def test_it_is_pulled_and_read_from_the_library(uri: str, configure: Configure) -> None:
    (path,) = atdata.pull(uri)
    configure(library=path.parent.parent.parent.parent)  # the network is away
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert [sample.label for sample in atdata.load_dataset(uri, DictSample)] == [0, 1, 2]


def test_only_the_type_that_it_describes_is_missing(host: Host, library: Path) -> None:
    schema = host.schema(Feature)
    uri = host.dataset(schema, [shard(SAMPLES)])
    del host.records[schema]
    with pytest.raises(NotFound, match=r"as a type of your own, or as DictSample"):
        atdata.load_dataset(uri)
    with pytest.raises(NotFound, match=schema):
        _ = next(iter(atdata.search())).type


def test_without_a_network_that_is_said(host: Host, library: Path) -> None:
    far = f"at://did:plc:{'z' * 24}/ac.foundation.dataset.sampleSchema/x"
    with pytest.raises(NetworkError):
        atdata.load_dataset(host.dataset(far, [shard(SAMPLES)]))
