"""A dataset's view as the text index keeps it: bytes that are read back in microseconds. Pure.

Rule: what comes back is what was put in, for every view; another list of fields is another version.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import orjson

from atdata.protocol.views import DatasetView, SizeView

MAX_FIELDS = 200  # field names of the schema that are kept, for corrections
LAYOUT = ",".join(field.name for cls in (DatasetView, SizeView) for field in fields(cls))
_NAMES = tuple(field.name for field in fields(DatasetView))
_SIZE, _TAGS = _NAMES.index("size"), _NAMES.index("tags")


@dataclass(frozen=True, slots=True)
class StoredView:
    """The view, the key of its schema, the names of that schema's fields, and the tags (folded) and
    the licence as they are counted."""

    view: DatasetView
    schema: int
    fields: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    license: str | None = None


def pack(stored: StoredView) -> bytes:
    """``stored`` as bytes."""
    values = [getattr(stored.view, name) for name in _NAMES]
    size = stored.view.size
    values[_SIZE] = (size.samples, size.bytes, size.shards)
    kept = stored.fields[:MAX_FIELDS]
    return orjson.dumps([stored.schema, kept, stored.tags, stored.license, values])


def unpack(data: bytes) -> StoredView:
    """What ``pack`` was given; only for bytes that it made."""
    schema, names, tags, license_, values = orjson.loads(data)
    values[_SIZE] = SizeView(*values[_SIZE])
    values[_TAGS] = tuple(values[_TAGS])
    return StoredView(DatasetView(*values), schema, tuple(names), tuple(tags), license_)
