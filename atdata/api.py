"""The search API's methods, typed: parameters in, views out, over the guarded client.

Which API is asked is the user's choice (``atdata.configure(api=…)`` or ``ATDATA_API``). What it
answers is read with the views' own codec, and a record that it passes on is held against its CID.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from atdata.atmosphere.repository import StoredRecord
from atdata.protocol import cbor, views
from atdata.protocol.cid import Cid
from atdata.protocol.errors import CidMismatch, NotConfigured, NotFound, XrpcError
from atdata.protocol.namespaces import FOUNDATION
from atdata.protocol.syntax import AtUri
from atdata.protocol.views import (
    DatasetDetail,
    DatasetPage,
    LensPage,
    LensView,
    SchemaDetail,
    SchemaPage,
    SchemaView,
)
from atdata.settings import settings

PAGE = 100  # the methods allow no more
MAX_ANSWER = 20_000_000
MAX_PAGES = 10_000
FACETS = ("tags", "licenses", "storage", "schemas", "authors")

Param = str | Sequence[str] | None
View = TypeVar("View")
Page = TypeVar("Page", SchemaPage, LensPage)


def api_url(api: str | None = None) -> str:
    """The base URL to ask: ``api``, or the one in the settings. Raises ``NotConfigured``."""
    chosen = api or settings().api
    if not chosen:
        raise NotConfigured(
            "no search API is configured: atdata.configure(api='https://…'), or set ATDATA_API"
        )
    return chosen.rstrip("/")


def search_datasets(
    params: Mapping[str, Param], *, cursor: str | None = None, api: str | None = None
) -> DatasetPage:
    """One page of ``searchDatasets``."""
    asked = {**params, "limit": str(PAGE), "cursor": cursor}
    return _ask("searchDatasets", asked, DatasetPage, api)


def count_facets(params: Mapping[str, Param], *, api: str | None = None) -> DatasetPage:
    """How many of all hits have which values: ``facets`` of the answer, every one of them."""
    asked = {**params, "limit": "1", "facets": FACETS}
    return _ask("searchDatasets", asked, DatasetPage, api)


def get_dataset(uri: str, *, api: str | None = None) -> DatasetDetail:
    """A dataset with its record and schema, as the index has them. Raises ``NotFound``,
    ``CidMismatch``, ``NotConfigured``, ``NetworkError`` and ``XrpcError``.

    Source: lexicon ``ac.foundation.dataset.getDataset``.
    """
    detail = _ask("getDataset", {"uri": uri}, DatasetDetail, api)
    check_record(detail.record, detail.dataset.cid, detail.dataset.uri)
    if detail.schema is not None and detail.schema_record is not None:
        check_record(detail.schema_record, detail.schema.cid, detail.schema.uri)
    return detail


def get_schema(uri: str, *, api: str | None = None) -> SchemaDetail:
    """A schema with its record. Raises ``NotFound``, ``CidMismatch``."""
    detail = _ask("getSchema", {"uri": uri}, SchemaDetail, api)
    check_record(detail.record, detail.schema.cid, detail.schema.uri)
    return detail


def schema_record(uri: str, *, api: str | None = None) -> StoredRecord:
    """A schema's record as the index has it. Raises as ``get_schema`` does."""
    detail = get_schema(uri, api=api)
    body = check_record(detail.record, detail.schema.cid, detail.schema.uri)
    return StoredRecord(AtUri.parse(detail.schema.uri), detail.schema.cid, body)


def list_schemas(q: str = "", *, api: str | None = None) -> Iterator[SchemaView]:
    """Every schema that fits the words ``q``, fetched page by page."""
    for page in _pages("listSchemas", {"q": q}, SchemaPage, api):
        yield from page.schemas


def find_lenses(
    source: str | None = None, target: str | None = None, *, api: str | None = None
) -> Iterator[LensView]:
    """Every lens in the index between two schemas (AT URIs), lazily; without one of them, from or
    to any. Raises ``NotConfigured``; looking raises ``NetworkError`` and ``XrpcError``.

    Source: lexicon ``ac.foundation.dataset.findLenses``.
    """
    for page in _pages("findLenses", {"source": source, "target": target}, LensPage, api):
        yield from page.lenses


def check_record(body: Mapping[str, Any], cid: str, uri: str) -> dict[str, Any]:
    """A record's JSON body in the data model, if its bytes hash to ``cid``."""
    value = cbor.record_from_json(body)
    expected, actual = Cid.parse(cid), Cid.of(cbor.encode(value))
    if actual != expected:
        raise CidMismatch(str(expected), str(actual), uri)
    return value


def _pages(
    method: str, params: Mapping[str, Param], answer: type[Page], api: str | None
) -> Iterator[Page]:
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = _ask(method, {**params, "limit": str(PAGE), "cursor": cursor}, answer, api)
        yield page
        if page.cursor is None or page.cursor == cursor:
            return
        cursor = page.cursor


def _ask(method: str, params: Mapping[str, Param], answer: type[View], api: str | None) -> View:
    given = {name: value for name, value in params.items() if value}
    query = urlencode(given, doseq=True)
    url = f"{api_url(api)}/xrpc/{FOUNDATION}.{method}?{query}"
    try:
        data = settings().http.get_json(url, max_bytes=MAX_ANSWER)
    except XrpcError as error:
        if error.error.endswith("NotFound"):
            raise NotFound(error.message or f"the index has no {params.get('uri')}") from error
        raise
    return views.from_json(answer, data)
