"""Sources against a real server: guarded fetches, and blobs checked before they are seen."""

from __future__ import annotations

import hashlib
import io
import json
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest

from atdata import BlobSource, Dataset, LocalSource, URLSource
from atdata import settings as settings_module
from atdata.blob_fetch import IN_MEMORY
from atdata.index import DataSource
from atdata.network.identity import Resolver
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import (
    BlockedAddress,
    CidMismatch,
    FetchFailed,
    InvalidCid,
    InvalidShard,
    InvalidSyntax,
    NotFound,
)
from atdata.protocol.records import Checksum
from atdata.protocol.shard_patterns import MAX_SHARDS
from atdata.settings import Settings
from atdata.sources import source_of
from tests.library.shards import Feature, features, shard
from tests.network.local_server import Answer, LocalServer, content, in_turn, raw

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
OTHER = "did:plc:44ybard66vv44zksje25o7dz"
GET_BLOB = "/xrpc/com.atproto.sync.getBlob"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> object:
    """A server that is PLC and PDS at once, with the library set to it."""
    with LocalServer({}) as running:
        use(monkeypatch, Settings(plc=running.url, dev=True))
        yield running


def use(monkeypatch: pytest.MonkeyPatch, chosen: Settings) -> None:
    monkeypatch.setattr(settings_module._Holder, "current", chosen)


def cid_of(data: bytes) -> str:
    return str(Cid.of(data, RAW))


