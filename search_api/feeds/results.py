"""What a search found, as a table: CSV for spreadsheets, JSON lines for programs.

Rule: a file is whole before its first byte is sent, so that what breaks off shows as an error and
never as a shorter table; it waits on disk, not in memory.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from atdata.protocol.views import DatasetView, to_json

MAX_ROWS = 10_000
IN_MEMORY = 1 << 20  # bytes
PIECE = 1 << 16

COLUMNS = (
    *("uri", "cid", "did", "handle", "name", "description", "tags", "license", "licenseSpdx"),
    *("schemaUri", "schemaName", "schemaVersion", "storageKind", "samples", "bytes", "shards"),
    *("createdAt", "indexedAt"),
)
# What spreadsheets take for the beginning of a formula, which could call out. They pass over
# blanks, know the signs in full width, and may be told to split at semicolons or tabs: a cell of
# theirs may begin in the middle of one of ours. Each run is begun only once, so this is linear.
_SIGN = re.compile(r"""(?<![\s";])([\s";]*)([=+\-@\uff1d\uff0b\uff0d\uff20])""")
_CELLS_END = frozenset(";\t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")


def csv_lines(views: Iterable[DatasetView]) -> Iterator[str]:
    """RFC 4180, with a header. ``tags`` is a JSON array. Before whatever a spreadsheet would run as
    a formula stands an apostrophe."""
    yield _csv_line(COLUMNS)
    for view in views:
        values = to_json(view)
        row = {**values, **values["size"], "tags": json.dumps(values["tags"], ensure_ascii=False)}
        yield _csv_line([_cell(row.get(column)) for column in COLUMNS])


def json_lines(views: Iterable[DatasetView]) -> Iterator[str]:
    """One view a line, as the API gives it."""
    for view in views:
        yield json.dumps(to_json(view), ensure_ascii=False, separators=(",", ":")) + "\n"


FORMATS: dict[str, tuple[str, Callable[[Iterable[DatasetView]], Iterator[str]]]] = {
    "csv": ("text/csv", csv_lines),
    "jsonl": ("application/jsonl", json_lines),
}


def written(lines: Iterable[str]) -> IO[bytes]:
    """All ``lines`` in UTF-8, in a file of their own that is at its beginning; gone once closed."""
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the reader closes it
    try:
        for line in lines:
            file.write(line.encode("utf-8", "replace"))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes of ``file``, which is closed at the end."""
    with file:
        while piece := file.read(PIECE):
            yield piece


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _cell(value: Any) -> Any:
    return _SIGN.sub(_marked, value) if isinstance(value, str) else value


def _marked(found: re.Match[str]) -> str:
    before, sign = found.groups()
    begins = found.start() == 0 or not _CELLS_END.isdisjoint(before)
    return f"{before}'{sign}" if begins else found[0]
