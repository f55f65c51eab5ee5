"""Pulling: shards into the library, each checked, several at a time, from where it was left."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import atdata
from atdata.library import Library
from atdata.network.http import HttpClient, Policy
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import (
    BlockedAddress,
    CidMismatch,
    FetchFailed,
    InvalidRecord,
    InvalidShard,
    NotConfigured,
    NotFound,
)
from atdata.protocol.records import (
    Checksum,
    ExternalShard,
    ExternalStorage,
    S3Shard,
    S3Storage,
)
from atdata.protocol.syntax import AtUri
from atdata.shard_files import Rest, Shard, ShardFile
from tests.discovery.conftest import Configure
from tests.discovery.host import DID, HANDLE, Host, Write
from tests.library.shards import Feature, features, shard
from tests.network.local_server import content, in_turn, status

GETBLOB = "com.atproto.sync.getBlob"
SHARDS = [shard(features(start, 3)) for start in (0, 3, 6)]
SAMPLES = features(0, 9)
THEN = "Sun, 01 Nov 2026 00:00"


@pytest.fixture
def uri(host: Host) -> str:
    return host.dataset(host.schema(Feature), SHARDS)


def external(host: Host, *shards: ExternalShard) -> str:
    return host.dataset(host.schema(Feature), ExternalStorage(shards), "3kexternal")


def sha256(data: bytes, algorithm: str = "sha256") -> Checksum:
    return Checksum(algorithm, hashlib.new(algorithm.replace("-", ""), data).hexdigest().upper())


def broken_after(size: int, times: int = 1) -> Write:
    """Write ``size`` bytes and close the connection, so many times; then everything."""
    left = [times]

    def write(request: BaseHTTPRequestHandler, data: bytes) -> None:
        if left[0] and len(data) > size:
            left[0] -= 1
            request.wfile.write(data[:size])
            request.close_connection = True
        else:
            request.wfile.write(data)

    return write


# --- what is there afterwards -----------------------------------------------------------------


def test_a_pulled_dataset_is_files_under_their_cids(host: Host, uri: str, library: Path) -> None:
    paths = atdata.pull(uri)
    assert [path.read_bytes() for path in paths] == SHARDS
    assert [path.stem for path in paths] == [str(Cid.of(data, RAW)) for data in SHARDS]
    (folder,) = {path.parent for path in paths}
    assert folder == library / DID.replace(":", "%3A") / "ac.foundation.dataset.record/3kdataset"
    manifest = json.loads((folder / "dataset.json").read_bytes())
    assert (manifest["dataset"]["uri"], manifest["handle"]) == (uri, HANDLE)
    assert [shard["size"] for shard in manifest["shards"]] == [len(data) for data in SHARDS]
    assert {path.name for path in folder.iterdir()} == {
        *(path.name for path in paths),
        "dataset.json",
        ".lock",
    }


def test_it_is_loaded_without_the_network(
    host: Host, uri: str, library: Path, configure: Configure
) -> None:
    atdata.pull(uri)
    host.server.seen.clear()
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert list(atdata.load_dataset(f"@{HANDLE}/made", Feature)) == SAMPLES
    assert atdata.load_dataset(uri).sample_type.__name__ == "Feature"
    assert len(list(atdata.load_dataset(uri))) == 9
    assert host.server.seen == []
    configure(library=library)  # no index, no directory
    assert list(atdata.load_dataset(uri, Feature, verify=True)) == SAMPLES


@pytest.mark.parametrize(
    "claims",
    [
        {"size": -1},
        {"size": 2**40},
        {"mimeType": ""},
        {"mimeType": None},
        {"size": None, "mimeType": None},
        {"more": {"$type": ""}},
    ],
)
def test_blobs_with_untrue_claims_are_those_that_their_cids_name(
    host: Host, library: Path, configure: Configure, claims: dict[str, Any]
) -> None:
    made = host.dataset(host.schema(Feature), SHARDS)
    body = dict(host.records[made].value)
    blobs = [{**ref, **claims} for ref in body["storage"]["blobs"]]
    uri = host.put_body({**body, "storage": {**body["storage"], "blobs": blobs}}, "3kuntrue")
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES  # what the index says
    atdata.pull(uri)
    host.server.seen.clear()
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES  # from the library
    assert host.server.seen == []
    configure(plc=host.server.url)
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES  # what the author's PDS says


def test_another_folder_is_remembered(host: Host, uri: str, library: Path, tmp_path: Path) -> None:
    paths = atdata.pull(uri, tmp_path / "on another disk")
    assert paths[0].is_relative_to(tmp_path / "on another disk")
    host.server.seen.clear()
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert host.server.seen == []
    host.dataset(host.schema(Feature), SHARDS[:1])
    atdata.pull(uri)
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES[:3], "what was pulled last"
    paths[0].with_name("dataset.json").unlink()
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES[:3]


def test_without_a_library_the_error_says_how_to_name_one(
    host: Host, uri: str, configure: Configure
) -> None:
    configure(api=host.server.url)
    with pytest.raises(NotConfigured, match="ATDATA_LIBRARY"):
        atdata.pull(uri)


def test_one_shard_several_times_is_one_file(host: Host, library: Path) -> None:
    uri = host.dataset(host.schema(Feature), [SHARDS[0], SHARDS[1], SHARDS[0]])
    paths = atdata.pull(uri)
    assert paths[0] == paths[2]
    assert len(host.requests(GETBLOB)) == 2
    assert list(atdata.load_dataset(uri, Feature)) == features(0, 6) + features(0, 3)


# --- what is right is used, what is not is not ---------------------------------------------------


@pytest.mark.parametrize("spoil", ["cut", "gone", "changed", "manifest", "record"])
def test_a_library_that_is_not_right_is_not_used(
    host: Host, uri: str, library: Path, spoil: str
) -> None:
    path = atdata.pull(uri)[1]
    manifest = path.with_name("dataset.json")
    match spoil:
        case "cut":
            path.write_bytes(SHARDS[1][:-1])
        case "gone":
            path.unlink()
        case "changed":
            path.write_bytes(bytes(len(SHARDS[1])))
        case "manifest":
            manifest.write_bytes(manifest.read_bytes()[:-20])
        case "record":
            manifest.write_text(manifest.read_text().replace('"made"', '"fake"'))
    host.server.seen.clear()
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert len(host.requests(GETBLOB)) == 3, "it came from the network"
    atdata.pull(uri)
    host.server.seen.clear()
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert host.server.seen == []


def test_a_change_that_keeps_size_and_time_is_found_on_request(
    host: Host, uri: str, library: Path
) -> None:
    path = atdata.pull(uri)[1]
    then = path.stat()
    path.write_bytes(SHARDS[0])
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert len(SHARDS[0]) == len(SHARDS[1])
    assert list(atdata.load_dataset(uri, Feature)) != SAMPLES
    assert list(atdata.load_dataset(uri, Feature, verify=True)) == SAMPLES
    atdata.pull(uri)
    assert path.read_bytes() == SHARDS[1]


def test_files_that_were_copied_prove_themselves_once(host: Host, uri: str, library: Path) -> None:
    for path in atdata.pull(uri):
        os.utime(path, ns=(0, 0))
    host.server.seen.clear()
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert host.server.seen == []
    manifest = json.loads(path.with_name("dataset.json").read_bytes())
    assert {shard["mtimeNs"] for shard in manifest["shards"]} == {0}


def test_a_newer_version_is_pulled_beside_and_what_it_shares_is_kept(
    host: Host, uri: str, library: Path
) -> None:
    old = atdata.pull(uri)
    host.dataset(host.schema(Feature), [SHARDS[0], shard(features(9, 2))])
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES, "the version that was pulled"
    (hit,) = atdata.search()
    assert list(hit.load(Feature)) == features(0, 3) + features(9, 2), "a hit is of its version"
    host.server.seen.clear()
    new = hit.pull()
    assert new[0] == old[0]
    assert len(host.requests(GETBLOB)) == 1
    assert not old[1].exists()
    host.server.seen.clear()
    assert list(hit.load(Feature)) == features(0, 3) + features(9, 2)
    assert host.server.seen == []


def test_a_manifest_cannot_name_files_elsewhere(host: Host, uri: str, library: Path) -> None:
    path = atdata.pull(uri)[0]
    outside = library / "outside.tar"
    outside.write_bytes(path.read_bytes())
    manifest = path.with_name("dataset.json")
    manifest.write_text(manifest.read_text().replace(path.name, "../../../outside.tar"))
    host.server.seen.clear()
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES
    assert host.requests(GETBLOB)


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [False, True])
def test_a_connection_that_breaks_is_taken_up_again(
    host: Host, uri: str, library: Path, ranges: bool
) -> None:
    host.ranges, host.write = ranges, broken_after(5000, times=2)
    assert [path.read_bytes() for path in atdata.pull(uri, workers=1)] == SHARDS
    asked = [headers.get("Range") for headers in host.requests(GETBLOB)]
    assert len(asked) == 5
    assert asked[:3] == [None, "bytes=5000-", "bytes=10000-" if ranges else "bytes=5000-"]


@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("spoilt", ["first byte", "last byte", "too long"])
def test_a_part_that_is_wrong_is_found_and_begun_again(
    host: Host, uri: str, library: Path, ranges: bool, spoilt: str
) -> None:
    host.ranges = ranges
    paths = atdata.pull(uri)
    data = SHARDS[0][:7000]
    wrong = {
        "first byte": bytes([data[0] ^ 1]) + data[1:],
        "last byte": data[:-1] + bytes([data[-1] ^ 1]),
        "too long": SHARDS[0] + b"more",
    }
    paths[0].unlink()
    part = paths[0].with_name(paths[0].name + ".part")
    part.write_bytes(wrong[spoilt])
    assert atdata.pull(uri) == paths
    assert [path.read_bytes() for path in paths] == SHARDS
    assert not part.exists()


def test_a_part_that_is_whole_already_is_not_fetched(host: Host, uri: str, library: Path) -> None:
    path = atdata.pull(uri)[0]
    path.rename(path.with_name(path.name + ".part"))
    host.server.seen.clear()
    atdata.pull(uri)
    assert host.requests(GETBLOB) == []
    assert path.read_bytes() == SHARDS[0]


@pytest.mark.parametrize("ranges", [False, True])
def test_wrong_bytes_leave_no_file_and_the_other_shards_stay(
    host: Host, uri: str, library: Path, ranges: bool
) -> None:
    host.ranges = ranges
    cid = str(Cid.of(SHARDS[2], RAW))
    host.files[cid] = SHARDS[0]
    with pytest.raises(CidMismatch) as caught:
        atdata.pull(uri, workers=1)
    assert str(Cid.of(SHARDS[0], RAW)) in str(caught.value)
    assert cid in str(caught.value)
    assert sorted(path.stem for path in library.rglob("bafk*")) == sorted(
        str(Cid.of(data, RAW)) for data in SHARDS[:2]
    )
    with pytest.raises(NotFound):
        Library(library).find(AtUri.parse(uri))


def test_a_blob_that_is_gone_ends_the_pull_at_once(host: Host, uri: str, library: Path) -> None:
    del host.files[str(Cid.of(SHARDS[0], RAW))]
    with pytest.raises(FetchFailed, match="404"):
        atdata.pull(uri, workers=1)
    assert len(host.requests(GETBLOB)) == 1


# --- shards at URLs --------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5", "SHA-256"])
def test_checksums_are_held_to(host: Host, library: Path, algorithm: str) -> None:
    url = host.file("/a.tar", SHARDS[0])
    uri = external(host, ExternalShard(url, sha256(SHARDS[0], algorithm.lower())))
    assert [path.read_bytes() for path in atdata.pull(uri)] == SHARDS[:1]
    host.files["/a.tar"] = SHARDS[1]
    (path,) = library.rglob("url-*.tar")
    path.unlink()
    with pytest.raises(InvalidShard, match="the record says"):
        atdata.pull(uri)
    assert list(library.rglob("url-*.part*")) == []


@pytest.mark.parametrize("checksum", [None, Checksum("none", ""), Checksum("blake3", "ab" * 32)])
def test_without_a_checksum_the_length_is_all_there_is(
    host: Host, library: Path, checksum: Checksum | None
) -> None:
    uri = external(host, ExternalShard(host.file("/a.tar", SHARDS[0]), checksum))
    host.write = broken_after(3000)
    (path,) = atdata.pull(uri)
    assert path.read_bytes() == SHARDS[0]
    path.write_bytes(b"spoilt")
    assert atdata.pull(uri)[0].read_bytes() == SHARDS[0], "as it was when it was pulled before"


@pytest.mark.parametrize("states", ["ETag", "Last-Modified"])
def test_an_unproven_part_goes_on_only_under_the_hosts_own_version(
    host: Host, library: Path, states: str
) -> None:
    uri = external(host, ExternalShard(host.file("/a.tar", SHARDS[0])))
    stated = host.etags if states == "ETag" else host.modified
    one, two = ('"one"', '"two"') if states == "ETag" else (f"{THEN}:00 GMT", f"{THEN}:01 GMT")
    host.ranges, stated["/a.tar"] = True, one

    def changes_meanwhile(request: BaseHTTPRequestHandler, data: bytes) -> None:
        request.wfile.write(data[:4000])
        request.close_connection = True
        host.files["/a.tar"], stated["/a.tar"] = SHARDS[1], two
        host.write = broken_after(2000)

    host.write = changes_meanwhile
    assert atdata.pull(uri)[0].read_bytes() == SHARDS[1]
    asked = [(seen.get("Range"), seen.get("If-Range")) for seen in host.requests("/a.tar")]
    assert asked == [(None, None), ("bytes=4000-", one), ("bytes=2000-", two)]


def test_a_part_of_which_the_host_states_the_length_only_is_begun_again(
    host: Host, library: Path
) -> None:
    uri = external(host, ExternalShard(host.file("/a.tar", SHARDS[0])))
    host.ranges, host.write = True, broken_after(4000)
    assert atdata.pull(uri)[0].read_bytes() == SHARDS[0]
    assert [seen.get("Range") for seen in host.requests("/a.tar")] == [None, None]


@pytest.mark.parametrize("wrong", ["of another version", "of another length", "not all the rest"])
def test_a_range_that_is_not_the_rest_is_not_joined_to_the_part(
    host: Host, library: Path, wrong: str
) -> None:
    uri = external(host, ExternalShard(host.file("/a.tar", SHARDS[0])))
    host.etags["/a.tar"], host.write = '"one"', broken_after(4000)
    whole = host.server.routes["/a.tar"]
    size = len(SHARDS[1]) + (512 if wrong == "of another length" else 0)
    end = size - (512 if wrong == "not all the rest" else 0)
    tag = '"two"' if wrong == "of another version" else '"one"'

    def answer(request: BaseHTTPRequestHandler) -> None:
        if "Range" not in request.headers:
            whole(request)
            return
        span = f"bytes 4000-{end - 1}/{size}"
        content(bytes(end - 4000), 206, content_range=span, etag=tag)(request)

    host.server.routes["/a.tar"] = answer
    assert atdata.pull(uri)[0].read_bytes() == SHARDS[0]
    asked = [seen.get("Range") for seen in host.requests("/a.tar")]
    assert asked == [None, "bytes=4000-", None]


def test_patterns_are_many_shards(host: Host, library: Path) -> None:
    urls = [host.file(f"/data-{i}.tar", data) for i, data in enumerate(SHARDS)]
    uri = external(host, ExternalShard(urls[0].replace("data-0", "data-{0..2}")))
    assert [path.read_bytes() for path in atdata.pull(uri)] == SHARDS
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES


def test_what_a_record_must_not_name_is_not_fetched(host: Host, library: Path) -> None:
    for url in ("file:///etc/passwd", "pipe:cat /etc/passwd", "ftp://example.com/a.tar"):
        with pytest.raises(BlockedAddress):
            atdata.pull(external(host, ExternalShard(url)))
        with pytest.raises(BlockedAddress):
            atdata.load_dataset(external(host, ExternalShard(url)))


# --- hosts that want to be left alone ----------------------------------------------------------


class Clock(threading.Event):
    """Time that passes only while somebody waits for a pull to be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.waits = 0.0, list[float]()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        self.now += timeout or 0.0
        return False


