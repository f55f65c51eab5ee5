"""Samples of a dataset in a page: the table, and each image in it at an address of its own.

Rule: each request reads the dataset in the database first. Where it is not visible any more, what
was kept of it goes.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from atdata.protocol.errors import NotFound
from atdata.protocol.preview_views import (
    MAX_MEDIA_BYTES,
    MEDIA_TYPES,
    ImagePreview,
    PreviewAnswer,
)
from atdata.protocol.views import DatasetDetail
from search_api.methods import GET_DATASET, required_uri
from search_api.search import Search
from search_api.web import preview_table
from search_api.web.previews import OFF, Previews
from search_api.web.rendering import Renderer

WAIT_SECONDS = 10.0
RETRY_SECONDS = 2
IMAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Disposition": "inline",
}
WHY = {
    "too_large": "Its first shard is too large to be looked at here.",
    "too_slow": "The host of its first shard is too slow.",
    "unreachable": "Its first shard can’t be fetched.",
    "blocked": "Its first shard is at an address that is not fetched from here.",
    "wrong_bytes": "Its first shard is not what the record says: the bytes have another hash.",
    "broken": "Its first shard can’t be read.",
    "empty": "Its first shard has no samples.",
    "too_costly": "Reading its first samples takes more memory or time than is given to it.",
    "busy": "Too many other datasets are being looked at.",
    "off": "This service shows no samples.",
}
# Of these the page says what exactly is wrong; what hosts and name servers answered is told nobody.
DETAILED = frozenset({"too_large", "wrong_bytes", "broken"})
AGAIN = frozenset({"too_slow", "unreachable", "busy"})  # may be otherwise in a minute


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands where samples go. ``rows`` are there before samples are, too; ``why`` is None
    unless there can't be any; ``problems`` are those of samples, by name."""

    rows: tuple[preview_table.Row, ...]
    columns: int
    answer: PreviewAnswer | None = None
    why: str | None = None
    detail: str | None = None
    again: bool = False
    problems: tuple[tuple[str, tuple[str, ...]], ...] = ()


class PreviewPages:
    """One method per page, from the request to the whole answer."""

    def __init__(self, renderer: Renderer, search: Search, previews: Previews | None) -> None:
        """``previews`` is None where the service shows no samples."""
        self._renderer, self._search, self._previews = renderer, search, previews

    @property
    def on(self) -> bool:
        """Whether samples are shown at all."""
        return self._previews is not None

    def shown(self, detail: DatasetDetail, seconds: float = WAIT_SECONDS) -> Shown:
        """What there is to show within ``seconds`` of a dataset that is visible."""
        answer = self._answer(detail, seconds)
        if answer is None:
            return waiting(detail)
        if answer.preview is None:
            reason = answer.reason or "broken"
            rows = preview_table.rows(detail.schema, None)
            why = WHY.get(reason, WHY["broken"])
            said = answer.message if reason in DETAILED else None
            return Shown(rows, preview_table.COLUMNS, answer, why, said, reason in AGAIN)
        rows = preview_table.rows(detail.schema, answer.preview)
        wrong = preview_table.problems(answer.preview)
        return Shown(rows, len(answer.preview.samples), answer, problems=wrong)

    def part(self, request: Request) -> Response:
        """The table alone, for a script that puts it into the page. 202 while it is being made."""
        detail = self._detail(request)
        shown = self.shown(detail)
        pending = shown.answer is None
        response = self._renderer.page(
            request,
            "preview.html",
            202 if pending else 200,
            shown=shown,
            uri=detail.dataset.uri,
        )
        if pending:
            response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response

    def image(self, request: Request) -> Response:
        """One image of the preview: ``sample`` and ``field`` are positions in it."""
        answer = self._answer(self._detail(request), WAIT_SECONDS)
        sample, field = (_position(request, name) for name in ("sample", "field"))
        if answer is None or answer.preview is None:
            raise NotFound("there is no such image")
        try:
            image = answer.preview.samples[sample].values[field].image
        except IndexError:
            image = None
        data = b"" if image is None else _bytes(image)
        if image is None or not data:
            raise NotFound("there is no such image")
        return Response(data, media_type=image.media_type, headers=IMAGE_HEADERS)

    def _detail(self, request: Request) -> DatasetDetail:
        uri = required_uri(self._renderer.params(request, GET_DATASET))
        try:
            return self._search.dataset(uri)
        except NotFound:
            if self._previews is not None:
                self._previews.forget(str(uri))
            raise

    def _answer(self, detail: DatasetDetail, seconds: float) -> PreviewAnswer | None:
        return OFF if self._previews is None else self._previews.get(detail, seconds)


def waiting(detail: DatasetDetail) -> Shown:
    """Room for samples that are not there yet."""
    return Shown(preview_table.rows(detail.schema, None), preview_table.COLUMNS)


def _position(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise NotFound("there is no such image")
    return int(text)


def _bytes(image: ImagePreview) -> bytes:
    """The file, if it is one that may be given out."""
    if image.media_type not in MEDIA_TYPES or len(image.data) > 2 * MAX_MEDIA_BYTES:
        return b""
    try:
        return base64.b64decode(image.data, validate=True)
    except binascii.Error:
        return b""
