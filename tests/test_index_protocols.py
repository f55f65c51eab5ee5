"""The library's own classes follow the protocols that others may implement as well: at run time,
and (this file is type-checked) with the very signatures."""

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

INDEX: AbstractIndex = AtmosphereIndex(AtmosphereClient())
STORE: AbstractDataStore = PDSBlobStore(AtmosphereClient())
ENTRY: IndexEntry = AtmosphereIndexEntry("at://did:plc:x/c.o.l/k", "bafy", RECORD)
FILES: DataSource = LocalSource("a.tar")
ADDRESSES: DataSource = URLSource("https://data.example.org/a.tar")
BLOBS: DataSource = BlobSource([])


@pytest.mark.parametrize(
    ("thing", "protocol"),
    [
        (INDEX, AbstractIndex),
        (STORE, AbstractDataStore),
        (ENTRY, IndexEntry),
        (FILES, DataSource),
        (ADDRESSES, DataSource),
        (BLOBS, DataSource),
    ],
)
def test_follows_its_protocol(thing: object, protocol: type) -> None:
    assert isinstance(thing, protocol)
    assert not isinstance(object(), protocol)
