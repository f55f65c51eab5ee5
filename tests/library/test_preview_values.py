"""What is shown of a value: bounded, plain, and true to the data."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from PIL import Image

from atdata import preview_png
from atdata.preview_media import Media, media_of
from atdata.preview_values import MAX_ITEMS, Room, brief, value_of, values_of
from atdata.protocol.preview_views import (
    MAX_BARS,
    MAX_FIELDS,
    MAX_LINES,
    MAX_POINTS,
    MAX_SIDE,
    MAX_TEXT,
    ImagePreview,
    ValuePreview,
)

RNG = np.random.default_rng(7)


def shown(value: Any) -> ValuePreview:
    return value_of("x", value, Room())


def opened(image: ImagePreview | None) -> Any:
    """The picture as a foreign decoder sees it."""
    assert image is not None
    picture = Image.open(io.BytesIO(base64.b64decode(image.data)))
    picture.load()
    assert (picture.width, picture.height) == (image.width, image.height)
    return np.asarray(picture)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_small_image_is_shown_pixel_by_pixel(channels: int) -> None:
    pixels = RNG.integers(0, 256, (9, 31, channels), np.uint8)
    value = shown(pixels)
    assert (value.dtype, value.shape) == ("uint8", (9, 31, channels))
    assert not value.image or not value.image.stretched
    assert np.array_equal(opened(value.image), pixels.squeeze())


def test_height_and_width_alone_and_channels_first_are_images_too() -> None:
    grey = RNG.integers(0, 256, (12, 10), np.uint8)
    assert np.array_equal(opened(shown(grey).image), grey)
    first = RNG.integers(0, 256, (3, 12, 10), np.uint8)
    assert np.array_equal(opened(shown(first).image), np.moveaxis(first, 0, 2))


def test_a_large_image_is_made_of_means() -> None:
    """Black and white stripes of one pixel are grey from afar."""
    stripes = np.zeros((2048, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    value = shown(stripes)
    assert value.image is not None
    assert (value.image.width, value.image.height) == (MAX_SIDE // 2, MAX_SIDE)
    assert np.all(np.abs(opened(value.image).astype(int) - 128) <= 1)


def test_floats_are_colours_as_they_are_meant() -> None:
    unit = RNG.random((8, 8, 3)).astype(np.float32)
    value = shown(unit)
    assert value.image is not None
    assert not value.image.stretched
    assert np.allclose(opened(value.image) / 255, unit, atol=1 / 255)
    as_bytes = np.round(unit * 255).astype(np.float32)
    assert np.array_equal(opened(shown(as_bytes).image), as_bytes.astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float64, np.int64])
def test_measurements_are_stretched_between_black_and_white_and_it_is_said(dtype: Any) -> None:
    depth = (np.arange(64).reshape(8, 8) * 100 + 50).astype(dtype)
    value = shown(depth)
    assert value.image is not None
    assert value.image.stretched
    picture = opened(value.image)
    assert picture.max() == 255
    assert picture[-1, -1] == 255


def test_a_mask_of_few_classes_is_not_one_black() -> None:
    mask = RNG.integers(0, 4, (16, 16), np.uint8)
    assert opened(shown(mask).image).max() == 255


def test_what_is_not_finite_is_black_and_not_counted() -> None:
    height = np.full((8, 8), 3.0)
    height[0, :4] = np.nan, np.inf, -np.inf, 9.0
    value = shown(height)
    assert (value.low, value.high) == (3.0, 9.0)
    assert opened(value.image)[0, 0] == 0
    assert shown(np.full(5, np.nan)).lines == ()


@pytest.mark.parametrize("shape", [(8, 8, 2), (7, 40), (300, 8), (8,), (5, 8, 8), (8, 8, 3, 1), ()])
def test_what_has_not_the_form_of_an_image_is_none(shape: tuple[int, ...]) -> None:
    value = shown(np.zeros(shape, np.float32))
    assert value.image is None
    assert value.shape == shape


def test_a_signal_is_a_line_between_its_lowest_and_highest_values() -> None:
    wave = np.sin(np.linspace(0, 20, 10_000)).astype(np.float32)
    wave[5_000] = 4.0  # a peak of one item is not lost
    (line,) = shown(wave).lines
    assert len(line.lows) == len(line.highs) == MAX_POINTS
    assert max(line.highs) == 1.0
    assert min(line.lows) == 0.0
    assert all(low <= high for low, high in zip(line.lows, line.highs, strict=True))


def test_a_few_channels_are_lines_on_one_scale() -> None:
    rows = np.stack([np.arange(50), np.arange(50) + 50], axis=1)
    first, second = shown(rows).lines
    assert (first.lows[0], second.highs[-1]) == (0.0, 1.0)
    assert first.highs[-1] < second.lows[0]


def test_other_arrays_are_a_histogram_of_all_their_items() -> None:
    value = shown(RNG.normal(size=(5, 7, 11)))
    assert sum(value.bars) == 5 * 7 * 11
    assert 2 <= len(value.bars) <= MAX_BARS


def test_few_items_are_written_out() -> None:
    assert shown(np.array([1, 2, 3])).text == "1, 2, 3"
    assert shown(np.array(["a", "b"])).text == "a, b"
    assert shown(np.array(["2026-01-01"], "M8[D]")).text == "2026-01-01"
    assert shown(np.array(2.5)).text == "2.5"


def test_scalars_and_what_is_absent() -> None:
    assert shown(None).kind == "none"
    assert (shown(True).kind, shown(True).text) == ("bool", "true")
    assert shown(2**63).text == str(2**63)
    assert shown(float("nan")).text == "nan"


def test_text_is_cut_and_says_how_long_it_is() -> None:
    value = shown("ä" * 10_000)
    assert (value.text, value.length) == ("ä" * MAX_TEXT, 10_000)


def test_lists_of_numbers_have_a_plot_and_others_words() -> None:
    assert len(shown([3.0, 1, 2]).lines) == 1
    assert shown([1, 10**400]).lines == ()
    assert shown(["a", 1]).text == "['a', 1]"
    assert shown(list(range(100))).text == f"[{', '.join(map(str, range(MAX_ITEMS)))}, … 88 more]"
    assert shown([np.zeros((2, 3), np.uint8)]).text == "[uint8 [2, 3]]"
    assert shown({"a": {"b": [b"\x00\xff"]}}).text == "{a: {b: [00 ff]}}"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_msgpack_holds_is_brief(value: Any) -> None:
    assert len(brief(value)) <= MAX_TEXT
    found = shown(value)
    assert len(found.text or "") <= MAX_TEXT


def test_deep_nesting_is_brief_too() -> None:
    value: Any = []
    for _ in range(60):
        value = [value, {"k" * 1_000: value}]
    assert len(brief(value)) <= MAX_TEXT


@given(
    nps.arrays(
        st.sampled_from(["?", "i1", "u8", "f2", "f8", "c16", "U3", "M8[s]"]),
        nps.array_shapes(min_dims=0, min_side=0, max_side=40),
    )
)
def test_any_array_is_shown_within_bounds(array: Any) -> None:
    value = shown(array)
    assert value.shape == array.shape
    assert len(value.bars) <= MAX_BARS
    assert len(value.lines) <= MAX_LINES
    for line in value.lines:
        assert len(line.lows) <= MAX_POINTS
        assert all(0 <= part <= 1 for part in (*line.lows, *line.highs))
    assert all(n is None or np.isfinite(n) for n in (value.low, value.high, value.mean))
    if value.image is not None:
        assert max(value.image.width, value.image.height) <= MAX_SIDE
        opened(value.image)


def test_the_largest_floats_do_not_overflow() -> None:
    biggest = np.finfo(np.float64).max
    ends = np.array([-biggest, 0, biggest])
    (line,) = shown(ends).lines
    assert line.lows == (0.0, 0.5, 1.0)
    assert opened(shown(np.tile(ends, (9, 3))).image).max() == 255


# --- image files --------------------------------------------------------------------------------


def picture(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (20, 30, 3), np.uint8)).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (picture("PNG"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("JPEG", progressive=True, comment=b"x" * 500), "image/jpeg"),
        (picture("GIF"), "image/gif"),
        (picture("WEBP"), "image/webp"),
        (picture("WEBP", lossless=True), "image/webp"),
        (picture("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"), "image/webp"),
    ],
)
def test_an_image_file_is_handed_on_as_it_is(data: bytes, kind: str) -> None:
    assert media_of(data) == Media(kind, 30, 20)
    image = shown(data).image
    assert image is not None
    assert (image.media_type, base64.b64decode(image.data)) == (kind, data)


def bomb() -> bytes:
    """A PNG of 60,000 × 60,000 pixels in a few kilobytes."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize(
    "data",
    [
        bomb(),
        b"",
        b"PK\x03\x04" + bytes(100),
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"\xff\xd8\xff" + bytes(50),
        b"RIFF\0\0\0\0WEBPVP8X",
        picture("PNG") + bytes(2 << 20),
        b"\x80\x04\x95" + bytes(20),
    ],
)
def test_other_bytes_are_bytes(data: bytes) -> None:
    value = shown(data)
    assert (value.kind, value.image, value.length) == ("bytes", None, len(data))


