"""What is shown of a dataset's first samples: one frozen model per part, small whatever the data.

As in ``views``, whose codec reads and writes these too. They cross from a process that parses
untrusted shards to one that shows pages, so that whoever reads them takes them for hostile.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_SAMPLES = 8
MAX_FIELDS = 40  # shown of one sample
MAX_TEXT = 600  # characters of a text or a list in short
MAX_POINTS = 96  # of a line
MAX_LINES = 4  # in one plot
MAX_BARS = 24  # of a histogram
MAX_SIDE = 256  # pixels of an image that was made of an array
MAX_MEDIA_BYTES = 1 << 20  # of an image file that is handed on as it is
MAX_MEDIA_PIXELS = 1 << 24  # of the same; what a browser must hold to show it
MEDIA_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class ImagePreview:
    """``data`` is base64 of a file of ``media_type`` (one of ``MEDIA_TYPES``), ``width`` and
    ``height`` are its pixels. ``stretched``: the values were scaled so that the lowest is black
    and the highest white."""

    media_type: str
    width: int
    height: int
    data: str
    stretched: bool = False


@dataclass(frozen=True, slots=True)
class LinePreview:
    """The lowest and highest value of each of up to ``MAX_POINTS`` stretches of a row of numbers,
    from 0 (the lowest in the plot) to 1 (the highest)."""

    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ValuePreview:
    """One field of one sample. ``kind`` is text, number, bool, bytes, array, list, map or none.

    ``text`` is a beginning of it in words; ``length`` its characters, bytes or items. Of arrays
    there are ``dtype``, ``shape``, and where the items are numbers the lowest, highest and mean of
    those that are finite, of which there are ``lines`` or the ``bars`` of a histogram (their
    numbers of items) unless there is an ``image``.
    """

    name: str
    kind: str
    text: str | None = None
    length: int | None = None
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    image: ImagePreview | None = None
    lines: tuple[LinePreview, ...] = ()
    bars: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SamplePreview:
    """``key`` is the sample's name in its shard; ``fields`` counts those that it has, of which
    ``values`` are the first. ``problem`` says why it can't be read, or how it breaks the schema."""

    key: str
    fields: int = 0
    values: tuple[ValuePreview, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """The first samples of the first shard of the dataset ``uri`` at version ``cid``."""

    uri: str
    cid: str
    shard: str
    samples: tuple[SamplePreview, ...] = ()


@dataclass(frozen=True, slots=True)
class PreviewAnswer:
    """A preview, or the ``reason`` why there is none: too_large, unreachable, too_slow, blocked,
    wrong_bytes, broken, empty or too_costly, with a ``message`` for people."""

    preview: Preview | None = None
    reason: str | None = None
    message: str | None = None
