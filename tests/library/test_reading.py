"""Reading on past what is broken: every loss counted by reason, none of it silent."""

from __future__ import annotations

import gzip
import io
import logging
import tarfile
from pathlib import Path

import numpy as np
import ormsgpack
import pytest

from atdata import BlobSource, Dataset
from atdata import settings as settings_module
from atdata.protocol.cid import RAW, Cid
from atdata.protocol.errors import CidMismatch, FetchFailed, InvalidSample, InvalidShard
from atdata.reading import KEPT
from atdata.settings import Settings
from tests.library.shards import Feature, features, shard
from tests.network.local_server import LocalServer, content

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


def tar(members: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(number: int) -> tuple[str, bytes]:
    return f"{number:06d}.msgpack", features(number, 1)[0].packed


def labels(dataset: Dataset[Feature]) -> list[int]:
    return [sample.label for sample in dataset]


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Three shards of which the second is as bad as a shard can be without being cut."""
    bad = [
        member(10),
        ("000011.msgpack", b"\xc1"),
        ("000012.msgpack", ormsgpack.packb({"label": "twelve"})),
        member(13),
        ("000014.json", b"{}"),
        member(15),
        member(15),
        member(16),
    ]
    shards = [tar([member(0), member(1)]), tar(bad), tar([member(20)])]
    for number, data in enumerate(shards):
        (tmp_path / f"{number}.tar").write_bytes(data)
    return [str(tmp_path / f"{number}.tar") for number in range(len(shards))]


def test_bad_samples_are_left_out_and_counted_by_reason(paths: list[str]) -> None:
    dataset = Dataset[Feature](paths, on_error="skip")
    assert labels(dataset) == [0, 1, 10, 13, 15, 16, 20]
    assert dataset.skipped.counts == {"sample": 2, "key": 2}
    assert dataset.skipped.total == 4
    members = ["000011.msgpack", "000012.msgpack", "000014.json", "000015.msgpack"]
    assert [error.member for error in dataset.skipped.errors] == members
    data = Path(paths[1]).read_bytes()
    for error in dataset.skipped.errors:
        assert error.shard == paths[1]
        assert data[error.offset :].startswith(error.member.encode() + b"\0")


def test_a_sample_without_a_key_is_counted(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar([member(0), ("a/.msgpack", b""), member(1)]))
    dataset = Dataset[Feature](tmp_path / "0.tar", on_error="skip")
    assert labels(dataset) == [0, 1]
    assert dataset.skipped.counts == {"key": 1}
    assert [error.member for error in dataset.skipped.errors] == ["a/.msgpack"]


def test_without_the_option_the_first_of_them_is_raised(paths: list[str]) -> None:
    dataset = Dataset[Feature](paths)
    seen = []
    with pytest.raises(InvalidSample) as caught:
        seen += [sample.label for sample in dataset]
    assert (caught.value.shard, caught.value.member) == (paths[1], "000011.msgpack")
    assert dataset.skipped.total == 0


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_the_rest_of_a_shard_cut_short_is_lost_but_not_in_silence(
    tmp_path: Path, compress: type[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    whole = compress(tar([member(i) for i in range(50)]))
    (tmp_path / "0.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "1.tar").write_bytes(tar([member(99)]))
    dataset = Dataset[Feature](str(tmp_path / "{0..1}.tar"), on_error="skip")
    with caplog.at_level(logging.WARNING):
        seen = labels(dataset)
    assert seen[:-1] == list(range(len(seen) - 1))
    assert seen[-1] == 99
    assert dataset.skipped.counts == {"shard": 1}
    (error,) = dataset.skipped.errors
    assert isinstance(error, InvalidShard)
    assert error.shard == str(tmp_path / "0.tar")
    assert error.offset is not None
    assert "skipped: shard" in caplog.text


def test_what_is_no_tar_is_one_bad_shard(tmp_path: Path) -> None:
    (tmp_path / "page.tar").write_bytes(b"<html>" * 500)
    dataset = Dataset[Feature](tmp_path / "page.tar", on_error="skip")
    assert labels(dataset) == []
    assert dataset.skipped.counts == {"shard": 1}


def test_errors_beyond_measure_are_counted_but_not_kept(tmp_path: Path) -> None:
    bad = [(f"{number:06d}.msgpack", b"") for number in range(3 * KEPT)]
    (tmp_path / "bad.tar").write_bytes(tar(bad))
    dataset = Dataset[Feature](tmp_path / "bad.tar", on_error="skip")
    assert labels(dataset) == []
    assert dataset.skipped.counts == {"sample": 3 * KEPT}
    assert len(dataset.skipped.errors) == KEPT
    dataset.skipped.clear()
    assert dataset.skipped.total == 0


def test_a_view_through_a_lens_counts_with_what_it_shows(paths: list[str]) -> None:
    dataset = Dataset(paths, on_error="skip")
    view = dataset.as_type(Feature)
    with pytest.raises(InvalidSample, match="twelve"):  # it fits no type, which the view finds out
        list(view)
    assert view.skipped is dataset.skipped
    assert view.skipped.counts == {"sample": 1}


def test_a_blob_of_other_bytes_is_skipped_but_a_host_without_it_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = shard(features(0, 2))
    cids = [str(Cid.of(some, RAW)) for some in (data + b"x", data)]
    with LocalServer({"/xrpc/com.atproto.sync.getBlob": content(data)}) as server:
        monkeypatch.setattr(settings_module._Holder, "current", Settings(dev=True))
        source = BlobSource.from_refs(
            [{"did": DID, "cid": cid} for cid in cids], pds_endpoint=server.url
        )
        dataset = Dataset[Feature](source, on_error="skip")
        assert labels(dataset) == [0, 1]
        assert dataset.skipped.counts == {"cid": 1}
        assert isinstance(dataset.skipped.errors[0], CidMismatch)
        server.routes.clear()
        with pytest.raises(FetchFailed):
            labels(dataset)


def test_only_these_two_ways_with_errors() -> None:
    with pytest.raises(ValueError, match="on_error"):
        Dataset("a.tar", on_error="ignore")  # type: ignore[arg-type]


# --- arrays --------------------------------------------------------------------------------------


def test_arrays_are_read_only_unless_asked_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(shard(features(0, 3)))
    for kind in (Feature, None):
        dataset = Dataset if kind is None else Dataset[kind]
        for sample in dataset(tmp_path / "a.tar"):
            with pytest.raises(ValueError, match="read-only"):
                sample.features[0] = 7
        for sample in dataset(tmp_path / "a.tar", writable=True):
            sample.features[0] = 7
            assert sample.features.tolist() == [7, *[sample.label] * 3]


# --- other readers -------------------------------------------------------------------------------


def test_samples_flow_through_a_webdataset_pipeline(paths: list[str]) -> None:
    import webdataset

    dataset = Dataset[Feature](paths[0])
    pipeline = webdataset.DataPipeline(
        dataset.wds, webdataset.shuffle(10), webdataset.to_tuple("__key__", "features", "label")
    )
    seen = sorted((key, label) for key, _, label in pipeline)
    assert seen == [("000000", 0), ("000001", 1)]
    batched = webdataset.DataPipeline(
        dataset.wds, webdataset.to_tuple("features", "label"), webdataset.batched(2)
    )
    (batch,) = batched
    np.testing.assert_array_equal(batch[0], [[0] * 4, [1] * 4])
    assert {sample["__url__"] for sample in dataset.wds()} == {paths[0]}