def test_a_host_is_left_alone_for_as_long_as_it_asks(host: Host, tmp_path: Path) -> None:
    urls = [host.file(f"/{name}.tar", SHARDS[0]) for name in "ab"]
    limited = status(503, retry_after="60")
    host.server.routes["/a.tar"] = in_turn(limited, host.server.routes["/a.tar"])
    clock = Clock()
    http, rest = HttpClient(Policy(dev=True)), Rest(clock, clock=lambda: clock.now)

    def fetch(url: str, name: str) -> None:
        shard_file = ShardFile(
            Shard(url, url, name), tmp_path, http, tell=int, stop=clock, rest=rest
        )
        shard_file.fetch()

    fetch(urls[0], "a.tar")
    assert (clock.waits, len(host.server.seen)) == ([60.0], 2)
    rest.ask(urls[0], 40.0)
    fetch(urls[1], "b.tar")
    assert clock.waits == [60.0, 40.0], "the other shards of that host wait as well"


def test_a_host_that_asks_for_more_than_an_hour_ends_the_pull(host: Host, library: Path) -> None:
    uri = external(host, ExternalShard(host.file("/a.tar", SHARDS[0])))
    host.server.routes["/a.tar"] = status(429, retry_after="7200")
    with pytest.raises(FetchFailed, match="429") as caught:
        atdata.pull(uri)
    assert caught.value.retry_after == 7200
    assert len(host.requests("/a.tar")) == 1


