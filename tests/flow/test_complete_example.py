"""From an account on a real PDS to samples in Python, through everything in between."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import atdata
from atdata.discovery import DatasetHit
from deploy.devnet.devnet import Devnet
from tests.flow.node import Node, node, source_arguments
from tests.specification.blocks import COPY, Change, blocks, changed

pytestmark = pytest.mark.devnet


@pytest.fixture
def index_node(devnet: Devnet, tmp_path: Path) -> Iterator[Node]:
    sources = [pds.url.replace("http", "ws", 1) for pds in devnet.pdses]
    with node(tmp_path, "--plc", devnet.plc, *source_arguments(sources)) as running:
        yield running


def run_complete_example(devnet: Devnet, folder: Path) -> dict[str, Any]:
    """Run it as written, in ``folder``; returns the names that it leaves behind."""
    account = devnet.create_account(0, "flow-author")
    block = next(
        block
        for block in blocks(COPY.read_text(encoding="utf-8"))
        if block.section == "Complete Example"
    )
    login = f"client.login({account.handle!r}, {account.password!r})"
    code = changed(
        block,
        [
            Change("AtmosphereClient()", f"AtmosphereClient(base_url={account.pds_url!r})"),
            Change('client.login("myhandle.bsky.social", "app-password")', login),
        ],
    )
    script = folder / "complete_example.py"
    script.write_text(code, encoding="utf-8")
    return runpy.run_path(str(script))


def test_published_on_one_pds_found_and_streamed_from_another(
    devnet: Devnet, index_node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    atdata.configure(plc=devnet.plc, api=index_node.url, dev=True)
    written = run_complete_example(devnet, tmp_path)

    # Another account, on the other PDS, that knows only a phrase.
    reader = devnet.create_account(1, "flow-reader")
    assert reader.pds_url != written["client"].base_url
    # (Other tests publish on these PDSes too, and of the same name.)
    published = written["entry"].uri

    def found() -> list[DatasetHit]:
        return [hit for hit in atdata.search("synthetic features") if hit.uri == published]

    index_node.wait_until(lambda: bool(found()), "it is found")
    (hit,) = found()

    assert hit.name == "synthetic-features-v1"
    assert hit.tags == ("features", "synthetic")
    assert hit.did == written["client"].did

    # Its type is made from its schema alone, and its samples come through BlobSource.
    dataset = hit.load()
    assert isinstance(dataset.source, atdata.BlobSource)
    assert dataset.sample_type.__name__ == "FeatureSample"
    read = list(dataset.ordered())

    assert len(read) == len(written["samples"]) == 1000
    for got, put in zip(read, written["samples"], strict=True):
        assert got.features.dtype == put.features.dtype
        np.testing.assert_array_equal(got.features, put.features)
        assert (got.label, got.source) == (put.label, put.source)
