"""The mirror: blobs of visible datasets, checked, in bounded space, with ranges; off by default."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient

from atdata.network.http import HttpClient
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.syntax import Did
from search_api.database import Database
from search_api.feeds.mirror import Mirror, Named
from search_api.feeds.routes import BlobResponse
from tests.search_api.index_builder import IndexBuilder, did_of
from tests.search_api.live import live

GET_BLOB = "/xrpc/com.atproto.sync.getBlob"


def cid_of(data: bytes) -> str:
    raw = b"\x01\x55\x12\x20" + hashlib.sha256(data).digest()
    return "b" + base64.b32encode(raw).decode().lower().rstrip("=")


class Host:
    """A PDS's getBlob: what it has under which CID, true or not, and how often it was asked."""

    def __init__(self) -> None:
        host = self
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                cid = parse_qs(urlsplit(self.path).query)["cid"][0]
                host.asked.append(cid)
                data = host.blobs.get(cid)
                self.send_response(200 if data is not None else 400)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, data: bytes) -> str:
        cid = cid_of(data)
        self.blobs[cid] = data
        return cid


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def client(index: IndexBuilder, tmp_path: Path) -> Iterator[httpx.Client]:
    settings = {"mirror": tmp_path / "mirror", "mirror_bytes": 100_000, "dev": True}
    with live(index, tmp_path, **settings) as origin, httpx.Client(base_url=origin) as made:
        yield made


def publish(index: IndexBuilder, did: str, *cids: str, **claims: Any) -> str:
    said = {"mimeType": "application/x-tar", "size": 1, **claims}
    blobs = [{"$type": "blob", "ref": {"$link": cid}, **said} for cid in cids]
    body = {
        "name": "Reef",
        "schemaRef": "at://did:plc:x/a.b.c/y",
        "storage": {"$type": "ac.foundation.dataset.storageBlobs", "blobs": blobs},
        "createdAt": "2025-10-09T08:00:00Z",
    }
    return index.dataset(did, "Reef", "at://x/y/z", storage="blobs", body=body)


def get(client: httpx.Client, did: str, cid: str, **headers: str) -> httpx.Response:
    return client.get(GET_BLOB, params={"did": did, "cid": cid}, headers=headers)


