"""The directory, answered from memory at the one seam that asks the network: the guarded client.

Everything above it is real: resolver, prover, processor, store. Sources are taken for relays, since
none of them describes itself as a PDS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from prometheus_client import CollectorRegistry

from atdata.network.http import HttpClient, Policy
from atdata.network.identity import Resolver
from atdata.protocol.errors import FetchFailed
from indexer.database import open_database
from indexer.metrics import Metrics
from indexer.processor import Processor
from indexer.proofs import Prover
from indexer.store import Store
from indexer.turns import Turns
from tests.indexer.repo_builder import K256, NOW_US, SigningKey

PLC = "http://plc.invalid"
_HOUR_US = 3_600_000_000


class OfflineHttp(HttpClient):
    """Answers with ``document(did)`` for a DID of the directory, and 404 for all else."""

    def __init__(self, document: Callable[[str], Mapping[str, Any] | None]) -> None:
        super().__init__(Policy(dev=True))
        self._document = document

    def get_bytes(self, url: str, **options: Any) -> bytes:
        found = self._document(url.removeprefix(f"{PLC}/"))
        if found is None:
            raise FetchFailed(f"nothing at {url}", 404)
        return json.dumps(found).encode()


def signed_by(key: SigningKey) -> Callable[[str], Mapping[str, Any] | None]:
    """Every did:plc has this key, lives nowhere, and has no handle."""

    def document(did: str) -> Mapping[str, Any] | None:
        if not did.startswith("did:plc:"):
            return None
        method = {
            "id": f"{did}#atproto",
            "type": "Multikey",
            "controller": did,
            "publicKeyMultibase": key.multibase,
        }
        return {"id": did, "alsoKnownAs": [], "verificationMethod": [method], "service": []}

    return document


def offline_resolver(key: SigningKey = K256) -> Resolver:
    return Resolver(OfflineHttp(signed_by(key)), plc=PLC)


@contextmanager
def offline_index(
    path: Path | str = ":memory:", key: SigningKey = K256, threads: int = 1
) -> Iterator[tuple[Processor, Store, duckdb.DuckDBPyConnection]]:
    """A processor over a store of its own, without sockets or tasks around it."""
    connection = open_database(path)
    store = Store(connection)
    prover = Prover(offline_resolver(key), lambda: NOW_US)
    metrics, turns = Metrics(CollectorRegistry()), Turns(store)
    with ThreadPoolExecutor(threads) as pool:
        yield Processor(store, prover, pool, metrics, turns, _HOUR_US), store, connection
    store.close()
    connection.close()
