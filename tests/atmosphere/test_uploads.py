"""Many shards at once: in order, within bounds, as patiently as the host asks."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, DatasetPublisher, PDSBlobStore
from atdata.atmosphere.datasets import UPLOADED_LATER, check_draft, with_blobs
from atdata.atmosphere.repository import MAX_ANSWER
from atdata.atmosphere.reshard import SPOOL_BYTES, repack
from atdata.atmosphere.uploads import AHEAD, WORKERS, Shard, Uploaded, upload_all
from atdata.protocol.errors import (
    CidMismatch,
    FetchFailed,
    InvalidRecord,
    TooLarge,
    XrpcError,
)
from atdata.protocol.records import DatasetRecord
from deploy.devnet.devnet import Devnet
from tests.atmosphere.made import Feature, features, tar_of
from tests.atmosphere.upload_host import Answer, UploadHost, token

HOUR = 3_600
Accounts = Callable[[int, str], AtmosphereClient]


def live() -> tuple[str, str]:
    now = int(time.time())
    return token(now + 2 * HOUR, "access"), token(now + 9 * HOUR, "refresh")


def shards(count: int, size: int = 1_000) -> Iterator[Shard]:
    for n in range(count):
        yield Shard(io.BytesIO(bytes([n]) * size), n)


class Shrinking(io.BytesIO):
    """A file that tells when it is closed."""

    closed_files = 0

    def close(self) -> None:
        if not self.closed:
            type(self).closed_files += 1
        super().close()


def test_uploads_run_at_once_and_come_back_in_order() -> None:
    together = threading.Barrier(WORKERS)

    def all_arrive(number: int, method: str, body: bytes) -> None:
        if number < WORKERS:
            together.wait(30)  # goes on only when so many requests are under way

    with UploadHost(all_arrive) as host:
        uploaded = upload_all(host.client(*live()), shards(11))
    assert [shard.samples for shard in uploaded] == list(range(11))
    assert [shard.blob.size for shard in uploaded] == [1_000] * 11
    assert host.most_at_once == WORKERS
    assert sorted(host.bodies) == [bytes([n]) * 1_000 for n in range(11)]


def test_a_host_that_limits_uploads_is_left_alone_for_as_long_as_it_says() -> None:
    def limited(number: int, method: str, body: bytes) -> Answer | None:
        if number in {0, 1}:
            error = {"error": "RateLimitExceeded", "message": "Rate Limit Exceeded"}
            return 429, error, {"Retry-After": str(7 + number)}
        return None

    slept: list[float] = []
    with UploadHost(limited) as host:
        client = host.client(*live(), sleep=slept.append)
        told: list[int] = []
        blob = client.upload_blob(b"x" * 3_000_000, on_bytes=told.append)
    assert blob.size == 3_000_000
    assert [round(seconds) for seconds in slept if seconds > 1] == [7, 8]
    assert len(host.requests) == 3
    # What was sent in vain is taken back from the progress.
    assert (sum(told), told.count(-3_000_000)) == (3_000_000, 2)


def test_a_host_that_breaks_off_gets_the_blob_again() -> None:
    def broken(number: int, method: str, body: bytes) -> Answer | None:
        return (502, b"<html>bad gateway</html>", {}) if number < 2 else None

    with UploadHost(broken) as host:
        upload_all(host.client(*live(), sleep=lambda _: None), shards(1))
    assert len(host.requests) == 3


def test_the_first_failure_ends_all_and_closes_every_file() -> None:
    def refuse_the_third(number: int, method: str, body: bytes) -> Answer | None:
        return (400, {"error": "Nope", "message": "not this"}, {}) if body[:1] == b"\2" else None

    made: list[int] = []

    def endless() -> Iterator[Shard]:
        for n in range(100_000):
            made.append(n)
            yield Shard(Shrinking(bytes([n % 250])), None)

    Shrinking.closed_files = 0
    with UploadHost(refuse_the_third) as host, pytest.raises(XrpcError, match="not this"):
        upload_all(host.client(*live()), endless())
    assert len(made) < 100_000
    assert Shrinking.closed_files == len(made)


def test_a_shard_that_cannot_be_made_ends_the_uploads() -> None:
    def cut() -> Iterator[Shard]:
        yield from shards(3)
        raise ValueError("the fourth is cut")

    with UploadHost() as host, pytest.raises(ValueError, match="fourth"):
        upload_all(host.client(*live()), cut())
    assert len(host.bodies) <= 3


def test_a_host_that_stored_other_bytes_is_found_out() -> None:
    def other(number: int, method: str, body: bytes) -> Answer:
        link = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
        return 200, {"blob": {"ref": {"$link": link}, "mimeType": "x", "size": 1}}, {}

    with UploadHost(other) as host, pytest.raises(CidMismatch, match="bafkreigh2"):
        upload_all(host.client(*live()), shards(1))


def test_an_answer_that_is_no_json_is_a_named_error() -> None:
    with (
        UploadHost(lambda *_: (200, b"{not json", {})) as host,
        pytest.raises(FetchFailed, match="can't read"),
    ):
        upload_all(host.client(*live()), shards(1))


def test_answers_are_bounded_and_plain() -> None:
    packed = (200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"})
    with UploadHost(lambda *_: packed) as host, pytest.raises(FetchFailed, match="encoding"):
        upload_all(host.client(*live(), sleep=lambda _: None), shards(1))
    endless = (200, b" " * (MAX_ANSWER + 1), {})
    with UploadHost(lambda *_: endless) as host, pytest.raises(TooLarge, match=host.url):
        upload_all(host.client(*live()), shards(1))


def test_on_a_terminal_a_bar_tells_of_shards_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(ours, "rb") as screen, os.fdopen(theirs, "w") as stderr:
        os.set_blocking(screen.fileno(), False)
        monkeypatch.setattr(sys, "stderr", stderr)  # here: a fixture's would be put back
        with UploadHost() as host:
            upload_all(host.client(*live()), shards(3, 5_000), label="my-data", count=3)
        stderr.flush()
        shown = (screen.read() or b"").decode()
    assert "my-data" in shown
    assert "15.0" in shown
    assert "3 of 3 shards" in shown


def test_elsewhere_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with UploadHost() as host:
        upload_all(host.client(*live()), shards(3), label="my-data", count=3)
    assert capfd.readouterr() == ("", "")


@atdata.packable
class Large:
    image: NDArray[np.uint8]


def test_memory_is_bounded_by_a_few_shards(tmp_path: Path) -> None:
    """Twelve shards of eight megabytes: what is at hand is what is being sent and being made."""
    size, count = 8_000_000, 12
    for n in range(count):
        (tmp_path / f"{n:02d}.tar").write_bytes(tar_of([Large(np.full(size, n, np.uint8))]))
    dataset = atdata.Dataset[Large](str(tmp_path / "{00..11}.tar"))
    with UploadHost() as host:
        store = PDSBlobStore(host.client(*live()))
        for limits in ({}, {"maxcount": 1}):
            tracemalloc.start()
            try:
                urls = store.write_shards(dataset, **limits)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert len(urls) == count
            # The host is in this process and holds one body for each upload under way.
            bound = AHEAD * SPOOL_BYTES + WORKERS * 2 * size + 3 * size
            assert peak < bound < count * 2 * size, f"{peak:,}"


def test_pieces_of_a_reshard_are_made_only_as_they_are_sent() -> None:
    made = 0

    def samples() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
        nonlocal made
        for n in range(40):
            made += 1
            yield f"{n:06d}", [("msgpack", b"x" * 1_000)]

    gate = threading.Event()
    counts: list[int] = []

    def hold(number: int, method: str, body: bytes) -> None:
        counts.append(made)
        if number == WORKERS - 1:
            gate.set()
        assert gate.wait(30)

    with UploadHost(hold) as host:
        uploaded = upload_all(host.client(*live()), repack(samples(), 2, None))
    assert len(uploaded) == 20
    # Nothing is answered before WORKERS requests have come: until then no more is made than AHEAD.
    assert max(counts[:WORKERS]) <= 2 * AHEAD + 1


# --- against the real PDS -------------------------------------------------------------------------


@pytest.fixture
def client(accounts: Accounts, on_devnet: Devnet) -> AtmosphereClient:
    return accounts(0, "uploads-author")


@pytest.mark.devnet
def test_a_shard_larger_than_the_pds_takes_says_what_to_do(client: AtmosphereClient) -> None:
    class Zeros(io.RawIOBase):
        """A file that is larger than what one wants in memory."""

        size, at = 300 << 20, 0

        def seek(self, offset: int, whence: int = 0) -> int:
            self.at = self.size if whence == io.SEEK_END else offset
            return self.at

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.size - self.at)
            self.at += size
            return bytes(size)

    with pytest.raises(XrpcError, match="takes no blob of 314572800 bytes; see maxsize") as caught:
        client.upload_blob(Zeros())
    assert caught.value.status == 413


@pytest.mark.devnet
def test_more_shards_than_a_record_holds_are_refused_before_the_upload(
    client: AtmosphereClient, tmp_path: Path
) -> None:
    path = tmp_path / "one.tar"
    path.write_bytes(tar_of(features(1)))
    index = AtmosphereIndex(client, data_store=PDSBlobStore(client))
    with pytest.raises(InvalidRecord, match="larger shards"):
        index.insert_dataset(atdata.Dataset[Feature]([str(path)] * 1_200), name="too many")
    assert "too many" not in [entry.name for entry in index.list_datasets()]


@pytest.mark.devnet
def test_as_many_shards_as_are_let_through_fit_into_a_record(client: AtmosphereClient) -> None:
    blob = client.upload_blob(bytes(10_000_000), "application/x-tar")
    schema = f"at://{client.did}/ac.foundation.dataset.sampleSchema/Feature:1.0.0"
    draft = DatasetRecord("just enough", schema, UPLOADED_LATER, "2026-01-01T00:00:00Z")
    count = 1
    while lets_through(draft, count + 1):
        count += 1
    assert count > 1_000
    record = with_blobs(draft, [Uploaded(blob, None)] * count)
    written = DatasetPublisher(client).write(record)
    assert len(AtmosphereIndex(client).get_dataset(written.uri).data_urls) == count


def lets_through(draft: DatasetRecord, shards: int) -> bool:
    try:
        check_draft(draft, shards)
    except InvalidRecord:
        return False
    return True
