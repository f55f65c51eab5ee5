"""From an account on a real PDS to its samples in the page; out of it when the account leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata import ndarray
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, PDSBlobStore
from deploy.devnet.devnet import Devnet, xrpc
from tests.flow.node import Node, node, source_arguments
from tests.search_api.published import samples

pytestmark = pytest.mark.devnet


@atdata.packable
class Pictured:
    picture: NDArray[np.uint8]
    caption: str


@pytest.fixture
def index_node(devnet: Devnet, tmp_path: Path) -> Iterator[Node]:
    sources = [pds.url.replace("http", "ws", 1) for pds in devnet.pdses]
    with node(tmp_path, "--plc", devnet.plc, *source_arguments(sources)) as running:
        yield running


def test_samples_of_a_real_pds_come_and_go_with_their_account(
    devnet: Devnet, index_node: Node, tmp_path: Path
) -> None:
    atdata.configure(plc=devnet.plc, dev=True)
    account = devnet.create_account(0, "previewed")
    client = AtmosphereClient(base_url=account.pds_url)
    client.login(account.handle, account.password)
    index = AtmosphereIndex(client, data_store=PDSBlobStore(client))
    path = tmp_path / "pictures.tar"
    picture = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    image = ndarray.encode(picture)
    path.write_bytes(samples(*({"picture": image, "caption": f"fish {at}"} for at in range(6))))
    schema = index.publish_schema(Pictured, version="1.0.0")
    entry = index.insert_dataset(
        atdata.Dataset[Pictured](str(path)), name="previewed-fish", schema_ref=schema
    )

    with httpx.Client(base_url=index_node.url, timeout=30) as site:

        def part() -> httpx.Response:
            return site.get("/preview", params={"uri": entry.uri}, headers={"Accept": "text/html"})

        index_node.wait_until(lambda: part().status_code == 200, "it is indexed and read")
        shown = part().text
        assert all(f"fish {at}" in shown for at in range(4))
        (first, *_) = re.findall(r'src="(/preview/image[^"]*)"', shown)
        address = first.replace("&amp;", "&")
        assert site.get(address).headers["content-type"] == "image/png"

        token = xrpc(
            account.pds_url,
            "com.atproto.server.createSession",
            body={"identifier": account.handle, "password": account.password},
        )["accessJwt"]
        xrpc(account.pds_url, "com.atproto.server.deactivateAccount", body={}, token=token)
        index_node.wait_until(lambda: part().status_code == 404, "it is hidden")
        assert site.get(address).status_code == 404
