"""The tar reader against archives of every kind met in practice, whole, cut and forged."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from random import Random

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol.errors import InvalidShard
from atdata.tar import BLOCK, CHUNK, Limits, read_members, read_samples, split_name

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "/".join(["folder" * 4] * 5) + "/" + "x" * 60 + ".msgpack"
MEMBERS = [("a.msgpack", b"one"), (LONG, b"2" * 700), ("dir/c.msgpack", b""), ("d.msgpack", b"4")]


def tar(members: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=kind) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1700000000.25 if kind == tarfile.PAX_FORMAT else 1
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def read(data: bytes, limits: Limits | None = None) -> list[tuple[str, bytes]]:
    members = read_members(io.BytesIO(data), "shard.tar", limits)
    return [(member.name, bytes(member.data)) for member in members]


def keys(data: bytes) -> list[str]:
    return [split_name(member.name)[0] for member in read_samples(io.BytesIO(data), "shard.tar")]


class Trickle(io.RawIOBase):
    """A stream that hands out at most ``step`` bytes at a time, as a socket does."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = io.BytesIO(data), step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, self._step) if size >= 0 else self._step)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """``data`` with bytes of its first header replaced and its checksum made right again."""
    header = bytearray(data[:BLOCK])
    header[at : at + len(new)] = new
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[BLOCK:]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_all_formats_and_gzip_around_them(kind: str, mode: str) -> None:
    data = tar(MEMBERS, FORMATS[kind], mode)
    assert read(data) == MEMBERS
    stream: io.RawIOBase = Trickle(data, 100)
    got = read_members(stream, "shard.tar")  # type: ignore[arg-type]
    assert [(m.name, bytes(m.data)) for m in got] == MEMBERS


def test_offsets_are_those_of_the_headers() -> None:
    data = tar([("a.msgpack", b"x" * 600), ("b.msgpack", b"y")], tarfile.USTAR_FORMAT)
    assert [m.offset for m in read_members(io.BytesIO(data), "s")] == [0, 1536]


def test_what_webdataset_writes_is_read() -> None:
    out = io.BytesIO()
    with webdataset.writer.TarWriter(out) as sink:
        for i in range(3):
            sink.write({"__key__": f"train/{i:06d}", "msgpack": b"%d" % i})
    assert read(out.getvalue()) == [(f"train/{i:06d}.msgpack", b"%d" % i) for i in range(3)]


def test_members_larger_than_the_window() -> None:
    members = [
        ("a.msgpack", b"x" * (3 * CHUNK + 7)),
        ("b.msgpack", b"y"),
        ("c.msgpack", b"z" * CHUNK),
    ]
    assert read(tar(members)) == members


@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=120
            ),
            st.binary(max_size=2000),
        ),
        max_size=6,
    ),
    st.sampled_from(["gnu", "pax"]),
)
def test_whatever_tarfile_writes_comes_back(members: list[tuple[str, bytes]], kind: str) -> None:
    assert read(tar(members, FORMATS[kind])) == members


# --- cut short -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_a_tar_cut_at_any_block_says_where(kind: str) -> None:
    data = tar(MEMBERS, FORMATS[kind])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        last = archive.getmembers()[-1]
    end = last.offset_data + BLOCK  # of the last member; the two zero blocks follow
    for cut in range(0, end + 2 * BLOCK, BLOCK // 2):
        with pytest.raises(InvalidShard) as caught:
            read(data[:cut])
        assert caught.value.shard == "shard.tar"
        assert caught.value.offset is not None
        assert caught.value.offset <= cut
    assert read(data[: end + 2 * BLOCK]) == MEMBERS


def test_a_member_cut_short_is_named() -> None:
    data = tar([("a.msgpack", b"x" * 100), ("b.msgpack", b"y" * 5000)], tarfile.USTAR_FORMAT)
    with pytest.raises(InvalidShard) as caught:
        read(data[:4000])
    assert caught.value.member == "b.msgpack"
    assert caught.value.offset == 1536
    assert "cut short" in str(caught.value)


def test_gzip_cut_anywhere_or_damaged() -> None:
    data = tar(MEMBERS, mode="w:gz")
    for cut in range(1, len(data)):
        with pytest.raises(InvalidShard):
            read(data[:cut])
    checksum_wrong = data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]
    with pytest.raises(InvalidShard, match="gzip"):
        read(checksum_wrong)


def until_it_breaks(data: bytes) -> list[str]:
    names: list[str] = []
    with pytest.raises(InvalidShard):
        names += (member.name for member in read_members(io.BytesIO(data), "shard.tar"))
    return names


def test_of_a_gzip_that_is_cut_every_whole_member_is_read() -> None:
    random = Random(1)
    whole = gzip.compress(tar([(f"{i}.msgpack", random.randbytes(3000)) for i in range(300)]))
    for part in (1, 3, 5, 9):
        cut = whole[: len(whole) * part // 10]
        unpacked = zlib.decompressobj(31).decompress(cut)
        assert until_it_breaks(cut) == until_it_breaks(unpacked)


@given(st.data())
def test_one_flipped_bit_of_a_header_is_noticed(data: st.DataObject) -> None:
    shard = bytearray(tar(MEMBERS, tarfile.USTAR_FORMAT))
    place = data.draw(st.integers(0, BLOCK - 1).filter(lambda at: not 148 <= at < 156))
    shard[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(InvalidShard, match="checksum"):
        read(bytes(shard))


# --- forged --------------------------------------------------------------------------------------

SMALL = tar([("a.msgpack", b"x")], tarfile.USTAR_FORMAT)
END = bytes(2 * BLOCK)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (SMALL + b"x", "data after the end"),
        (SMALL + SMALL, "data after the end"),
        (SMALL[: 2 * BLOCK] + bytes(BLOCK) + SMALL, "single zero block"),
        (patched(SMALL, 124, b"00000000009\0"), "not octal"),
        (patched(SMALL, 124, b"-0000000001\0"), "not octal"),
        (patched(SMALL, 124, b"0o000000001\0"), "not octal"),
        (patched(SMALL, 124, b"\x80" + b"\xff" * 11), "allowed"),
        (patched(SMALL, 124, b"\x80" + bytes(3) + (1 << 40).to_bytes(8, "big")), "allowed"),
        (patched(SMALL, 156, b"S"), "sparse"),
        (patched(SMALL, 156, b"x"), "pax record"),
        (b"", "cut short"),
        (b"\x1f\x8b", "gzip"),
        (b"<html>not found</html>" * 40, "checksum"),
    ],
)
def test_forged_archives_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidShard, match=why):
        read(data)


def pax(body: bytes, then: bytes = SMALL) -> bytes:
    header = patched(SMALL, 156, b"x")
    header = patched(header, 124, b"%011o\0" % len(body))[:BLOCK]
    return header + body + bytes(-len(body) % BLOCK) + then


@pytest.mark.parametrize(
    "body",
    [
        b"garbage\n",
        b"5 a=b\n",
        b"99 path=x\n",
        b"0 path=x\n",
        b"-9 path=x\n",
        b"1_0 path=x\n",
        b"10 size=1x\n"[:-1] + b"\n",
        b"22 GNU.sparse.major=1\n",
        b"10 size=-1\n",
    ],
)
def test_malformed_pax_headers_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidShard):
        read(pax(body))


def test_a_pax_header_may_say_name_and_size() -> None:
    said = pax(
        b"15 path=b.json\n" + b"9 size=1\n" + b"16 comment=path\n",
        patched(SMALL, 124, b"0" * 11 + b"\0"),
    )
    assert read(said) == [("b.json", b"x")]


def test_a_pax_header_without_its_member() -> None:
    with pytest.raises(InvalidShard, match="without its member"):
        read(pax(b"12 path=abc\n", END))


def test_links_devices_and_folders_are_no_members() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in [
            ("../../etc/passwd", tarfile.SYMTYPE),
            ("hard.msgpack", tarfile.LNKTYPE),
            ("dev.msgpack", tarfile.CHRTYPE),
            ("folder", tarfile.DIRTYPE),
            ("pipe.msgpack", tarfile.FIFOTYPE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("a.msgpack")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    assert read(out.getvalue()) == [("a.msgpack", b"x")]


def test_limits() -> None:
    data = tar([("a.msgpack", b"x" * 2000), ("b.msgpack", b"y")], tarfile.USTAR_FORMAT)
    assert len(read(data, Limits(member_bytes=2000, members=2))) == 2
    for limits in (Limits(member_bytes=1999), Limits(members=1)):
        with pytest.raises(InvalidShard):
            read(data, limits)
    with pytest.raises(InvalidShard, match="extension header"):
        read(tar(MEMBERS), Limits(header_bytes=10))


def test_a_shard_without_end_stops_at_its_limit() -> None:
    members = tar([("a.msgpack", b"x" * CHUNK)] * 3)
    for data in (members, SMALL + bytes(3 * CHUNK), gzip.compress(SMALL + bytes(3 * CHUNK))):
        with pytest.raises(InvalidShard, match="more than"):
            read(data, Limits(shard_bytes=2 * CHUNK))


def test_a_gzip_bomb_stops_at_the_limit_of_a_member() -> None:
    header = patched(SMALL, 124, b"%011o\0" % (1 << 30))[:BLOCK]
    bomb = gzip.compress(header + bytes(8 << 20))
    with pytest.raises(InvalidShard, match="allowed"):
        read(bomb, Limits(member_bytes=1 << 20))


# --- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "extension"),
    [
        ("000001.msgpack", "000001", "msgpack"),
        ("a.b/000001.tar.gz", "a.b/000001", "tar.gz"),
        ("x/y/z.MSGPACK", "x/y/z", "msgpack"),
        ("README", "README", ""),
        ("a/.hidden", "a/.hidden", ""),
    ],
)
def test_the_extension_begins_at_the_first_dot(name: str, key: str, extension: str) -> None:
    assert split_name(name) == (key, extension)


def test_other_members_of_a_key_are_passed_over() -> None:
    data = tar(
        [("README", b""), ("a.json", b""), ("a.msgpack", b""), ("b.msgpack", b""), ("b.png", b"")]
    )
    assert keys(data) == ["a", "b"]


@pytest.mark.parametrize("names", [["a.png", "b.msgpack"], ["a.msgpack", "b.png"], ["b.png"]])
def test_a_key_without_a_sample_is_named(names: list[str]) -> None:
    with pytest.raises(InvalidShard, match=r"no \.msgpack member") as caught:
        keys(tar([(name, b"") for name in names]))
    assert caught.value.member == next(name for name in names if name.endswith(".png"))


def test_two_samples_of_one_key() -> None:
    with pytest.raises(InvalidShard, match="second sample"):
        keys(tar([("a.msgpack", b""), ("a.msgpack", b"")]))


@pytest.mark.parametrize("name", [".msgpack", "a/.msgpack", "a/b/..msgpack", "a/.MSGPACK"])
def test_a_sample_without_a_key_is_named(name: str) -> None:
    with pytest.raises(InvalidShard, match="without a key") as caught:
        keys(tar([("a.msgpack", b""), (name, b""), ("b.msgpack", b"")]))
    assert caught.value.member == name


def test_hidden_files_are_passed_over() -> None:
    names = ["._a.msgpack", ".DS_Store", "a/.hidden.json", "a.msgpack"]
    assert keys(tar([(name, b"") for name in names])) == ["a"]


def test_what_a_writer_keeps_for_itself_is_passed_over() -> None:
    names = ["__meta__/a.msgpack", "__meta__/b/c.json", "__meta__.json", "__x.y__/z.msgpack"]
    ours = ["__a.msgpack", "_b.msgpack", "__c__.msgpack", "e/__f__/g.msgpack", "__h__i/j.msgpack"]
    assert keys(tar([(name, b"") for name in [*names, *ours, *names]])) == [
        name.removesuffix(".msgpack") for name in ours
    ]