# --- shards in buckets -----------------------------------------------------------------------


def bucket(host: Host, *shards: S3Shard, endpoint: str | None = None) -> str:
    storage = S3Storage("shelf", shards, endpoint=endpoint or host.server.url)
    return host.dataset(host.schema(Feature), storage, "3kbucket")


def test_a_bucket_is_streamed_and_pulled(host: Host, library: Path) -> None:
    keys = ["v 1/0.tar", "v 1/{1..9}.tar"]
    for path, data in zip(("v%201/0.tar", "v%201/%7B1..9%7D.tar"), SHARDS, strict=False):
        host.file(f"/shelf/{path}", data)
    uri = bucket(host, S3Shard(keys[0], sha256(SHARDS[0])), S3Shard(keys[1]))
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES[:6]
    assert [path.read_bytes() for path in atdata.pull(uri)] == SHARDS[:2]
    asked = len(host.requests("/shelf/"))
    assert list(atdata.load_dataset(uri, Feature)) == SAMPLES[:6]
    assert len(host.requests("/shelf/")) == asked


def test_a_bucket_is_where_the_record_must_lead(host: Host, library: Path) -> None:
    for use in (atdata.pull, atdata.load_dataset):
        with pytest.raises(BlockedAddress):
            use(bucket(host, S3Shard("a.tar"), endpoint="ftp://example.org"))
        with pytest.raises(InvalidRecord, match="key"):
            use(bucket(host, S3Shard("../a.tar")))


