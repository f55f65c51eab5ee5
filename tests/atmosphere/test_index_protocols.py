"""The library's own classes follow the protocols that others may implement as well."""

from __future__ import annotations

import pytest

from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, AtmosphereIndexEntry, PDSBlobStore
from atdata.index import AbstractDataStore, AbstractIndex, DataSource, IndexEntry
from atdata.protocol.records import DatasetRecord, ExternalShard, ExternalStorage
from atdata.sources import BlobSource, LocalSource, URLSource

RECORD = DatasetRecord(
    name="n",
    schema_ref="at://did:plc:x/ac.foundation.dataset.sampleSchema/s",
    storage=ExternalStorage((ExternalShard("https://data.example.org/{0..9}.tar"),)),
    created_at="2026-01-01T00:00:00Z",
)


@pytest.mark.parametrize(
    ("thing", "protocol"),
    [
        (AtmosphereIndex(AtmosphereClient()), AbstractIndex),
        (PDSBlobStore(AtmosphereClient()), AbstractDataStore),
        (AtmosphereIndexEntry("at://did:plc:x/c.o.l/k", "bafy", RECORD), IndexEntry),
        (LocalSource("a.tar"), DataSource),
        (URLSource("https://data.example.org/a.tar"), DataSource),
        (BlobSource([]), DataSource),
    ],
)
def test_follows_its_protocol(thing: object, protocol: type) -> None:
    assert isinstance(thing, protocol)
    assert not isinstance(object(), protocol)
