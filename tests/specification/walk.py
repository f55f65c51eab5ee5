"""One walk through all blocks, in the order of the text and in one namespace.

What the text presumes (a ``dataset``, ``MySample``, ``process``) is put there before the block that
first needs it; hosts, logins and placeholders such as ``did:plc:other-user`` are replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import atdata
from atdata.atmosphere import (
    AtmosphereClient,
    AtmosphereIndex,
    DatasetPublisher,
    LensPublisher,
    PDSBlobStore,
    SchemaPublisher,
)
from atdata.batches import SampleBatch
from atdata.protocol.records import BlobStorage, DatasetRecord
from deploy.devnet.devnet import Account, Devnet, xrpc
from tests.atmosphere.made import tar_of
from tests.specification.blocks import COPY, Block, Change, Trace, blocks, changed, run

BLOCKS = {block.number: block for block in blocks(COPY.read_text(encoding="utf-8"))}
BASE = "AtmosphereClient()"
CREATED = "2026-01-01T00:00:00Z"
PLACEHOLDER_SCHEMA = "at://did:plc:abc/ac.foundation.dataset.sampleSchema"
CODE = {"repository": "https://github.com/org/repo", "commit": "a" * 40, "path": "l.py:getter"}


@atdata.packable
class MySample:
    """Any type of the reader's own; it has the fields of the text's ``ImageSample``."""

    image: NDArray
    label: str
    confidence: float


@atdata.packable
class FullSample:
    image: NDArray
    label: str


@atdata.packable
class SimpleSample:
    label: str


def made(count: int) -> list[MySample]:
    """Samples that say which they are."""
    return [MySample(np.full((2, 3), n, np.float32), f"label {n}", n / 8) for n in range(count)]


class Walk:
    """The namespace that the blocks share, and what each of them left behind."""

    def __init__(self, devnet: Devnet, folder: Path) -> None:
        self.folder, self.batches = folder, list[SampleBatch[Any]]()
        self.names: dict[str, Any] = {"__name__": "specification"}
        self._traces: dict[int, Trace | Exception] = {}
        self.author, self.app_password = _with_app_password(devnet, 0, "spec-author")
        self.whole, self.whole_password = _with_app_password(devnet, 0, "spec-whole")
        self.other = _logged_in(devnet.create_account(1, "spec-other"))
        self.other_schema = SchemaPublisher(self.other).publish(FullSample)
        self.other_dataset, self.other_lens = self._others()

    def trace(self, number: int) -> Trace:
        """What block ``number`` left behind, all blocks before it having run."""
        for block in BLOCKS.values():
            if block.number <= number and block.number not in self._traces:
                self._traces[block.number] = self._run(block)
        outcome = self._traces[number]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def keep(self, urls: Sequence[str]) -> str:
        """Publish a record that refers to these uploads: from then on the PDS serves them."""
        store: PDSBlobStore = self.names["store"]
        shards = tuple(uploaded.blob for uploaded in store.uploaded(urls))
        record = DatasetRecord("kept", self.other_schema, BlobStorage(shards), CREATED)
        return DatasetPublisher(self.names["client"]).write(record).uri

    def shards(self, name: str, counts: Sequence[int]) -> list[str]:
        """Tars of so many samples each, in the folder of the walk."""
        samples, paths = iter(made(sum(counts))), list[str]()
        for n, count in enumerate(counts):
            path = self.folder / f"{name}-{n:06d}.tar"
            path.write_bytes(tar_of([next(samples) for _ in range(count)]))
            paths.append(path.name)
        return paths

    def _run(self, block: Block) -> Trace | Exception:
        self.names |= self._given(block.number)
        try:
            code = changed(block, self._changes(block.number))
            trace = run(code, block.key, self.names)
            if block.number in {5, 6}:
                self.keep(trace.last("urls"))
        except Exception as error:  # noqa: BLE001 - told by the test of this block
            return error
        return trace

    # --- what the text presumes ----------------------------------------------------------------

    def _given(self, number: int) -> dict[str, Any]:
        match number:
            case 5:
                dataset = atdata.Dataset[MySample](self.shards("mine", [20, 12]))
                return {"atdata": atdata, "MySample": MySample, "dataset": dataset}
            case 6:
                return {"dataset": atdata.Dataset[MySample](self.shards("large", [6_000, 4_001]))}
            case 7:
                return {"process": self.batches.append}
            case 10:
                self.shards("data", [5] * 10)
            case 15:
                return {"samples": made(70)}
            case 17:
                schemas = SchemaPublisher(self.names["client"])
                return {
                    "FullSample": FullSample,
                    "SimpleSample": SimpleSample,
                    "full_schema_uri": schemas.publish(FullSample),
                    "simple_schema_uri": schemas.publish(SimpleSample),
                }
            case 19:
                return {"uri": self._bound(15, "uri"), "MySampleType": MySample}
        return {}

    def _others(self) -> tuple[str, str]:
        """What another account on another PDS has published."""
        index = AtmosphereIndex(self.other, data_store=PDSBlobStore(self.other))
        path = self.folder / "others.tar"
        path.write_bytes(tar_of([FullSample(np.zeros(2, np.uint8), "theirs")]))
        entry = index.insert_dataset(atdata.Dataset[FullSample](path), name="theirs")
        simple = SchemaPublisher(self.other).publish(SimpleSample)
        lens = LensPublisher(self.other).publish(
            name="theirs",
            source_schema=self.other_schema,
            target_schema=simple,
            getter_code=CODE,
            putter_code=CODE,
        )
        return entry.uri, lens

    # --- hosts, logins, placeholders -------------------------------------------------------------

    def _changes(self, number: int) -> list[Change]:
        did = self.author.did
        match number:
            case 2:
                return self._login("alice.bsky.social", self.author, self.app_password)
            case 4:
                return [Change("https://pds.example.com", self.author.pds_url)]
            case 5 | 8:
                return self._login("handle.bsky.social", self.author, self.app_password)
            case 7:
                first, second = (url.rpartition("/")[2] for url in self._bound(5, "urls"))
                return [
                    Change("did:plc:abc123", did, times=2),
                    Change("bafyrei111", first),
                    Change("bafyrei222", second),
                ]
            case 11:
                return [
                    Change("did:plc:other-user", self.other.did),
                    Change(
                        "at://did:plc:.../ac.foundation.dataset.record/...",
                        self._bound(10, "entry").uri,
                    ),
                ]
            case 18:
                return [
                    Change(f"{PLACEHOLDER_SCHEMA}/xyz", self.other_schema),
                    Change("did:plc:other-user", self.other.did),
                ]
            case 19:
                written = "at://did:plc:abc/ac.foundation.dataset.record/xyz"
                return [Change(written, self.other_dataset)]
            case 20:
                return [
                    Change("at://did:plc:abc/ac.foundation.dataset.lens/xyz", self.other_lens),
                    Change(f"{PLACEHOLDER_SCHEMA}/source", self.names["full_schema_uri"]),
                    Change(f"{PLACEHOLDER_SCHEMA}/target", self.names["simple_schema_uri"]),
                ]
            case 22:
                return self._login("myhandle.bsky.social", self.whole, self.whole_password)
        return []

    def _bound(self, number: int, name: str) -> Any:
        return self.trace(number).last(name)

    def _login(self, written: str, account: Account, password: str) -> list[Change]:
        return [
            Change(BASE, f"AtmosphereClient(base_url={account.pds_url!r})"),
            Change(f'"{written}", "app-password"', f"{account.handle!r}, {password!r}"),
        ]


def _logged_in(account: Account) -> AtmosphereClient:
    client = AtmosphereClient(base_url=account.pds_url)
    client.login(account.handle, account.password)
    return client


def _with_app_password(devnet: Devnet, pds: int, name: str) -> tuple[Account, str]:
    """A new account, and a password of the kind that the text asks for."""
    account = devnet.create_account(pds, name)
    token = xrpc(
        account.pds_url,
        "com.atproto.server.createSession",
        body={"identifier": account.handle, "password": account.password},
    )["accessJwt"]
    made = xrpc(
        account.pds_url,
        "com.atproto.server.createAppPassword",
        body={"name": "atdata"},
        token=token,
    )
    return account, made["password"]