@given(st.binary(max_size=200))
def test_no_header_breaks_it(tail: bytes) -> None:
    for head in (
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF0000WEBP",
        b"RIFF0000WEBPVP8X",
    ):
        found = media_of(head + tail)
        assert found is None or min(found.width, found.height) > 0


# --- a whole sample -----------------------------------------------------------------------------


def test_a_sample_shows_its_first_fields() -> None:
    values = values_of({f"f{i}": i for i in range(200)}, Room())
    assert [value.name for value in values] == [f"f{i}" for i in range(MAX_FIELDS)]


def test_images_stop_where_there_is_no_more_room() -> None:
    noise = {f"i{n}": RNG.integers(0, 256, (256, 256, 4), np.uint8) for n in range(30)}
    room = Room(1 << 20)
    values = values_of(noise, room)
    sizes = [len(base64.b64decode(value.image.data)) for value in values if value.image]
    assert 0 < len(sizes) < 30
    assert sum(sizes) <= 1 << 20
    assert all(value.bars for value in values if not value.image)


def test_a_png_has_no_filter_or_chunk_that_decoders_differ_on() -> None:
    data = preview_png.encode(np.zeros((3, 2, 3), np.uint8))
    assert [data[at : at + 4] for at in (12, 37)] == [b"IHDR", b"IDAT"]
    assert data.endswith(b"IEND\xaeB`\x82")