def test_a_blob_is_fetched_once_and_ranges_are_answered(
    index: IndexBuilder, host: Host, client: httpx.Client
) -> None:
    did = index.account("alice", pds=host.origin)
    data = bytes(range(256)) * 100
    cid = host.add(data)
    publish(index, did, cid)
    whole = get(client, did, cid)
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["accept-ranges"] == "bytes"
    part = get(client, did, cid, Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
    assert get(client, did, cid, Range="bytes=999999-").status_code == 416
    assert host.asked == [cid]


def test_who_has_the_blob_is_not_sent_it_again_while_it_may_be_seen(
    index: IndexBuilder, host: Host, client: httpx.Client
) -> None:
    did = index.account("alice", pds=host.origin)
    cid = host.add(b"a shard")
    publish(index, did, cid)
    headers = {"If-None-Match": f'"{cid}"'}
    known = get(client, did, cid, **headers, Range="bytes=0-1")
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", f'"{cid}"')
    assert host.asked == []
    assert get(client, did, cid, **{"If-None-Match": '"other"'}).content == b"a shard"
    index.set_active(did, False)
    assert get(client, did, cid, **headers).status_code == 404


@pytest.mark.parametrize("claims", [{"size": -1}, {"mimeType": ""}, {"mimeType": None}])
def test_what_a_record_claims_of_a_blob_does_not_matter(
    index: IndexBuilder, host: Host, client: httpx.Client, claims: dict[str, Any]
) -> None:
    did = index.account("alice", pds=host.origin)
    cid = host.add(b"a shard")
    publish(index, did, cid, **claims)
    assert get(client, did, cid).content == b"a shard"


def test_bytes_that_are_not_the_blob_s_are_seen_by_nobody(
    index: IndexBuilder, host: Host, client: httpx.Client, tmp_path: Path
) -> None:
    did = index.account("mallory", pds=host.origin)
    cid = host.add(b"true")
    host.blobs[cid] = b"false"
    publish(index, did, cid)
    answer = get(client, did, cid)
    assert (answer.status_code, answer.json()["error"]) == (502, "UpstreamFailure")
    assert cid in answer.json()["message"]
    assert list((tmp_path / "mirror").iterdir()) == []
    host.blobs[cid] = b"true"
    assert get(client, did, cid).content == b"true"


def test_only_what_a_visible_dataset_names_is_fetched_or_given_out(
    index: IndexBuilder, host: Host, client: httpx.Client, tmp_path: Path
) -> None:
    did, other = index.account("alice", pds=host.origin), index.account("other", pds=host.origin)
    cid, unnamed = host.add(b"named"), host.add(b"unnamed")
    uri = publish(index, did, cid)
    index.dataset(did, f"mentions {unnamed}", "at://x/y/z", body={"name": unnamed})
    for asked in ((other, cid), (did, unnamed)):
        assert get(client, *asked).status_code == 404
    assert host.asked == []
    assert get(client, did, cid).status_code == 200
    index.set_active(did, False)
    assert get(client, did, cid).status_code == 404
    assert list((tmp_path / "mirror").iterdir()) == []
    index.set_active(did, True)
    assert get(client, did, cid).status_code == 200
    index.delete(uri)
    assert get(client, did, cid).status_code == 404


def test_the_space_is_bounded_and_the_longest_unused_leaves(
    index: IndexBuilder, host: Host, client: httpx.Client, tmp_path: Path
) -> None:
    did = index.account("alice", pds=host.origin)
    cids = [host.add(bytes([n]) * 40_000) for n in range(3)]
    large = host.add(b"x" * 100_001)
    publish(index, did, *cids, large)
    for cid in (cids[0], cids[1], cids[0], cids[2]):
        assert get(client, did, cid).status_code == 200
    kept = {path.name.partition("-")[2] for path in (tmp_path / "mirror").iterdir()}
    assert kept == {cids[0], cids[2]}
    assert get(client, did, large).status_code == 502


def test_the_date_of_a_blob_holds_for_a_part_of_it(
    index: IndexBuilder, host: Host, client: httpx.Client, tmp_path: Path
) -> None:
    did = index.account("alice", pds=host.origin)
    cid = host.add(b"0123456789")
    publish(index, did, cid)
    get(client, did, cid)
    (path,) = (tmp_path / "mirror").iterdir()
    os.utime(path, (1_700_000_000, 1_700_000_000))
    modified = "Tue, 14 Nov 2023 22:13:20 GMT"
    for _ in range(2):
        part = get(client, did, cid, **{"Range": "bytes=2-4", "If-Range": modified})
        assert (part.status_code, part.content) == (206, b"234")
        assert part.headers["last-modified"] == modified


def test_a_blob_that_leaves_before_it_is_sent_is_asked_for_again(
    index: IndexBuilder, tmp_path: Path
) -> None:
    mirror = Mirror(Database(index.connection), HttpClient(), tmp_path, 100)
    named = Named("https://pds.example.com", Did(did_of("alice")), Cid.of(b"", RAW))
    gone = TestClient(BlobResponse(mirror, named, {"ETag": '"x"'})).get("/")
    assert (gone.status_code, gone.json()["error"]) == (503, "NotEnoughResources")
    assert int(gone.headers["retry-after"]) > 0
    assert "etag" not in gone.headers


def test_a_blob_that_somebody_removed_is_fetched_again(
    index: IndexBuilder, host: Host, client: httpx.Client, tmp_path: Path
) -> None:
    did = index.account("alice", pds=host.origin)
    cid = host.add(b"0123456789")
    publish(index, did, cid)
    for _ in range(2):
        assert get(client, did, cid).content == b"0123456789"
        (path,) = (tmp_path / "mirror").iterdir()
        path.unlink()
    assert host.asked == [cid, cid]


def test_what_is_wrong_is_a_400(client: httpx.Client) -> None:
    for query in ("", "?did=x&cid=y", "?did=did:plc:x&did=did:plc:x&cid=y"):
        assert client.get(GET_BLOB + query).status_code == 400


def test_there_is_none_unless_it_is_configured(index: IndexBuilder, tmp_path: Path) -> None:
    with live(index, tmp_path) as origin:
        assert httpx.get(origin + GET_BLOB).status_code == 501