def blobs(kept: dict[str, bytes]) -> Answer:
    """getBlob over what is ``kept`` by CID, whether or not it hashes to that."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(request.path).query)
        data = kept.get(query["cid"][0])
        if data is None or query["did"] != [DID]:
            content(b'{"error":"BlobNotFound","message":"Blob not found"}', 400)(request)
        else:
            content(data)(request)

    return answer


def did_document(pds: str) -> Answer:
    kind = "AtprotoPersonalDataServer"
    service = {"id": "#atproto_pds", "type": kind, "serviceEndpoint": pds}
    return content(json.dumps({"id": DID, "service": [service]}).encode())


# --- names ---------------------------------------------------------------------------------------


def test_many_patterns_together_are_bounded_too() -> None:
    urls = [f"https://example.org/{i}/{{0..{MAX_SHARDS // 4}}}.tar" for i in range(4)]
    with pytest.raises(InvalidSyntax, match="in all"):
        URLSource(urls)


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("data-{0..3}.tar", LocalSource),
        ("https://example.org/{0..3}.tar", URLSource),
        (f"at://{DID}/blob/{cid_of(b'')}", BlobSource),
        (["a.tar", "b.tar"], LocalSource),
    ],
)
def test_what_a_person_writes_finds_its_source(where: str | list[str], kind: type) -> None:
    source = source_of(where)
    assert isinstance(source, kind)
    assert isinstance(source, DataSource)


@pytest.mark.parametrize(
    "where",
    [
        *("pipe:cat /etc/passwd", "file:///etc/passwd", "ftp://example.org/a.tar", "s3://b/a.tar"),
        *("PIPE:ls", "gs://b/a", "data:,x", ["a.tar", "https://example.org/a.tar"]),
    ],
)
def test_other_schemes_are_refused(where: str | list[str]) -> None:
    with pytest.raises(BlockedAddress):
        source_of(where)


@pytest.mark.parametrize("url", ["/etc/passwd", "pipe:ls", "file:///etc/passwd", ""])
def test_a_url_source_opens_no_file(url: str) -> None:
    with pytest.raises(BlockedAddress):
        URLSource([url])


# --- addresses -----------------------------------------------------------------------------------


def test_shards_at_addresses_are_streamed(server: LocalServer) -> None:
    server.routes |= {f"/d-{i}.tar": content(shard(features(3 * i, 3))) for i in range(2)}
    dataset = Dataset[Feature](f"{server.url}/d-{{0..1}}.tar")
    assert list(dataset) == features(0, 6)
    assert server.paths() == ["/d-0.tar", "/d-1.tar"]
    assert server.seen[0].headers["Accept-Encoding"] == "identity"


def test_shards_one_after_the_other(server: LocalServer) -> None:
    server.routes |= {"/0": content(b"zero"), "/1": content(b"one")}
    source = URLSource(f"{server.url}/{{0..1}}")
    read = [(name, stream.read()) for name, stream in source.shards]
    assert read == [(f"{server.url}/0", b"zero"), (f"{server.url}/1", b"one")]


def test_a_missing_or_broken_off_shard_is_an_error(server: LocalServer) -> None:
    data = shard(features(0, 3))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data)
    server.routes["/cut.tar"] = raw(head + data[:3000])
    reading = iter(Dataset[Feature](f"{server.url}/cut.tar"))
    with pytest.raises(FetchFailed):
        list(reading)
    with pytest.raises(FetchFailed) as caught:
        list(Dataset[Feature](f"{server.url}/missing.tar"))
    assert caught.value.status == 404


def test_an_answer_that_is_no_tar_names_its_address(server: LocalServer) -> None:
    server.routes["/page.tar"] = content(b"<html>" * 200)
    with pytest.raises(InvalidShard, match=r"page\.tar"):
        list(Dataset[Feature](f"{server.url}/page.tar"))


def test_loopback_is_refused_outside_development(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Settings(plc=server.url))
    with pytest.raises(BlockedAddress):
        list(Dataset[Feature](f"{server.url}/a.tar"))
    assert server.seen == []


@pytest.mark.parametrize("algorithm", ["sha256", "SHA-512", "md5"])
def test_a_shard_with_a_checksum_is_seen_only_if_it_is_right(
    server: LocalServer, algorithm: str
) -> None:
    data = shard(features(0, 3))
    digest = hashlib.new(algorithm.replace("-", ""), data).hexdigest()
    server.routes |= {"/right.tar": content(data), "/wrong.tar": content(data[:-1] + b"\1")}
    urls = [f"{server.url}/right.tar", f"{server.url}/wrong.tar"]
    source = URLSource(urls, checksums=dict.fromkeys(urls, Checksum(algorithm, digest.upper())))
    assert list(Dataset[Feature](source).read(urls[:1])) == features(0, 3)
    with pytest.raises(InvalidShard, match=f"wrong.tar.*the record says '{digest.upper()[:32]}"):
        next(Dataset[Feature](source).read(urls[1:]))
    skipping = Dataset[Feature](source, on_error="skip")
    assert list(skipping) == features(0, 3)
    assert skipping.skipped.counts == {"shard": 1}


def test_a_shard_with_a_checksum_outlives_its_connection(server: LocalServer) -> None:
    data = shard(features(0, 3))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data)
    server.routes["/a.tar"] = in_turn(raw(head + data[:3000]), content(data))
    url = f"{server.url}/a.tar"
    checksum = Checksum("sha256", hashlib.sha256(data).hexdigest())
    with URLSource(url, checksums={url: checksum}).open_shard(url) as stream:
        assert stream.read() == data


@pytest.mark.parametrize("checksum", [Checksum("none", ""), Checksum("blake3", "ab" * 32)])
def test_a_checksum_that_can_not_be_computed_says_nothing(
    server: LocalServer, checksum: Checksum
) -> None:
    server.routes["/a.tar"] = content(shard(features(0, 3)))
    url = f"{server.url}/a.tar"
    assert list(Dataset[Feature](URLSource(url, checksums={url: checksum}))) == features(0, 3)


# --- blobs ---------------------------------------------------------------------------------------


def test_blobs_stream_from_the_pds_that_the_did_document_names(server: LocalServer) -> None:
    one, two = shard(features(0, 3)), shard(features(3, 2))
    server.routes[f"/{DID}"] = did_document(server.url)
    server.routes[GET_BLOB] = blobs({cid_of(one): one, cid_of(two): two})
    source = BlobSource.from_refs([{"did": DID, "cid": cid_of(data)} for data in (one, two)])
    assert list(Dataset[Feature](source)) == features(0, 5)
    assert source.list_shards() == [f"at://{DID}/blob/{cid_of(data)}" for data in (one, two)]
    assert server.seen[-1].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("place", [0, 600, -1])
def test_one_flipped_byte_yields_no_sample_and_names_both_cids(
    server: LocalServer, place: int
) -> None:
    data = shard(features(0, 3))
    flipped = bytearray(data)
    flipped[place] ^= 1
    server.routes[GET_BLOB] = blobs({cid_of(data): bytes(flipped)})
    source = BlobSource.from_uris([f"at://{DID}/blob/{cid_of(data)}"], pds_endpoint=server.url)
    seen = []
    with pytest.raises(CidMismatch) as caught:
        seen.extend(Dataset[Feature](source))
    assert seen == []
    assert caught.value.expected == cid_of(data)
    assert caught.value.actual == cid_of(bytes(flipped))
    assert caught.value.expected in str(caught.value)
    assert caught.value.actual in str(caught.value)


def test_a_blob_larger_than_memory_should_hold_is_checked_in_a_file(server: LocalServer) -> None:
    data = bytes(IN_MEMORY) + b"the end"
    server.routes[GET_BLOB] = blobs({cid_of(data): data, cid_of(b"other"): data})
    right, wrong = (f"at://{DID}/blob/{cid}" for cid in (cid_of(data), cid_of(b"other")))
    source = BlobSource.from_uris([right, wrong], pds_endpoint=server.url + "/")
    with source.open_shard(right) as stream:
        assert not isinstance(stream, io.BytesIO)
        assert hashlib.file_digest(stream, "sha256").digest() == Cid.of(data, RAW).digest
    with pytest.raises(CidMismatch):
        source.open_shard(wrong)


def test_a_blob_cut_short_or_missing(server: LocalServer) -> None:
    data = shard(features(0, 3))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data)
    source = BlobSource.from_refs([{"did": DID, "cid": cid_of(data)}], pds_endpoint=server.url)
    server.routes[GET_BLOB] = raw(head + data[:3000])
    with pytest.raises(FetchFailed):
        list(Dataset[Feature](source))
    server.routes[GET_BLOB] = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + data[:3000])
    with pytest.raises(CidMismatch):
        list(Dataset[Feature](source))
    server.routes[GET_BLOB] = blobs({})
    with pytest.raises(FetchFailed) as caught:
        list(Dataset[Feature](source))
    assert caught.value.status == 400


def test_an_account_that_has_moved_is_followed(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    chosen = Settings(plc=server.url, dev=True)
    vars(chosen)["resolver"] = Resolver(chosen.http, plc=server.url, clock=lambda: now[0])
    use(monkeypatch, chosen)
    data = shard(features(0, 1))
    source = BlobSource.from_refs([{"did": DID, "cid": cid_of(data)}])
    with LocalServer({GET_BLOB: blobs({cid_of(data): data})}) as new:
        server.routes[f"/{DID}"] = did_document(server.url)
        server.routes[GET_BLOB] = blobs({})
        with pytest.raises(FetchFailed):
            list(Dataset[Feature](source))
        server.routes[f"/{DID}"] = did_document(new.url)
        now[0] = 10.0  # the old answer is remembered, and old enough to be doubted
        assert list(Dataset[Feature](source)) == features(0, 1)


def test_a_host_that_was_named_and_is_gone_is_only_a_hint(server: LocalServer) -> None:
    """An index may name the host that the account had when it last looked."""
    data = shard(features(0, 1))
    server.routes[f"/{DID}"] = did_document(server.url)
    server.routes[GET_BLOB] = blobs({cid_of(data): data})
    with LocalServer({GET_BLOB: blobs({})}) as old:
        refs = [{"did": DID, "cid": cid_of(data)}]
        source = BlobSource.from_refs(refs, pds_endpoint=old.url)
        assert list(Dataset[Feature](source)) == features(0, 1)


def test_an_account_without_a_pds_is_named(server: LocalServer) -> None:
    server.routes[f"/{DID}"] = content(f'{{"id":"{DID}"}}'.encode())
    source = BlobSource.from_refs([{"did": DID, "cid": cid_of(b"")}])
    with pytest.raises(NotFound, match=DID):
        source.open_shard(source.list_shards()[0])


# --- references to blobs -------------------------------------------------------------------------

CID = cid_of(b"x")


@pytest.mark.parametrize(
    "ref",
    [
        {"did": DID, "cid": CID},
        {"did": DID, "cid": Cid.parse(CID)},
        {"did": DID, "$type": "blob", "ref": {"$link": CID}, "mimeType": "a/b", "size": 1},
        {"$type": "blob", "ref": {"$link": CID}, "mimeType": "a/b", "size": 1},
        {"$type": "blob", "ref": Cid.parse(CID), "mimeType": "a/b", "size": 1},
    ],
)
def test_references_in_every_form(ref: dict[str, object]) -> None:
    assert BlobSource.from_refs([ref], did=DID).list_shards() == [f"at://{DID}/blob/{CID}"]


def test_the_account_of_a_reference_is_its_own() -> None:
    source = BlobSource.from_refs([{"did": OTHER, "cid": CID}], did=DID)
    assert source.list_shards() == [f"at://{OTHER}/blob/{CID}"]


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ({"cid": CID}, InvalidSyntax),
        ({"did": "alice", "cid": CID}, InvalidSyntax),
        ({"did": DID}, InvalidSyntax),
        ({"did": DID, "ref": {}}, InvalidSyntax),
        ({"did": DID, "cid": "bafy"}, InvalidCid),
        ({"did": DID, "cid": 7}, InvalidSyntax),
    ],
)
def test_references_that_are_none(ref: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        BlobSource.from_refs([ref])


@pytest.mark.parametrize("uri", ["", f"at://{DID}/blob", f"https://x/{CID}", f"at://{DID}/b/{CID}"])
def test_uris_that_name_no_blob(uri: str) -> None:
    with pytest.raises(InvalidSyntax):
        BlobSource.from_uris([uri])
