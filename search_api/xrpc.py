"""XRPC queries over HTTP: parameters in, views out, errors as ``{error, message}``.

Rule: the lexicon document is the only truth about a method. Names, types, limits and defaults of
its parameters are read from it; unknown parameters are ignored, everything else that is wrong is a
400 that says what. Source: https://atproto.com/specs/xrpc.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from starlette.responses import Response

from atdata.protocol import lexicon_types as types
from atdata.protocol.errors import (
    AtdataError,
    InvalidRecord,
    InvalidSyntax,
    NotFound,
    XrpcError,
    quote,
)
from atdata.protocol.lexicon import Catalog
from atdata.protocol.syntax import AtUri, Did, Handle, parse_at_identifier
from atdata.protocol.views import to_json
from search_api.database import QueryTimeout
from search_api.paging import InvalidCursor

MAX_QUERY_STRING = 16_000  # bytes
# Moments in milliseconds since 1970: those that have a year of four digits in UTC, too.
EARLIEST, LATEST = -62_135_596_800_000, 253_402_300_799_999

Value = str | int | bool | tuple[str, ...]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Params:
    """The parameters of one request, valid under the lexicon, with its defaults."""

    values: Mapping[str, Value]

    def text(self, name: str) -> str | None:
        """A string parameter, None where it is absent."""
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """A parameter that is an array of strings."""
        value = self.values.get(name, ())
        return value if isinstance(value, tuple) else ()

    def integer(self, name: str) -> int:
        """An integer parameter that is required or has a default."""
        value = self.values[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is no integer in the lexicon")
        return value

    def optional_integer(self, name: str) -> int | None:
        """An integer parameter, None where it is absent."""
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def moment(self, name: str) -> int | None:
        """A parameter of format datetime, in milliseconds since 1970."""
        value = self.text(name)
        if value is None:
            return None
        try:
            moment = (datetime.fromisoformat(value) - _EPOCH) // timedelta(milliseconds=1)
        except (ValueError, OverflowError) as error:
            raise _no_moment(name, value) from error
        if not EARLIEST <= moment <= LATEST:
            raise _no_moment(name, value)
        return moment

    def uri(self, name: str) -> AtUri | None:
        """A parameter of format at-uri."""
        value = self.text(name)
        return None if value is None else AtUri.parse(value)

    def account(self, name: str) -> Did | Handle | None:
        """A parameter of format at-identifier."""
        value = self.text(name)
        return None if value is None else parse_at_identifier(value)


@dataclass(frozen=True, slots=True)
class Method:
    """A query that this service answers: its lexicon's id, and what makes a view of parameters.
    ``not_found`` is the lexicon's name for ``NotFound``."""

    nsid: str
    answer: Callable[[Params], object]
    not_found: str = "RecordNotFound"


def parse_params(catalog: Catalog, nsid: str, pairs: Iterable[tuple[str, str]]) -> Params:
    """Read a query string's pairs as the lexicon says. Raises ``XrpcError`` 400 InvalidRequest."""
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        given.setdefault(name, []).append(text)
    values: dict[str, Value] = {}
    for name, definition in catalog.query(nsid).parameters.properties.items():
        if name in given:
            values[name] = _value(name, definition, given[name])
        elif (default := getattr(definition, "default", None)) is not None:
            values[name] = default
    try:
        catalog.validate_params(nsid, values)
    except InvalidRecord as error:
        where = error.path.lstrip("/").replace("/", " ") or "parameters"
        raise invalid(f"{where}: {error.why}") from error
    return Params(values)


def _value(name: str, definition: types.Definition, texts: Sequence[str]) -> Value:
    if isinstance(definition, types.Array):
        return tuple(texts)
    if len(texts) > 1:
        raise invalid(f"{name}: may be given only once")
    text = texts[0]
    match definition:
        case types.Integer():
            if _INTEGER.fullmatch(text) is None:
                raise invalid(f"{name}: expected an integer, got {quote(text)}")
            return int(text)
        case types.Boolean():
            if text not in {"true", "false"}:
                raise invalid(f"{name}: expected true or false, got {quote(text)}")
            return text == "true"
        case _:
            return text


def _no_moment(name: str, value: str) -> XrpcError:
    return invalid(f"{name}: {quote(value)} is no moment that can be reckoned with")


def invalid(message: str) -> XrpcError:
    """The error for a request that is wrong."""
    return XrpcError(400, "InvalidRequest", message)


def as_xrpc(error: AtdataError, not_found: str = "RecordNotFound") -> XrpcError:
    """What a client may know of an error: its own mistakes in full, ours without details."""
    match error:
        case XrpcError():
            return error
        case InvalidCursor():
            return invalid(f"cursor: {error}")
        case InvalidSyntax():
            return invalid(str(error))
        case NotFound():
            return XrpcError(404, not_found, str(error))
        case QueryTimeout():
            return XrpcError(503, "NotEnoughResources", "the query took too long; ask for less")
        case _:
            return XrpcError(500, "InternalServerError", "something went wrong on this side")


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON in UTF-8. What cannot be encoded (lone surrogates) is replaced."""
    return Response(_encoded(body), status, headers, media_type="application/json")


def _encoded(body: Any) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:  # lone surrogates, or integers of more than 64 bits
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def answer(view: object) -> Response:
    """A view as the answer to a query."""
    return json_response(to_json(view))


def error_response(error: XrpcError) -> Response:
    """``{error, message}`` under the error's status."""
    return json_response({"error": error.error, "message": error.message}, error.status)
