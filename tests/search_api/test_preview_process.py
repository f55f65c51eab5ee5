"""Previews of real shards over real HTTP, made by real processes; and of shards that mean harm.

Each hostile shard ends as a reason with a name, within bounds, and never as anything else.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import ormsgpack
import pytest

from atdata import ndarray
from atdata.preview import SHARD_BYTES
from atdata.preview_child import answered
from atdata.protocol.preview_views import Preview, PreviewAnswer
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import DatasetDetail, to_json
from search_api import queries
from search_api.database import Database
from search_api.web.preview_process import PreviewMaker
from tests.network.local_server import Answer, LocalServer, content, raw, redirect, status
from tests.search_api.index_builder import IndexBuilder
from tests.search_api.published import Shelf, blob_cid, samples, shard

IMAGE = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
GET_BLOB = "/xrpc/com.atproto.sync.getBlob"


@pytest.fixture
def shelf(index: IndexBuilder) -> Iterator[Shelf]:
    with LocalServer({}) as server:
        yield Shelf(index, server)


def detail_of(shelf: Shelf, uri: str) -> DatasetDetail:
    with Database(shelf.index.connection).session() as session:
        return queries.dataset(session, AtUri.parse(uri))


def answer(shelf: Shelf, uri: str) -> PreviewAnswer:
    """What a process answers, made in this one, which is quicker."""
    request = {"detail": to_json(detail_of(shelf, uri)), "dev": True}
    return answered(json.dumps(request).encode())


def from_process(shelf: Shelf, uri: str, **options: Any) -> PreviewAnswer:
    return PreviewMaker(**{"dev": True, **options}).make(detail_of(shelf, uri))


def preview(shelf: Shelf, uri: str) -> Preview:
    made = answer(shelf, uri)
    assert made.preview is not None, made
    return made.preview


def reason(shelf: Shelf, data: bytes | Answer) -> str | None:
    made = answer(shelf, shelf.dataset(shelf.put("/shard.tar", data)))
    assert made.preview is None
    assert made.message
    return made.reason


def thing(at: int = 0, **more: Any) -> dict[str, Any]:
    return {"image": ndarray.encode(IMAGE), "label": f"fish {at}", **more}


def test_the_first_samples_of_the_first_shard(shelf: Shelf) -> None:
    shelf.put("/000.tar", samples(*map(thing, range(9))))
    uri = shelf.dataset(shelf.server.url + "/{000..001}.tar")
    made = from_process(shelf, uri).preview
    assert made == preview(shelf, uri)
    assert (made.uri, made.shard) == (uri, shelf.server.url + "/000.tar")
    assert [sample.key for sample in made.samples] == [f"{at:06d}.msgpack" for at in range(4)]
    image, label = made.samples[1].values
    assert (image.kind, image.dtype, image.shape) == ("array", "uint8", (12, 10, 3))
    assert image.image is not None
    assert (image.image.media_type, image.image.width, image.image.height) == ("image/png", 10, 12)
    assert (label.kind, label.text) == ("text", "fish 1")
    assert all(sample.problem is None for sample in made.samples)


def test_a_blob_from_the_author_s_host_is_shown_once_its_hash_is_right(shelf: Shelf) -> None:
    data = samples(thing())
    shelf.put(GET_BLOB, data)
    made = preview(shelf, shelf.blobs(blob_cid(data)))
    assert len(made.samples) == 1


def test_bytes_that_are_not_the_blob_are_not_looked_at(shelf: Shelf) -> None:
    shelf.put(GET_BLOB, samples(thing()))
    made = answer(shelf, shelf.blobs(blob_cid(b"other")))
    assert (made.preview, made.reason) == (None, "wrong_bytes")
    assert blob_cid(b"other") in (made.message or "")


def test_a_blob_above_the_limit_is_not_downloaded(shelf: Shelf) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {SHARD_BYTES + 1}\r\n\r\n".encode()
    shelf.put(GET_BLOB, raw(head, bytes(1000)))
    assert answer(shelf, shelf.blobs(blob_cid(b"x"))).reason == "too_large"


def test_a_large_shard_at_a_url_is_read_at_its_beginning(shelf: Shelf) -> None:
    """Ten gigabytes are announced; what there is of them is enough."""
    ended = threading.Event()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"
    begun = samples(*map(thing, range(6)))[:-2048] + bytes(1 << 20)
    uri = shelf.dataset(shelf.put("/big.tar", raw(head + begun, until=ended, every=1)))
    try:
        assert len(preview(shelf, uri).samples) == 4
    finally:
        ended.set()


def test_a_host_that_stalls_costs_its_time_and_no_more(shelf: Shelf) -> None:
    ended = threading.Event()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    uri = shelf.dataset(shelf.put("/slow.tar", raw(head, b"x", until=ended, every=0.2)))
    try:
        made = from_process(shelf, uri, seconds=4)
    finally:
        ended.set()
    assert made.reason == "too_slow"


def test_hosts_that_do_not_give_it(shelf: Shelf) -> None:
    assert reason(shelf, status(404)) == "unreachable"
    assert reason(shelf, redirect("http://10.0.0.1/")) == "blocked"
    assert reason(shelf, redirect("file:///etc/passwd")) == "blocked"


def test_loopback_is_refused_without_the_development_setting(shelf: Shelf) -> None:
    uri = shelf.dataset(shelf.put("/shard.tar", samples(thing())))
    assert from_process(shelf, uri, dev=False).reason == "blocked"
    assert shelf.server.seen == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "pipe:id", "/etc/passwd", "s3://a/b"])
def test_only_http_is_read(shelf: Shelf, url: str) -> None:
    assert answer(shelf, shelf.dataset(url)).reason in {"blocked", "broken"}


def test_a_record_that_is_not_what_its_cid_says_is_not_followed(shelf: Shelf) -> None:
    uri = shelf.dataset(shelf.put("/shard.tar", samples(thing())))
    shelf.index.connection.execute(
        "UPDATE records SET record = replace(record::VARCHAR, 'Reef', 'Reed') WHERE uri = ?", [uri]
    )
    assert answer(shelf, uri).reason == "broken"
    assert shelf.server.seen == []


# --- shards that mean harm ------------------------------------------------------------------------


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", bytes(50_000_000))
    return out.getvalue()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "broken"),
        (b"no tar at all" * 100, "broken"),
        (samples(thing())[:700], "broken"),
        (shard(("readme.txt", b"nothing here")), "empty"),
        (gzip.compress(bytes(80 << 20), 1), "broken"),
        (gzip.compress(shard(("a.bin", bytes(80 << 20))), 1), "broken"),
        (shard(("a.msgpack", bytes(33 << 20))), "broken"),
    ],
    ids=["empty", "text", "cut", "no-sample", "gzip-zeros", "gzip-bomb", "huge-member"],
)
def test_a_shard_that_is_none(shelf: Shelf, data: bytes, why: str) -> None:
    assert reason(shelf, data) == why


@pytest.mark.parametrize(
    "packed",
    [
        b"\x91" * 100_000,
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xc6\xff\xff\xff\xff",
        b"\xc1",
        pickle.dumps({"image": Evil()}),
        ormsgpack.packb([1, 2, 3]),
        ormsgpack.packb(1),
    ],
    ids=["deep", "map", "bytes", "reserved", "pickle", "list", "number"],
)
def test_a_sample_that_is_none_is_said_to_be_none(shelf: Shelf, packed: bytes) -> None:
    good = ormsgpack.packb(thing())
    data = shard(("bad.msgpack", packed), ("good.msgpack", good))
    bad, fine = preview(shelf, shelf.dataset(shelf.put("/shard.tar", data))).samples
    assert bad.problem
    assert bad.values == ()
    assert (fine.problem, len(fine.values)) == (None, 2)


@pytest.mark.parametrize(
    "array",
    [
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999, 9999999999), }".ljust(
            117
        )
        + b"\n",
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117)
        + b"\n"
        + pickle.dumps(Evil()),
        b"\x03<f4\x03" + b"\xff\xff\xff\xff\xff\xff\xff\x7f" * 3,
        zip_bomb(),
        b"\x80\x04" + pickle.dumps(Evil()),
        b"",
    ],
    ids=["huge", "objects", "compact", "npz", "pickle", "nothing"],
)
def test_an_array_that_is_none_is_shown_as_bytes(shelf: Shelf, array: bytes) -> None:
    data = samples({"image": array, "label": "x"})
    (sample,) = preview(shelf, shelf.dataset(shelf.put("/shard.tar", data))).samples
    assert sample.problem
    assert (sample.values[0].kind, sample.values[0].length) == ("bytes", len(array))
    assert sample.values[0].image is None


def test_a_sample_that_takes_too_much_memory_ends_its_process_only(shelf: Shelf) -> None:
    """Thirty million empty maps in thirty megabytes."""
    count = 30_000_000
    packed = b"\x81\xa1a\xdd" + count.to_bytes(4, "big") + b"\x80" * count
    url = shelf.put("/shard.tar", shard(("a.msgpack", packed)))
    assert from_process(shelf, shelf.dataset(url)).reason == "too_costly"


def test_names_are_text_and_nothing_else(shelf: Shelf) -> None:
    hostile = "<script>\u202e\x00"
    data = shard(("\udcff<b>.msgpack", ormsgpack.packb({hostile: hostile, "é" * 5_000: 1})))
    (sample,) = preview(shelf, shelf.dataset(shelf.put("/shard.tar", data))).samples
    assert sample.key == "?<b>.msgpack"
    assert [len(value.name) for value in sample.values] == [len(hostile), 600]


def test_thousands_of_fields_are_counted_and_a_few_shown(shelf: Shelf) -> None:
    data = samples({f"f{n}": bytes(100) for n in range(5_000)})
    (sample,) = preview(shelf, shelf.dataset(shelf.put("/shard.tar", data))).samples
    assert (sample.fields, len(sample.values)) == (5_000, 40)


def test_what_does_not_fit_the_schema_is_shown_with_that(shelf: Shelf) -> None:
    data = samples({"image": ndarray.encode(IMAGE), "label": 7})
    (sample,) = preview(shelf, shelf.dataset(shelf.put("/shard.tar", data))).samples
    assert "label" in (sample.problem or "")
    assert sample.values[1].text == "7"


def test_a_process_ends_with_its_maker(shelf: Shelf) -> None:
    ended = threading.Event()
    uri = shelf.dataset(shelf.put("/slow.tar", raw(b"", until=ended, every=0.1)))
    detail = detail_of(shelf, uri)
    maker = PreviewMaker(dev=True)
    made: list[PreviewAnswer] = []
    thread = threading.Thread(target=lambda: made.append(maker.make(detail)))
    thread.start()
    while not shelf.server.seen:
        ended.wait(0.02)
    maker.close()
    thread.join()
    ended.set()
    assert made[0].preview is None


def test_content_is_given_out_as_it_came(shelf: Shelf) -> None:
    """An image file is handed on byte by byte, a page that looks like one is not."""
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    schema = shelf.schema(("photo", "bytes"))
    gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01"
    gif += b"\x00\x00\x02\x02D\x01\x00;"
    url = shelf.put("/shard.tar", content(samples({"photo": gif}, {"photo": svg})))
    first, second = preview(shelf, shelf.dataset(url, schema=schema)).samples
    assert first.values[0].image is not None
    assert first.values[0].image.media_type == "image/gif"
    assert second.values[0].image is None