# --- several at a time -----------------------------------------------------------------------


def test_shards_are_fetched_at_the_same_time(host: Host, uri: str, library: Path) -> None:
    together = threading.Barrier(3, timeout=20)

    def write(request: BaseHTTPRequestHandler, data: bytes) -> None:
        together.wait()  # breaks unless three requests are under way
        request.wfile.write(data)

    host.write = write
    atdata.pull(uri, workers=3)
    for workers in (0, 33):
        with pytest.raises(ValueError, match="workers"):
            atdata.pull(uri, workers=workers)


def test_two_pulls_at_once_fetch_every_shard_once(host: Host, uri: str, library: Path) -> None:
    threads = [threading.Thread(target=atdata.pull, args=(uri,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(host.requests(GETBLOB)) == 3
    assert list(atdata.load_dataset(uri, Feature, verify=True)) == SAMPLES


def test_progress_ends_at_all_bytes(
    host: Host, uri: str, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int | None]] = []
    atdata.pull(host.dataset(host.schema(Feature), SHARDS, "3kquiet"))
    atdata.pull(uri, progress=lambda there, total: told.append((there, total)))
    whole = sum(map(len, SHARDS))
    assert told[-1] == (whole, whole)
    assert [there for there, _ in told] == sorted(there for there, _ in told)
    assert capsys.readouterr() == ("", ""), "quiet where there is no terminal"
    told.clear()
    atdata.pull(uri, progress=lambda there, total: told.append((there, total)))
    assert told[-1] == (whole, whole), "also where everything was there"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="left out: needs a pseudo-terminal")
def test_on_a_terminal_there_is_a_bar(host: Host, uri: str, library: Path) -> None:
    master, terminal = os.openpty()
    command = [sys.executable, "-m", "atdata.cli", "pull", uri, str(library)]
    done = subprocess.run(
        [*command, "--api", host.server.url, "--dev"],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        text=True,
    )
    os.close(terminal)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert done.returncode == 0, shown
    assert len(done.stdout.splitlines()) == 3
    assert "pull" in shown
    assert "━" in shown
